"""
Title: The look of a film, learned from photographs and written to a file
Author: keras_perceptual developers
Date created: 2026/11/22
Last modified: 2026/11/22
Description: Learns a color grade from pairs and writes it as a .cube file.
Accelerator: None

## Introduction

You have photographs before and after a film look was put on them, and want the
look itself, for other photographs and in other programs. A look sends every
color to another one, wherever in the picture it is: that is a table of
colors, and `LookupColorLayer` learns one. Film and photo tools read such
tables from `.cube` files, which `to_cube` writes.

The look is made by a formula, so that it is known everywhere, and the formula
is not a table itself. The layer never sees it: it is given six photographs
before and after, in 8 bits as from files, and is judged on a seventh.

**Colors that no pair shows** are what a learned table gets wrong. The entries
that nobody has asked for stay as they were, beside others that have moved, and
the next photograph has some of these colors. `TableSmoothness(order=2)` makes
the table go on straight where nothing is known. The example trains with and
without it.

**Another program** is to do the same with the file. So the file is read again
and applied as ffmpeg's filter lut3d does it, written here in NumPy, and by
OpenColorIO if PyOpenColorIO is installed.

On the photograph that was held out, one run gave these differences to the
formula in CIEDE2000, of which one is about the least that is seen:

| | mean | 99 % are below | largest |
| --- | --- | --- | --- |
| before the look | 7.58 | 16.85 | 18.04 |
| by the table, not smooth | 0.28 | 1.73 | 10.79 |
| by the table | 0.24 | 0.71 | 1.69 |

The size of the table, the factor of the regularizer and the training were
chosen on two of the six photographs, in training on the others. Both programs
differ from the layer by 2e-7 at most, where half a step of 8 bits is 2e-3.

The photographs come with scikit-image and scikit-learn. Nothing is downloaded.
"""

import argparse
import itertools
import pathlib
import time

import keras
import numpy as np
import skimage.color
import skimage.data
import sklearn.datasets
from keras import ops
from matplotlib import pyplot

import keras_perceptual as kp

HELD_OUT = "astronaut"
# Entries along each edge of the table; 17, 33 and 65 are usual in files.
SIZE = 17
TILE = 32

"""
## The look

Three things that film does. Its dyes are not pure, so that each channel takes
something from the others; the rows of the matrix sum to one, which keeps grays
gray. Each channel has a curve with a soft toe and a soft shoulder, and neither
black nor white is quite reached. And shadows lean toward teal, highlights
toward orange.
"""

CROSSTALK = np.array(
    [[0.86, 0.10, 0.04], [0.05, 0.90, 0.05], [0.02, 0.14, 0.84]]
)
STEEPNESS = np.array([1.55, 1.50, 1.35])
DARKEST = np.array([0.030, 0.045, 0.070])
BRIGHTEST = np.array([0.985, 0.965, 0.900])
TEAL = np.array([-0.030, 0.010, 0.045])
ORANGE = np.array([0.035, 0.010, -0.045])
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def put_look_on(images):
    """Returns images in (0, 1) as the film would show them."""
    colors = np.asarray(images, "float64") @ CROSSTALK.T
    rising, falling = colors**STEEPNESS, (1.0 - colors) ** STEEPNESS
    colors = rising / (rising + falling)
    colors = DARKEST + (BRIGHTEST - DARKEST) * colors
    light = (colors @ LUMINANCE)[..., None]
    colors = colors + TEAL * (1.0 - light) ** 2
    colors = colors + ORANGE * 2.0 * light**2 * (1.0 - light)
    return np.clip(colors, 0.0, 1.0)


def in_eight_bits(images):
    """Returns images as they would come back from a file."""
    images = np.clip(images, 0.0, 1.0)
    return (np.round(255.0 * images) / 255.0).astype("float32")


"""
## Data

Photographs are cut into tiles, so that a batch has something of all of them.
"""


def load_photographs():
    """Returns photographs by name: arrays (height, width, 3) in (0, 1)."""
    china, flower = sklearn.datasets.load_sample_images().images
    photographs = {
        "astronaut": skimage.data.astronaut(),
        "chelsea": skimage.data.chelsea(),
        "china": china,
        "coffee": skimage.data.coffee(),
        "flower": flower,
        "motorcycle": skimage.data.stereo_motorcycle()[0],
        "rocket": skimage.data.rocket(),
    }
    return {
        name: image.astype("float32") / 255.0
        for name, image in photographs.items()
    }


