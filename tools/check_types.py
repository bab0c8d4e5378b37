"""Tells which public names have a type that a user's checker cannot know.

Pyright looks at every module that is not private by its name.

    python tools/check_types.py
"""

import json
import os
import pathlib
import re
import subprocess
import sys

PACKAGE = "keras_perceptual"
ROOT = pathlib.Path(__file__).resolve().parents[1]
# Classes of Keras and of the backends have no types of their own.
UNTYPED_BASES = re.compile(
    r"Type of (metaclass|base class) unknown"
    r'|Type of base class ".*ImageLoss" is partially unknown'
)


def unknown(symbols):
    """Returns what is wrong with each name whose type is not known.

    Args:
        symbols: List of dictionaries, as pyright has them.
    """
    found = {}
    for symbol in symbols:
        if symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]:
            continue
        messages = [
            diagnostic["message"].splitlines()[0]
            for diagnostic in symbol["diagnostics"]
            if not UNTYPED_BASES.match(diagnostic["message"])
        ]
        if messages:
            found[symbol["name"]] = messages
    return found


def main():
    """Prints the names, and fails if there are any."""
    printed = subprocess.run(
        [
            *(sys.executable, "-m", "pyright", "--outputjson"),
            *("--verifytypes", PACKAGE, "--ignoreexternal"),
            f"--pythonpath={sys.executable}",
        ],
        capture_output=True,
        text=True,
        # Pyright asks for a folder of packages, which a checkout is none of.
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ).stdout
    symbols = json.loads(printed)["typeCompleteness"]["symbols"]
    exported = [s for s in symbols if s["name"].startswith(PACKAGE)]
    if not exported:
        raise SystemExit(f"pyright found nothing in {PACKAGE}.")
    found = unknown(exported)
    for name, messages in found.items():
        print(name, *messages, sep="\n    ")
    print(f"{len(exported)} names, {len(found)} of unknown type")
    raise SystemExit(1 if found else 0)


if __name__ == "__main__":
    main()
