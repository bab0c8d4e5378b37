"""Configurations and files that somebody tampered with, or got wrong.

Each is refused with an error that says what was received, or taken as it is;
within a second, and without asking for much memory.
"""

import inspect
import io
import math
import struct
import time
import tracemalloc
import zlib

import keras
import numpy as np
import pytest

import keras_perceptual as kp
from keras_perceptual.io import read_cube, read_hald, read_table

SECONDS, BYTES = 1.0, 50 * 2**20
REFUSALS = (ValueError, TypeError, OSError, ImportError)

HOSTILE = {
    "nan": math.nan,
    "infinite": math.inf,
    "huge": 10**400,
    "negative": -1,
    "long text": "a" * 100_000,
    "deep": [[[[[[[[[[[[0]]]]]]]]]]]],
    "many": list(range(100_000)),
    "dictionary": {"class_name": "os.system", "config": {"command": "true"}},
    "bytes": b"\0" * 100,
}
CLASSES = {
    "CharbonnierLoss": {},
    "TotalVariationLoss": {},
    "SSIMLoss": {},
    "MSSSIMLoss": {},
    "FocalFrequencyLoss": {},
    "SobelGradientLoss": {},
    "WeightedSumLoss": {"terms": {"a": kp.SSIMLoss()}},
    "LookupColorLayer": {"size": 3},
    "AdaptiveLookupColorLayer": {
        "size": 3,
        "backbone": keras.layers.GlobalAveragePooling2D(),
    },
    "TableRange": {},
    "TableSmoothness": {},
    "TableMonotonicity": {},
    "BoundedTable": {},
    "MonotonicTable": {},
}
CASES = [
    (name, argument, kind)
    for name in CLASSES
    for argument in inspect.signature(getattr(kp, name)).parameters
    if argument not in ("kwargs", "name")
    for kind in HOSTILE
]


def refused_or_taken(function):
    """Runs a function; returns what it refused, or `None`."""
    tracemalloc.start()
    start = time.process_time()
    try:
        function()
        refusal = None
    except REFUSALS as error:
        refusal = error
    seconds = time.process_time() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < SECONDS
    assert peak < BYTES
    return refusal


@pytest.mark.parametrize("name", CLASSES)
def test_arguments(name):
    cls = getattr(kp, name)
    for _, argument, kind in (case for case in CASES if case[0] == name):
        settings = {**CLASSES[name], argument: HOSTILE[kind]}
        refusal = refused_or_taken(lambda s=settings: cls(**s))
        # Of these, it is Keras that says what is wrong.
        ours = not argument.endswith(
            ("reduction", "initializer", "regularizer", "constraint")
        )
        if refusal is not None and ours:
            text = str(refusal)
            assert len(text) < 3000, (argument, kind, text[:300])


def test_there_are_enough_of_them():
    assert len(CASES) + len(cubes()) + len(pictures()) > 200


def cubes():
    """Returns texts that are no tables, or larger than they can be."""
    row = b"0 0 0\n"
    return {
        "empty": b"",
        "zeros": b"\0" * 4096,
        "no size": row * 8,
        "huge size": b"LUT_3D_SIZE 100000\n" + row,
        "endless size": b"LUT_3D_SIZE " + b"9" * 10_000 + b"\n" + row,
        "negative size": b"LUT_3D_SIZE -2\n" + row * 8,
        "too few rows": b"LUT_3D_SIZE 2\n" + row * 7,
        "too many rows": b"LUT_3D_SIZE 2\n" + row * 9,
        "nan": b"LUT_1D_SIZE 2\nnan 0 0\n1 1 1\n",
        "overflow": b"LUT_1D_SIZE 2\n1e999 0 0\n1 1 1\n",
        "two columns": b"LUT_1D_SIZE 2\n0 0\n1 1\n",
        "four columns": b"LUT_1D_SIZE 2\n0 0 0 0\n1 1 1 1\n",
        "blank lines": b"LUT_1D_SIZE 2\n" + b"\n" * 1_000_000 + row,
        "long line": b"LUT_1D_SIZE 2\n" + b"0 " * 500_000,
        "comments": b"# a\n" * 200_000,
        "utf-16": "LUT_1D_SIZE 2\n0 0 0\n1 1 1\n".encode("utf-16"),
        "domain": b"DOMAIN_MIN 1 1 1\nDOMAIN_MAX 0 0 0\nLUT_1D_SIZE 2\n"
        + row * 2,
    }


