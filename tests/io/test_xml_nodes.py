import pytest

from keras_perceptual.io import xml_nodes

LIMITS = {"long": 100, "short": 10}


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "look.clf"
        path.write_bytes(content)
        return xml_nodes.read_nodes(
            path, "clf", lambda node: LIMITS.get(node.name, 0)
        )

    return read


def test_a_tree_is_read(read):
    source, root = read(
        b"\xef\xbb\xbf<?xml version='1.0'?>\n<a:root xmlns:a='x' b='1'>\n"
        b"<short>1 <!-- 2 -->3</short>not kept<empty/></a:root>"
    )
    assert source.reader == "read_clf"
    assert (root.name, root.line, root.text) == ("root", 2, "")
    assert root.attributes["b"] == "1"
    short, empty = root.children
    assert (short.name, short.line, short.text) == ("short", 3, "1 3")
    assert (empty.name, empty.children) == ("empty", [])


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1"])
def test_other_encodings_are_read(encoding, read):
    text = f"<?xml version='1.0' encoding='{encoding}'?><a b='\u00e9'/>"
    assert read(text.encode(encoding))[1].attributes == {"b": "\u00e9"}


@pytest.mark.parametrize("encoding", [b"UTF9", b"utf-7", b"shift_jis"])
def test_encodings_that_are_not_known_are_refused(encoding, read):
    with pytest.raises(ValueError, match=r"line 1 .*encoded as UTF-8, .*'$"):
        read(b"<?xml version='1.0' encoding='" + encoding + b"'?><a/>")


def test_text_has_a_limit(read):
    assert read(b"<short>123456789</short>")[1].text == "123456789"
    with pytest.raises(ValueError, match=r"line 1 .*more text in short"):
        read(b"<short>1234567890</short>")
    with pytest.raises(ValueError, match=r"line 3 .*more text in long"):
        read(b"<short>\n<long>\n<a/>" + b"9" * 101 + b"</long></short>")
    assert read(b"<a>" + b"x" * 10**6 + b"</a>")[1].text == ""


def test_a_file_that_is_too_large_is_not_begun(read, monkeypatch):
    monkeypatch.setattr(xml_nodes, "MAX_FILE_SIZE", 10)
    assert read(b"<abcdefg/>")[1].name == "abcdefg"
    with pytest.raises(ValueError, match="10"):
        read(b"<abcdefgh/>")


def test_entities_are_refused(read):
    """What would grow, or fetch another file."""
    for declared in (
        b'<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">',
        b'<!ENTITY a SYSTEM "file:///etc/hostname">',
        b"",
    ):
        content = b"<?xml version='1.0'?>\n<!DOCTYPE r [" + declared + b"]>"
        with pytest.raises(ValueError, match=r"line 2 .*<!DOCTYPE r'$"):
            read(content + b"<r>&b;</r>")
    with pytest.raises(ValueError, match=r"line 1 .*<!DOCTYPE r'$"):
        read(b'<!DOCTYPE r SYSTEM "http://127.0.0.1/a.dtd"><r/>')
    with pytest.raises(ValueError, match=r"no whole XML.*undefined entity"):
        read(b"<r>&a;</r>")


def test_nodes_are_counted(read):
    deep = b"<a>" * xml_nodes.DEEPEST + b"</a>" * xml_nodes.DEEPEST
    assert read(deep)[1].name == "a"
    for content in (
        b"<a>" + deep + b"</a>",
        b"<a>" * 10**6,
        b"<a>" + b"<b/>" * xml_nodes.MOST_NODES + b"</a>",
    ):
        with pytest.raises(
            ValueError, match=r"elements, .*Received: '<[ab]>'$"
        ):
            read(content)


@pytest.mark.parametrize(
    "content", [b"", b"<a>", b"<a></b>", b"a", b"<a/><b/>", b"<a\0/>"]
)
def test_what_is_no_xml_is_refused(content, read):
    with pytest.raises(ValueError, match=r"^read_clf stopped in line 1 .*XML"):
        read(content)
