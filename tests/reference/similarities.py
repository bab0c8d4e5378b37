"""What piq, PyWavelets and torchmetrics say of what is compared here.

The numbers are from tools/make_golden_similarities.py.
"""

import json
import pathlib

from reference import photographs

FILE = pathlib.Path(__file__).parent / "golden_similarities.json"
GOLDEN = json.loads(FILE.read_text())


def pairs(*names):
    """Yields pairs of images and what is stored under their name.

    Args:
        *names: Names of photographs.
    """
    for key, known in GOLDEN["pairs"].items():
        name, distortion = key.split("/")
        if name in names:
            found = photographs.fingerprint(name, distortion)
            assert found == known["fingerprint"], "other photographs"
            yield *photographs.pair(name, distortion), known
