import re

from keras_perceptual.io.text_source import Source, show


def test_a_mistake_says_where_it_is():
    error = Source("look.cube", "cube").mistake(
        7, "It is wrong. Mend it.", b"a 'b'\xff"
    )
    assert str(error) == (
        "read_cube stopped in line 7 of 'look.cube'. It is wrong. Mend it. "
        "Received: \"a 'b'\ufffd\""
    )


def test_long_lines_are_shown_by_their_beginning():
    assert show(b"x" * 60) == repr("x" * 60)
    assert show(b"x" * 61) == repr("x" * 60) + " ..."
    assert not re.search("[^ -~]", show(b"\x1b[31m\r\n"))
