import threading

import pytest

from keras_perceptual.gradients.patches import intercepted


class Base:
    @property
    def size(self):
        return 1


class Owner(Base):
    def double(self, x):
        return 2 * x

    @classmethod
    def name(cls):
        return cls.__name__


def plus_one(original, *args):
    return original(*args) + 1


def times_ten(original, *args):
    return original(*args) * 10


def test_the_original_comes_back():
    former = vars(Owner)["double"]
    with intercepted(Owner, "double", plus_one):
        assert Owner().double(3) == 7
    assert vars(Owner)["double"] is former
    with pytest.raises(ZeroDivisionError):
        with intercepted(Owner, "double", plus_one):
            1 / 0  # noqa: B018
    assert vars(Owner)["double"] is former


def test_class_methods_and_inherited_properties():
    class Heir(Owner):
        pass

    with intercepted(Owner, "name", lambda f, cls: f(cls).lower()):
        assert Heir.name() == "heir"
    with intercepted(Owner, "size", plus_one):
        assert Owner().size == 2
        assert Base().size == 1
    assert "size" not in vars(Owner)


def test_the_last_one_is_asked_first():
    with intercepted(Owner, "double", plus_one):
        with intercepted(Owner, "double", times_ten):
            assert Owner().double(1) == 30
        assert Owner().double(1) == 3


def test_other_threads_see_the_original():
    """And whoever stops first does not take it from the others."""
    former = vars(Owner)["double"]
    inside, done = threading.Barrier(2), threading.Barrier(2)
    found = {}

    def listen():
        with intercepted(Owner, "double", times_ten):
            inside.wait()
            found["listening"] = Owner().double(1)
            done.wait()

    thread = threading.Thread(target=listen)
    with intercepted(Owner, "double", plus_one):
        thread.start()
        inside.wait()
        assert Owner().double(1) == 3
    found["not listening"] = Owner().double(1)
    done.wait()
    thread.join()
    assert found == {"listening": 20, "not listening": 2}
    assert vars(Owner)["double"] is former
