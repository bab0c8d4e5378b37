"""What a process with two devices finds, for test_two_devices.py."""

import json
import os
import pathlib
import sys

if os.environ["KERAS_BACKEND"] == "jax":
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "")
        + " --xla_force_host_platform_device_count=2"
    )
    strategy = None
else:
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

import keras
import numpy as np
from distribution import checked, training

import keras_perceptual as kp

folder = pathlib.Path(sys.argv[1])
# JAX takes long to compile, and shares out arrays rather than losses.
cases = training.CASES if strategy else training.CASES[:1]
alone = {}
for case in cases:
    alone |= training.run(case, judge=True)
np.savez(folder / "one.npz", **alone)

if strategy is None:
    keras.distribution.set_distribution(keras.distribution.DataParallel())
found = {}
for case in cases:
    found |= training.run(case, strategy, judge=True)
np.savez(folder / "two.npz", **found)

# What is recorded changes nothing, and says of what broke at least that.
recorded = checked.compare_recorded(strategy=strategy)
(folder / "recorded.json").write_text(json.dumps(recorded))

outcomes = {case: checked.outcome(case, strategy) for case in checked.EXPECTED}
(folder / "outcomes.json").write_text(json.dumps(outcomes))

if strategy is not None:
    with strategy.scope():
        loss = kp.PerceptualLoss("alexnet", weights="random")
        model = keras.Sequential(
            [keras.Input((32, 32, 3)), keras.layers.Conv2D(3, 3)]
        )
        model.compile("adam", loss)
        model.optimizer.build(model.trainable_variables)
    copies = [
        strategy.experimental_local_results(variable.value)
        for variable in loss._distance.network.weights
    ]
    model.save(folder / "model.keras")
    checkpoint = tf.train.Checkpoint(model=model).write(folder / "checkpoint")
    backbone = {
        "devices": [[x.device[-5:] for x in group] for group in copies],
        "saved": [name for name, _ in tf.train.list_variables(checkpoint)],
        "numbers": sum(int(np.prod(x.shape)) for x, *_ in copies),
    }
    (folder / "backbone.json").write_text(json.dumps(backbone))
