"""Files of the Common LUT Format, step by step in NumPy.

After the specification S-2014-006 of the Academy: each step takes and returns
numbers that are one where its whole numbers are the largest.
"""

import re
import xml.etree.ElementTree

import numpy as np
from reference import color_lookup

WHITE = {"8i": 255, "10i": 1023, "12i": 4095, "16i": 65535}


def apply(text, colors):
    """Returns colors after all steps of a file."""
    for node in xml.etree.ElementTree.fromstring(text.encode()):
        step = {
            "LUT1D": _curves,
            "LUT3D": _cube,
            "Matrix": _matrix,
            "Range": _range,
        }.get(node.tag)
        if step is not None:
            first, last = (
                WHITE.get(node.attrib[f"{side}BitDepth"], 1)
                for side in ("in", "out")
            )
            colors = step(node, np.asarray(colors, "float64"), first, last)
    return colors


def _array(node):
    array = node.find("Array")
    numbers = [float(word) for word in array.text.split()]
    return np.reshape(numbers, [int(n) for n in array.attrib["dim"].split()])


def _curves(node, colors, first, last):
    table = _array(node) / last
    table = np.broadcast_to(table, (len(table), 3))
    return color_lookup.curves(np.clip(colors, 0, 1), table)


def _cube(node, colors, first, last):
    return color_lookup.trilinear(np.clip(colors, 0, 1), _array(node) / last)


def _matrix(node, colors, first, last):
    matrix = _array(node)
    result = colors * first @ matrix[:, :3].T
    return (result + (matrix[:, 3] if matrix.shape[1] == 4 else 0)) / last


def _range(node, colors, first, last):
    ends = {
        name: [
            float(node.findtext(f"{name}{side}Value")) / white
            for side, white in (("In", first), ("Out", last))
        ]
        for name in ("min", "max")
        if node.find(f"{name}InValue") is not None
    }
    (x, y), *others = ends.values()
    scale = 1.0
    if others:
        scale = (others[0][1] - y) / (others[0][0] - x)
    colors = (colors - x) * scale + y
    if re.fullmatch("noclamp", node.get("style", ""), re.IGNORECASE):
        return colors
    low, high = (
        ends.get(name, (None, end))[1]
        for name, end in (("min", -np.inf), ("max", np.inf))
    )
    return np.clip(colors, low, high)
