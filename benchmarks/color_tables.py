"""How long color tables in files take, against OpenColorIO and colour-science.

Files as programs write them, and odd ones: blank lines and long comments. The
readers take turns in one process, and the printed figures are medians of the
ratios of neighboring runs, in processor time: below 1, this package is faster.
For sampling a table again, colour-science is the one to compare with.

    pip install colour-science opencolorio
    python benchmarks/color_tables.py [--rounds 7] [--size 65]
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=65)
    return parser.parse_args()


def files(folder, size):
    """Writes the files, and returns their paths by what they are."""
    from keras_perceptual.io import ColorTable, write_table

    rng = np.random.default_rng(0)
    cube = ColorTable(cube=rng.uniform(0, 1, (size, size, size, 3)))
    curves = ColorTable(curves=np.sort(rng.uniform(0, 1, (65536, 3)), axis=0))
    found = {}
    for suffix, table in (
        (".cube", cube),
        (".3dl", cube),
        (".spi3d", cube),
        (".csp", cube),
        (".spi1d", curves),
    ):
        path = pathlib.Path(folder, f"table{suffix}")
        write_table(path, table)
        found[f"{suffix}, {size if table is cube else 65536}"] = path
    text = found[f".cube, {size}"].read_bytes()
    for name, extra in (
        ("a million blank lines", b"\n" * 1_000_000),
        (
            "10,000 comments of 1000 bytes",
            (b"# " + b"x" * 998 + b"\n") * 10_000,
        ),
    ):
        path = pathlib.Path(folder, f"{name.replace(' ', '_')}.cube")
        path.write_bytes(extra + text)
        found[f".cube, {name}"] = path
    return found


def read_with_opencolorio(path):
    import PyOpenColorIO

    PyOpenColorIO.ClearAllCaches()
    transform = PyOpenColorIO.FileTransform(str(path))
    PyOpenColorIO.Config.CreateRaw().getProcessor(transform)


def read_with_colour(path):
    import colour

    if path.suffix == ".3dl":
        raise ValueError("colour-science does not read it")
    colour.read_LUT(str(path))


def seconds(function, *arguments):
    begin = time.process_time()
    function(*arguments)
    return time.process_time() - begin


def compare(ours, others, rounds):
    """Returns our median time, and ratios to others, `None` for failures."""
    times, ratios = [], {name: [] for name in others}
    for _ in range(rounds):
        times.append(seconds(ours))
        for name, other in others.items():
            try:
                ratios[name].append(times[-1] / seconds(other))
            except Exception:  # Theirs, of whatever kind.
                ratios[name] = None
        ratios = {k: v for k, v in ratios.items() if v is not None}
        others = {k: v for k, v in others.items() if k in ratios}
    medians = {k: statistics.median(v) for k, v in ratios.items()}
    return statistics.median(times), medians


def show(name, time, ratios):
    shown = [
        f"{ratios[other]:.3f}" if other in ratios else "-"
        for other in ("OpenColorIO", "colour-science")
    ]
    print(f"| {name} | {time:.3f} s | {' | '.join(shown)} |")


def main():
    arguments = parse()
    # Nobody needs Keras here, and its import would take longer than the rest.
    sys.modules["keras"] = None
    from keras_perceptual import io

    print("| file | read here | of OpenColorIO | of colour-science |")
    print("| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files(folder, arguments.size).items():
            others = {
                "OpenColorIO": lambda path=path: read_with_opencolorio(path),
                "colour-science": lambda path=path: read_with_colour(path),
            }
            ours = lambda path=path: io.read_table(path)  # noqa: E731
            show(name, *compare(ours, others, arguments.rounds))
    import colour

    rng = np.random.default_rng(0)
    entries = rng.uniform(0, 1, (33, 33, 33, 3))
    table, theirs = io.ColorTable(cube=entries), colour.LUT3D(entries)
    grid = colour.LUT3D.linear_table(arguments.size)
    others = {"colour-science": lambda: theirs.apply(grid)}
    ours = lambda: io.resize_table(table, cube=arguments.size)  # noqa: E731
    name = f"resize_table, 33 to {arguments.size}"
    show(name, *compare(ours, others, arguments.rounds))


if __name__ == "__main__":
    main()