def cut_tiles(image):
    """Returns squares side by side; what is left over at the ends is lost."""
    rows, columns = (side // TILE for side in image.shape[:2])
    image = image[: rows * TILE, : columns * TILE]
    tiles = image.reshape(rows, TILE, columns, TILE, 3).swapaxes(1, 2)
    return tiles.reshape(-1, TILE, TILE, 3)


"""
## The model

One layer. Tetrahedral interpolation is what ffmpeg does unless it is told
otherwise, and it keeps grays gray where the table does.
"""


def build_model(smoothness):
    """Returns a model that starts as the identity, for images of any size."""
    regularizer = None
    if smoothness:
        regularizer = kp.TableSmoothness(smoothness, order=2)
    inputs = keras.Input((None, None, 3), name="before")
    table = kp.LookupColorLayer(
        SIZE,
        interpolation="tetrahedral",
        table_regularizer=regularizer,
        name="look",
    )
    return keras.Model(inputs, table(inputs), name="color_grade")


def train(model, before, after, epochs, batch_size=32):
    """Sees each tile once an epoch, while the learning rate falls to zero."""
    keras.utils.set_random_seed(0)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.04, decay_steps=epochs * -(-len(before) // batch_size)
    )
    model.compile(keras.optimizers.Adam(schedule), "mse")
    model.fit(
        before,
        after,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[kp.GradientSanityCallback()],
    )


"""
## The file, in another program

The rules of ffmpeg's filter: in the file, red runs fastest; a color lies in
one of the six tetrahedra of a cell, by the order of what is left over of red,
green and blue; and the four entries at its corners are blended. Nothing here
comes from this package, not even the reading.
"""


def read_cube_file(path):
    """Returns the table in a file, indexed [red, green, blue]."""
    rows = [
        line.split()
        for line in path.read_text(encoding="ascii").splitlines()
        if line[:1] in set("-0123456789")
    ]
    size = round(len(rows) ** (1 / 3))
    table = np.array(rows, "float64").reshape(size, size, size, 3)
    return table.transpose(2, 1, 0, 3)


def apply_like_ffmpeg(path, colors):
    """Returns colors (..., 3) in (0, 1) through the table in a file."""
    table = read_cube_file(path)
    place = np.clip(colors.astype("float64"), 0.0, 1.0) * (len(table) - 1)
    below = np.minimum(place.astype(int), len(table) - 2)
    rest = place - below
    result = np.empty(colors.shape)
    for order in itertools.permutations(range(3)):
        first, second, third = (rest[..., axis] for axis in order)
        inside = (first >= second) & (second >= third)
        corner = below[inside]
        total = (1.0 - first[inside])[:, None] * table[tuple(corner.T)]
        weights = (first - second, second - third, third)
        for axis, weight in zip(order, weights, strict=True):
            corner[:, axis] += 1
            total += weight[inside][:, None] * table[tuple(corner.T)]
        result[inside] = total
    return result


def apply_with_opencolorio(path, colors):
    """Returns the same by OpenColorIO, or nothing where that is missing."""
    try:
        import PyOpenColorIO as ocio
    except ImportError:
        return None
    transform = ocio.FileTransform(
        str(path.resolve()), interpolation=ocio.INTERP_TETRAHEDRAL
    )
    processor = ocio.Config.CreateRaw().getProcessor(transform)
    result = np.array(colors, "float32", order="C").reshape(-1, 3)
    processor.getDefaultCPUProcessor().applyRGB(result)
    return result.reshape(colors.shape)


def compare_programs(model, path, photograph):
    """Makes sure that others do with the file what the model does."""
    random = np.random.default_rng(0).random((256, 256, 3), "float32")
    print(f"\n{path.name} in other programs, largest difference to the layer:")
    for name, apply in {
        "ffmpeg's rules, in NumPy": apply_like_ffmpeg,
        "OpenColorIO": apply_with_opencolorio,
    }.items():
        largest = 0.0
        for colors in (photograph, random):
            theirs = apply(path, colors)
            if theirs is None:
                break
            ours = ops.convert_to_numpy(model(colors[None]))[0]
            largest = max(largest, float(np.max(np.abs(ours - theirs))))
        if theirs is None:
            print(f"{name:26}not installed")
            continue
        # Half a step: more could become another number in 8 bits.
        if largest >= 0.5 / 255.0:
            raise SystemExit(f"{name} makes other colors: {largest}")
        print(f"{name:26}{largest:.1e}, less than half of 1/255")


"""
## Judging

CIEDE2000 is how far apart two colors are for the eye: about one is the least
that is seen side by side. Steps are those of 8 bits.
"""


def print_errors(target, images):
    """Prints how far pictures are from the target."""
    titles = ("mean", "99 % below", "largest", "mean, steps")
    print(f"\n{HELD_OUT}, which was held out: CIEDE2000")
    print(" " * 22 + "".join(f"{title:>13}" for title in titles))
    for name, image in images.items():
        difference = skimage.color.deltaE_ciede2000(
            *map(skimage.color.rgb2lab, (target, image))
        )
        values = (
            difference.mean(),
            np.percentile(difference, 99),
            difference.max(),
            255.0 * np.abs(target - image).mean(),
        )
        print(f"{name:22}" + "".join(f"{value:13.2f}" for value in values))


def draw_comparison(images, layer, path):
    """Draws the pictures, and beside them the table that was learned."""
    number = len(images) + 1
    figure = pyplot.figure(figsize=(3.6 * number, 3.9), layout="constrained")
    for place, (title, image) in enumerate(images.items(), start=1):
        axes = figure.add_subplot(1, number, place)
        axes.imshow(image)
        axes.set_title(title)
        axes.set_axis_off()
    layer.plot(axes=figure.add_subplot(1, number, number, projection="3d"))
    figure.savefig(path, dpi=80)
    pyplot.close(figure)


"""
## Saving
"""


def save_and_reload(model, path, images):
    """Saves the model and makes sure that it can be had back."""
    model.save(path)
    expected = model.predict(images, verbose=0)
    found = keras.models.load_model(path).predict(images, verbose=0)
    if not np.allclose(found, expected, atol=1e-6):
        raise SystemExit("The loaded model gives another picture.")
    print(
        f"\nSaved and loaded again ({path.stat().st_size / 1e3:.0f} kB): "
        "the same picture"
    )


"""
## All of it
"""


def main():
    parser = argparse.ArgumentParser(
        description="Learns a film look and writes it to a .cube file."
    )
    parser.add_argument(
        "--smoothness",
        type=float,
        default=3e-3,
        help="the factor of the regularizer",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("outputs/learn_color_grade.png"),
        help="the picture to write; the table and the model go beside it",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one epoch only, to see that everything runs",
    )
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()

    photographs = load_photographs()
    held_out = photographs.pop(HELD_OUT)
    target = put_look_on(held_out)
    before = np.concatenate([cut_tiles(x) for x in photographs.values()])
    after = in_eight_bits(put_look_on(before))

    images = {"before": held_out}
    for name, smoothness in {
        "learned, not smooth": 0.0,
        "learned": arguments.smoothness,
    }.items():
        print(f"\n{name}:")
        model = build_model(smoothness)
        train(model, before, after, epochs=1 if arguments.quick else 40)
        (graded,) = model.predict(held_out[None], verbose=0)
        images[name] = in_eight_bits(graded)
    print_errors(target, images)

    layer = model.get_layer("look")
    table_path = arguments.output.with_suffix(".cube")
    layer.to_cube(table_path, title="Film look")
    compare_programs(model, table_path, held_out)
    saved_to = arguments.output.with_suffix(".keras")
    save_and_reload(model, saved_to, held_out[None])
    draw_comparison(
        {
            "before": held_out,
            "after, by the table": images["learned"],
            "after, by the formula": target,
        },
        layer,
        arguments.output,
    )
    seconds = time.time() - started
    print(
        f"\nWrote {arguments.output}, {table_path} and {saved_to} "
        f"after {seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
