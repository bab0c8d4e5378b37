"""`keras-perceptual compare`: how far images are from their references."""

import argparse
import json
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_perceptual import functional, losses
from keras_perceptual.command import pictures
from keras_perceptual.progress import track

Measure = Callable[[np.ndarray, np.ndarray], float]


def _of(function: Any, **settings: Any) -> Measure:
    """Returns a metric of two batches of one image, of a public function."""

    def measure(reference: np.ndarray, image: np.ndarray) -> float:
        value = function(reference, image, value_range=(0, 255), **settings)
        return float(keras.ops.convert_to_numpy(value)[0])

    return measure


def _psnr(reference: np.ndarray, image: np.ndarray) -> float:
    error = np.mean(np.square(reference.astype("float64") - image))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


METRICS: dict[str, Measure] = {
    "lpips": _of(functional.lpips),
    "lpips-vgg": _of(functional.lpips, backbone="vgg16"),
    "dists": _of(functional.dists),
    "perceived": _of(functional.perceived_distance),
    "ssim": _of(functional.ssim),
    "ms-ssim": _of(functional.ms_ssim),
    "psnr": _psnr,
}
DEFAULT = ("lpips", "dists", "ssim", "psnr")
# Of these there is a map, of where the images differ.
MAPPED: dict[str, Any] = {
    "lpips": losses.LPIPS,
    "perceived": losses.PerceivedDistance,
    "ssim": losses.SSIMLoss,
}


def add_arguments(commands: Any) -> None:
    """Adds the command to those that the parser knows."""
    parser = commands.add_parser(
        "compare",
        help="compare images with their references",
        description=(
            "Prints how far an image is from its reference, a metric a line; "
            "or, of two folders, a row for each pair of files of one name, "
            "separated by tabs. LPIPS, DISTS and the perceived distance: "
            "less is closer. SSIM and PSNR (in dB): more is closer."
        ),
    )
    parser.add_argument("reference", help="a picture, or a folder of them")
    parser.add_argument("image", help="another one of the same size, or folder")
    parser.add_argument(
        "--metric",
        nargs="+",
        choices=METRICS,
        default=DEFAULT,
        metavar="NAME",
        help=f"of {', '.join(METRICS)}; default: {' '.join(DEFAULT)}",
    )
    parser.add_argument(
        "--map",
        metavar="PICTURE",
        help="write where the images differ, brighter for more, by the first "
        f"metric that can tell ({' or '.join(MAPPED)})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Runs the command with parsed arguments."""
    pairs = find_pairs(given.reference, given.image)
    mapped = next((name for name in given.metric if name in MAPPED), None)
    if given.map is not None:
        pictures.check_name(given.map)
        if len(pairs) > 1 or mapped is None:
            raise ValueError(
                "A map is drawn of two pictures, by one of the metrics "
                f"{', '.join(MAPPED)}. Received: {len(pairs)} pairs, "
                f"--metric {' '.join(given.metric)}"
            )
    rows = {}
    for name, (reference, image) in track(list(pairs.items())):
        batches = read_pair(reference, image)
        rows[name] = {
            metric: METRICS[metric](*batches) for metric in given.metric
        }
        if given.map is not None and mapped is not None:
            pictures.write_picture(given.map, draw_map(mapped, *batches))
    is_folder = pathlib.Path(given.reference).is_dir()
    sys.stdout.write(
        (as_json if given.json else as_text)(rows, given.metric, is_folder)
    )
    return 0


def find_pairs(reference: str, image: str) -> dict[str, tuple[str, str]]:
    """Returns what is compared with what, by the name to print.

    Args:
        reference: String, the path of a picture or of a folder.
        image: String, likewise.

    Raises:
        ValueError: If the one is a folder and the other one is not, or if a
            picture has no partner of the same name but for its suffix.
    """
    folders = [pathlib.Path(path) for path in (reference, image)]
    if not any(folder.is_dir() for folder in folders):
        return {pathlib.Path(image).name: (reference, image)}
    if not all(folder.is_dir() for folder in folders):
        raise ValueError(
            "Pass two pictures or two folders. Received: "
            f"{reference!r} and {image!r}"
        )
    first, second = (_pictures_in(folder) for folder in folders)
    alone = sorted(first.keys() ^ second.keys())
    if alone or not first:
        raise ValueError(
            "Each picture of one folder needs one of the same name in the "
            f"other folder. Received: {len(first)} and {len(second)} pictures"
            + (f", without a partner: {', '.join(alone[:3])}" if alone else "")
        )
    return {name: (first[name], second[name]) for name in sorted(first)}


def _pictures_in(folder: pathlib.Path) -> dict[str, str]:
    """Returns the paths of the pictures in a folder by their names."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in pictures.SUFFIXES:
            if path.stem in found:
                raise ValueError(
                    "Two pictures of one folder differ in their suffix alone. "
                    f"Received: {found[path.stem]!r} and {str(path)!r}"
                )
            found[path.stem] = str(path)
    return found


def read_pair(reference: str, image: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns two pictures as batches of one.

    Raises:
        ValueError: If they are of different sizes, or not opaque.
    """
    first, second = (pictures.read_picture(path) for path in (reference, image))
    if first.shape != second.shape or first.shape[2] != 3:
        raise ValueError(
            "Two opaque pictures of one size can be compared. Received: "
            f"{reference!r} of shape {first.shape} and {image!r} of shape "
            f"{second.shape}"
        )
    return first[None], second[None]


def draw_map(
    metric: str, reference: np.ndarray, image: np.ndarray
) -> np.ndarray:
    """Returns where two images differ, white where they do most.

    Args:
        metric: String, one of `MAPPED`.
        reference: Array shaped `(1, height, width, 3)`, of type uint8.
        image: Likewise.

    Returns:
        An array shaped `(height, width)`, of type uint8.
    """
    loss = MAPPED[metric](value_range=(0, 255))
    colors = image.astype("float32")
    values = keras.ops.convert_to_numpy(loss.spatial_map(reference, colors))[0]
    most = values.max()
    scaled = values / most if most > 0 else values
    return np.rint(255 * np.clip(scaled, 0, 1)).astype("uint8")


def as_text(
    rows: dict[str, dict[str, float]], metrics: Sequence[str], is_table: bool
) -> str:
    """Returns values as lines of text."""
    if not is_table:
        (row,) = rows.values()
        width = max(map(len, metrics))
        return "".join(f"{m:{width}}  {_show(row[m])}\n" for m in metrics)
    lines = ["\t".join(["image", *metrics])]
    for name, row in {**rows, "mean": _mean(rows, metrics)}.items():
        lines.append("\t".join([name, *(_show(row[m]) for m in metrics)]))
    return "".join(f"{line}\n" for line in lines)


def as_json(
    rows: dict[str, dict[str, float]], metrics: Sequence[str], is_table: bool
) -> str:
    """Returns values as JSON, in which an infinite PSNR is null."""

    def finite(row: dict[str, float]) -> dict[str, float | None]:
        return {m: v if math.isfinite(v) else None for m, v in row.items()}

    if not is_table:
        (row,) = rows.values()
        return json.dumps(finite(row)) + "\n"
    table = {
        "images": {name: finite(row) for name, row in rows.items()},
        "mean": finite(_mean(rows, metrics)),
    }
    return json.dumps(table, indent=1) + "\n"


def _mean(
    rows: dict[str, dict[str, float]], metrics: Sequence[str]
) -> dict[str, float]:
    return {
        m: float(np.mean([row[m] for row in rows.values()])) for m in metrics
    }


def _show(value: float) -> str:
    return f"{value:.6g}"
