"""Listening to calls of TensorFlow, JAX, PyTorch and Keras, in one thread.

What a class or a module of theirs holds is the same for all threads. While
somebody listens, a function stands in its place that looks up who listens in
the thread it is called in, and that is the original to everybody else. The
last one to stop puts the original back.
"""

import contextlib
import functools
import inspect
import threading

_NOTHING = object()
_lock = threading.Lock()
_patches = {}


@contextlib.contextmanager
def intercepted(owner, name, answer):
    """Has `answer` take the calls of a function that are made in this thread.

    Args:
        owner: The class or module that holds the function.
        name: Its name there: of a function, a class method or a property.
        answer: Function of the original and of the arguments of the call, the
            object or class first where there is one.
    """
    with _lock:
        key = (owner, name)
        if key not in _patches:
            _patches[key] = _Patch(owner, name)
            _patches[key].install()
        patch = _patches[key]
        patch.users += 1
    answers = patch.answers_of_thread()
    answers.append(answer)
    try:
        yield
    finally:
        answers.remove(answer)
        with _lock:
            patch.users -= 1
            if not patch.users:
                _patches.pop(key).remove()


class _Patch:
    """A function in the place of another one, for some threads.

    Attributes:
        users: How many are listening, in all threads.
    """

    def __init__(self, owner, name):
        self.users = 0
        self._owner, self._name = owner, name
        self._local = threading.local()
        self._former = vars(owner).get(name, _NOTHING)
        # As it is where it is defined, which may be a base of the owner.
        self._held = inspect.getattr_static(owner, name)

    def answers_of_thread(self):
        """Returns the list of those who listen in this thread."""
        if not hasattr(self._local, "answers"):
            self._local.answers = []
        return self._local.answers

    def install(self):
        """Puts the function in the place of the original."""
        held = self._held
        if isinstance(held, classmethod):
            original = held.__func__
        elif isinstance(held, property):
            original = held.fget
        else:
            original = held

        @functools.wraps(original)
        def call(*args, **kwargs):
            chain = original
            # Whoever came last is asked first, and may ask the one before.
            for answer in self.answers_of_thread():
                chain = functools.partial(answer, chain)
            return chain(*args, **kwargs)

        if isinstance(held, classmethod):
            call = classmethod(call)
        elif isinstance(held, property):
            call = property(call, held.fset, held.fdel, held.__doc__)
        setattr(self._owner, self._name, call)

    def remove(self):
        """Puts the original back."""
        if self._former is _NOTHING:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._former)
