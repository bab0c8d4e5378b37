"""Readings of a training, written by hand."""

import numpy as np

from keras_perceptual.gradients.recorder.readings import Reading, Readings


def readings_of(norm, update=None, weights=None, dead=None):
    """Returns readings: one row each, one column a variable."""
    norm = np.array(norm, float)
    update = np.full_like(norm, 1e-3) if update is None else np.array(update)
    weights = np.ones_like(norm) if weights is None else np.array(weights)
    readings = Readings(1000)
    for step, row in enumerate(norm):
        readings.add(
            Reading(
                step=step + 1,
                epoch=0,
                loss=1.0,
                paths=tuple(f"v{i}" for i in range(norm.shape[1])),
                norm=row,
                weights=weights[step],
                update=update[step],
                zeros=np.zeros_like(row),
                finite=np.isfinite(row),
                dead={} if dead is None else {"hidden": dead[step]},
            )
        )
    return readings