@pytest.mark.parametrize("kind", cubes())
def test_cube_files(kind, tmp_path):
    path = tmp_path / "look.cube"
    path.write_bytes(cubes()[kind])
    refusal = refused_or_taken(lambda: read_cube(path))
    assert isinstance(refusal, ValueError)
    assert "Received: " in str(refusal)


def lists():
    """Returns files of other formats that promise more than they hold."""
    csp = b"CSPLUTV100\n%s\n2\n0 1\n0 1\n2\n0 1\n0 1\n2\n0 1\n0 1\n%s\n0 0 0\n"
    clf = b"<ProcessList>%s</ProcessList>"
    table = b'<LUT3D inBitDepth="32f" outBitDepth="32f">%s</LUT3D>'
    array = b'<Array dim="%s">%s</Array>'
    full = b"256 256 256 3"
    bomb = b"".join(
        b'<!ENTITY %c "%s">' % (97 + i, b"&%c;" % (96 + i) * 10)
        for i in range(20)
    )
    return {
        "cube.csp": csp % (b"3D", full[:11]),
        "enormous.csp": csp % (b"3D", b"9999 9999 9999"),
        "curves.csp": csp % (b"1D", b"300000"),
        "prelut.csp": b"CSPLUTV100\n3D\n999999999\n0 1\n",
        "metadata.csp": b"CSPLUTV100\n3D\nBEGIN METADATA\n" + b"\n" * 10**6,
        "cube.vlt": b"LUT_3D_SIZE 256\n0 0 0\n",
        "enormous.vlt": b"LUT_3D_SIZE 999999999\n0 0 0\n",
        "cube.clf": clf % (table % (array % (full, b"0 0 0"))),
        "enormous.clf": clf % (table % (array % (b"9 " * 9999, b"0"))),
        "text.clf": clf % (table % (array % (b"2 2 2 3", b"0 " * 10**6))),
        "many.clf": clf % (b"<Range/>" * 10**5),
        "deep.clf": b"<ProcessList>" * 10**5,
        "attributes.clf": b"<ProcessList %s/>"
        % b" ".join(b'a%d="1"' % i for i in range(10**5)),
        "bomb.clf": b"<!DOCTYPE a [" + bomb + b"]><a>&t;</a>",
        "outside.ctf": b'<!DOCTYPE a [<!ENTITY b SYSTEM "/dev/zero">]>'
        b"<a>&b;</a>",
    }


@pytest.mark.parametrize("name", lists())
def test_files_of_other_formats(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(lists()[name])
    refusal = refused_or_taken(lambda: read_table(path))
    assert isinstance(refusal, ValueError)
    assert name in str(refusal)


def png(width, height, data):
    """Returns a PNG that says it is of a size."""

    def chunk(kind, body):
        check = zlib.crc32(kind + body)
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + struct.pack(">I", check)
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def pictures():
    """Returns files that are no pictures, or say they are enormous."""
    return {
        "empty": b"",
        "text": b"root:x:0:0\n" * 50,
        "no pixels": png(8, 8, b""),
        "damaged pixels": png(8, 8, b"\xff" * 50),
        "enormous": png(2**31 - 1, 2**31 - 1, b""),
        "a bomb": png(40_000, 40_000, zlib.compress(b"\0" * 4_000_000)),
        "another size": png(9, 9, zlib.compress(b"\0" * 9 * 28)),
        "half": png(64, 64, zlib.compress(b"\0" * 64 * 193))[:60],
    }


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", pictures())
def test_pictures(kind, tmp_path):
    pytest.importorskip("PIL.Image")
    path = tmp_path / "look.png"
    path.write_bytes(pictures()[kind])
    refusal = refused_or_taken(lambda: read_hald(path))
    assert isinstance(refusal, ValueError)
    assert "look.png" in str(refusal)
    if kind == "another size":
        return  # A style may be of any.
    from keras_perceptual.losses.style_image import read_image

    refusal = refused_or_taken(lambda: read_image("A loss", path, (0, 1)))
    assert isinstance(refusal, ValueError)
    assert "look.png" in str(refusal)


def test_archives_of_weights(tmp_path):
    extractor = ["alexnet", ["conv1"]]
    for name, arrays in {
        "empty": {},
        "objects": {"conv1/kernel": np.array([object()])},
        "another shape": {"conv1/kernel": np.zeros(3)},
    }.items():
        path = tmp_path / f"{name}.npz"
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        path.write_bytes(buffer.getvalue())
        with pytest.raises(ValueError, match="Received: "):
            kp.PerceptualLoss(*extractor, weights=path)
