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
from collections.abc import Callable, Iterator
from typing import Any

_NOTHING = object()
_lock = threading.Lock()
_patches: "dict[tuple[Any, str], _Patch]" = {}


@contextlib.contextmanager
def intercepted(
    owner: Any, name: str, answer: Callable[..., Any]
) -> Iterator[None]:
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

    def __init__(self, owner: Any, name: str) -> None:
        self.users = 0
        self._owner, self._name = owner, name
        self._local = threading.local()
        self._former = vars(owner).get(name, _NOTHING)
        # As it is where it is defined, which may be a base of the owner.
        self._held = inspect.getattr_static(owner, name)

    def answers_of_thread(self) -> list[Callable[..., Any]]:
        """Returns the list of those who listen in this thread."""
        if not hasattr(self._local, "answers"):
            self._local.answers = []
        return self._local.answers

    def install(self) -> None:
        """Puts the function in the place of the original."""
        held = self._held
        original: Any = held
        if isinstance(held, classmethod):
            original = held.__func__
        elif isinstance(held, property):
            original = held.fget

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            chain: Any = original
            # Whoever came last is asked first, and may ask the one before.
            for answer in self.answers_of_thread():
                chain = functools.partial(answer, chain)
            return chain(*args, **kwargs)

        stand_in: Any = call
        if isinstance(held, classmethod):
            stand_in = classmethod(call)
        elif isinstance(held, property):
            stand_in = property(call, held.fset, held.fdel, held.__doc__)
        setattr(self._owner, self._name, stand_in)

    def remove(self) -> None:
        """Puts the original back."""
        if self._former is _NOTHING:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._former)
