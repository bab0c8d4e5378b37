"""Colors read from tables, in NumPy, pixel by pixel in float64.

Colors are shaped (..., 3), from 0, the first entry, to 1, the last.
"""

import itertools

import numpy as np


def curves(colors, table):
    """Each channel on its own, ends of the table beyond the ends."""
    table = np.asarray(table, "float64")
    nodes = np.linspace(0, 1, len(table))
    return np.stack(
        [
            np.interp(colors[..., c], nodes, table[:, c])
            for c in range(table.shape[1])
        ],
        axis=-1,
    )


def cells(colors, size):
    """Returns the corner [i, j, k] of each color's cell, and its place."""
    size = np.array(size)
    position = np.asarray(colors, "float64") * (size - 1)
    cell = np.clip(np.floor(position), 0, size - 2).astype(int)
    return cell, position - cell


def trilinear(colors, table):
    """The mean of the eight corners, weighted by the opposite volumes."""
    table = np.asarray(table, "float64")
    cell, place = cells(colors, table.shape[:3])
    result = np.zeros(np.shape(colors))
    for corner in itertools.product((0, 1), repeat=3):
        volume = np.prod(np.where(corner, place, 1 - place), axis=-1)
        i, j, k = np.moveaxis(cell + np.array(corner), -1, 0)
        result += volume[..., None] * table[i, j, k]
    return result


def nearest(colors, table):
    """The nearest entry, halfway between two the upper one."""
    table = np.asarray(table)
    size = np.array(table.shape[:3])
    position = np.asarray(colors, "float64") * (size - 1)
    index = np.clip(np.floor(position + 0.5), 0, size - 1).astype(int)
    return table[tuple(np.moveaxis(index, -1, 0))]


def nearest_on_curves(colors, table):
    """The nearest entry of each channel's curve."""
    last = len(table) - 1
    index = np.floor(np.asarray(colors, "float64") * last + 0.5)
    index = np.clip(index, 0, last).astype(int)
    return np.take_along_axis(
        np.asarray(table), index.reshape(-1, index.shape[-1]), axis=0
    ).reshape(index.shape)


def tetrahedral(colors, table):
    """Six cases, by which of the three is farthest into the cell."""
    table = np.asarray(table, "float64")
    cell, place = cells(colors, table.shape[:3])
    result = np.zeros(np.shape(colors))
    for index in np.ndindex(result.shape[:-1]):
        i, j, k = cell[index]
        r, g, b = place[index]

        def at(corner, i=i, j=j, k=k):
            x, y, z = (int(digit) for digit in corner)
            return table[i + x, j + y, k + z]

        if r >= g >= b:
            steps = (r, "100"), (g, "110"), (b, "111")
        elif r >= b > g:
            steps = (r, "100"), (b, "101"), (g, "111")
        elif b > r >= g:
            steps = (b, "001"), (r, "101"), (g, "111")
        elif g > r >= b:
            steps = (g, "010"), (r, "110"), (b, "111")
        elif g >= b > r:
            steps = (g, "010"), (b, "011"), (r, "111")
        else:
            steps = (b, "001"), (g, "011"), (r, "111")
        value, before = at("000"), at("000")
        for fraction, corner in steps:
            value = value + fraction * (at(corner) - before)
            before = at(corner)
        result[index] = value
    return result


def mixed(images, tables, weights, look_up=trilinear):
    """Each image in a table of its own: as much of each as its weight says."""
    result = []
    for image, shares in zip(images, weights, strict=True):
        table = np.zeros(np.shape(tables[0]))
        for share, basis in zip(shares, tables, strict=True):
            table += float(share) * np.asarray(basis, "float64")
        result.append(look_up(image, table))
    return np.stack(result)
