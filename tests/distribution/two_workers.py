"""What each of two workers of TensorFlow does, for test_two_workers.py."""

import json
import pathlib
import sys

import numpy as np
import tensorflow as tf
from distribution import checked, training

# Before TensorFlow computes anything.
strategy = tf.distribute.MultiWorkerMirroredStrategy()
folder, rank = pathlib.Path(sys.argv[1]), strategy.cluster_resolver.task_id
worker = {"strategy": strategy, "model_class": training.WorkerModel}
found = training.run("masks", **worker)
np.savez(folder / f"{rank}.npz", **found)
# What is a matter of the traced step alone is in test_two_devices.py.
cases = checked.EXPECTED.keys() - {"stray"}
# All workers in the same order.
outcomes = {case: checked.outcome(case, **worker) for case in sorted(cases)}
(folder / f"{rank}.json").write_text(json.dumps(outcomes))
recorded = checked.compare_recorded(**worker)
(folder / f"{rank} recorded.json").write_text(json.dumps(recorded))
