"""What `GradientMonitor` finds of faults that begin in the middle of training.

Small models train well, and at a step that is known something breaks: a NaN in
one sample, a learning rate raised a thousandfold, a ReLU layer that is killed,
an overflow of float16, a branch that is closed, a recurrent network whose
gradients explode. Printed are the step of the fault and the one at which it was
told, whether the layer, the line and the sample are the right ones, and whether
the step, run again from its folder, comes out the same in every bit.

With `--healthy`, the programs of `planted/` train ten epochs as they are; what
is warned of then is a false alarm.

    KERAS_BACKEND=jax python benchmarks/monitor_faults.py
        [--every 1] [--faults nan_sample,killed_relu] [--healthy] [--xla]
"""

import argparse
import importlib
import os
import pathlib
import tempfile
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers, ops

import keras_perceptual as kp

BACKEND = keras.backend.backend()
BATCH, STEPS, EPOCHS = 4, 24, 3
SAMPLES = BATCH * STEPS
# The first step of the second epoch, and one in the first.
LATER, EARLIER = STEPS + 1, 17
BROKEN = (EARLIER - 1) * BATCH + 2


class Logarithm(layers.Layer):
    """Takes the logarithm of what should be above zero."""

    def call(self, x):
        return x + ops.log(x)  # fault: nan_sample


class Half(layers.Layer):
    """Squares in float16, which ends at 65504."""

    def call(self, x):
        x = ops.cast(x, "float16")
        return ops.cast(ops.square(x), "float32")  # fault: overflow


class Gate(layers.Layer):
    """Lets through a share of what comes in."""

    def build(self, shape):
        self.share = self.add_weight(
            shape=(), initializer="ones", trainable=False, name="share"
        )

    def call(self, x):
        return x * self.share


class At(keras.callbacks.Callback):
    """Has something done at the beginning of the second epoch."""

    def __init__(self, do):
        super().__init__()
        self.do = do

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.do(self.model)


def regression(width=6):
    rng = np.random.default_rng(0)
    x = rng.uniform(0.1, 1.0, size=(SAMPLES, width)).astype("float32")
    return x, np.sin(3 * x.sum(axis=1, keepdims=True)).astype("float32")


def dense_model(*first, optimizer=None):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            *first,
            layers.Dense(16, "tanh", name="hidden"),
            layers.Dense(16, "relu", name="rectified"),
            layers.Dense(1, name="out"),
        ],
        name="net",
    )
    model.compile(optimizer or keras.optimizers.Adam(1e-2), "mse")
    return model


def nan_sample():
    x, y = regression()
    x[BROKEN, 1] = 0.0
    return lambda: dense_model(Logarithm(name="logarithm")), x, y, None


def learning_rate():
    x, y = regression()

    def make():
        rate = keras.optimizers.schedules.PiecewiseConstantDecay(
            [EARLIER - 2], [1e-2, 10.0]
        )
        return dense_model(optimizer=keras.optimizers.Adam(rate))

    return make, x, y, None


def killed_relu():
    x, y = regression()

    def kill(model):
        bias = model.get_layer("rectified").bias
        bias.assign(bias - 50.0)

    return dense_model, x, y, kill


def overflow():
    x, y = regression()
    x[BROKEN, 1] = 300.0
    return lambda: dense_model(Half(name="half")), x, y, None


def closed_branch():
    x, y = regression()

    def make():
        inputs = keras.Input((6,))
        branch = layers.Dense(8, "tanh", name="branch")(inputs)
        branch = Gate(name="gate")(branch)
        trunk = layers.Dense(8, "tanh", name="trunk")(inputs)
        outputs = layers.Dense(1, name="out")(trunk + branch)
        model = keras.Model(inputs, outputs, name="net")
        model.compile(keras.optimizers.Adam(1e-2), "mse")
        return model

    return make, x, y, lambda model: model.get_layer("gate").share.assign(0.0)


def exploding_rnn():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 30, 3)).astype("float32")
    y = x[:, -1, :1]

    def make():
        model = keras.Sequential(
            [
                keras.Input((30, 3)),
                layers.SimpleRNN(8, "linear", name="rnn"),
                layers.Dense(1, name="out"),
            ],
            name="net",
        )
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        return model

    def enlarge(model):
        kernel = model.get_layer("rnn").cell.recurrent_kernel
        kernel.assign(kernel * 2.5)

    return make, x, y, enlarge


# The fault, its step, the signs that are right, and the layer to be named.
FAULTS = {
    "nan_sample": (nan_sample, EARLIER, ("nonfinite",), "logarithm"),
    "learning_rate": (
        learning_rate,
        EARLIER,
        ("leaping", "nonfinite", "exploding", "rewritten", "silent"),
        None,
    ),
    "killed_relu": (killed_relu, LATER, ("silent",), "rectified"),
    "overflow": (overflow, EARLIER, ("nonfinite",), "half"),
    "closed_branch": (closed_branch, LATER, ("died",), "branch"),
    "exploding_rnn": (
        exploding_rnn,
        LATER,
        ("exploding", "nonfinite"),
        "rnn",
    ),
}


def line_of(kind):
    """Returns the place that a message has to name, `None` for none."""
    for number, line in enumerate(pathlib.Path(__file__).open(), 1):
        if line.rstrip().endswith(f"# fault: {kind}"):
            return f"{pathlib.Path(__file__).name}:{number}"
    return None


def train(make, x, y, do, *callbacks, xla=False, epochs=EPOCHS):
    """Returns the model after a training, and what was warned of."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    model = make()
    if BACKEND == "tensorflow":
        model.jit_compile = xla
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(
            x, y, batch_size=BATCH, epochs=epochs, shuffle=False, verbose=0,
            callbacks=[*([At(do)] if do else []), *callbacks],
        )  # fmt: skip
    said = [str(w.message) for w in caught if "Monitor" in str(w.message)]
    return model, said


def judge(kind, every, xla):
    """Prints a line about one fault, and returns whether all is right."""
    plant, step, signs, layer = FAULTS[kind]
    make, x, y, do = plant()
    with tempfile.TemporaryDirectory() as folder:
        monitor = kp.GradientMonitor(every=every, log_dir=folder)
        _, said = train(make, x, y, do, monitor, xla=xla)
        found, text = "nothing", "\n".join(said)
        if monitor.incident_folder is not None:
            found = "nonfinite"
            kept = monitor.incident_folder
        else:
            named = [s for s in signs if f"{s}=[" in text]
            found = named[0] if named else "nothing"
            kept = monitor.sign_folders.get(found)
        told, same = None, None
        if kept is not None:
            keras.utils.clear_session(free_memory=False)
            model = make()
            if BACKEND == "tensorflow":
                model.jit_compile = xla
            again = kp.replay(kept, model)
            told, same = again.step, again.same
    place = line_of(kind)
    answers = {
        "found": found in signs,
        "layer": layer is None or layer in text,
        "line": None if place is None else place in text,
        "sample": None
        if found != "nonfinite" or place is None
        else f"Sample {BROKEN % BATCH} of the batch" in text,
        "replay": same,
    }
    words = {True: "yes", False: "NO", None: "-"}
    print(
        f"{kind:15} step {step:3}  {found:10} step {told or '-':>3}  "
        + "  ".join(f"{k} {words[v]}" for k, v in answers.items()),
        flush=True,
    )
    if not all(v is not False for v in answers.values()):
        print("    " + text.replace("\n", "\n    "))
    return all(v is not False for v in answers.values())


def sweep(names, every):
    """Trains healthy programs; returns how many were warned of or changed."""
    programs = importlib.import_module("planted_faults")
    alarms = changed = sick = 0
    chosen = names or list(programs.PROGRAMS)
    for name in chosen:
        results = []
        for monitor in (None, kp.GradientMonitor(every=every)):
            keras.utils.clear_session(free_memory=False)
            keras.utils.set_random_seed(7)
            model, data = programs.PROGRAMS[name](programs.faults.Plant())
            if BACKEND == "tensorflow":
                model.jit_compile = False
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                model.fit(
                    **data, batch_size=4, epochs=10, shuffle=False, verbose=0,
                    callbacks=[monitor] if monitor else [],
                )  # fmt: skip
            said = [str(w.message) for w in caught]
            said = [text for text in said if "GradientMonitor" in text]
            values = programs.weights(model).values()
            if monitor is None:
                is_well = all(np.isfinite(value).all() for value in values)
            results.append(b"".join(value.tobytes() for value in values))
        if not is_well:
            # Its weights become NaN without anybody: no healthy program.
            sick += 1
            print(f"{name}: diverges by itself, told: {bool(said)}", flush=True)
            continue
        is_changed = results[0] != results[1]
        alarms, changed = alarms + bool(said), changed + is_changed
        if said or is_changed:
            print(f"{name}: changed {is_changed}, {said}", flush=True)
    print(
        f"{BACKEND}: {len(chosen) - sick} healthy programs of ten epochs, "
        f"{alarms} false warnings, {changed} changed"
    )


def main():
    """Runs what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--programs", default="")
    parser.add_argument("--xla", action="store_true")
    options = parser.parse_args()
    if options.healthy:
        sweep([n for n in options.programs.split(",") if n], options.every)
        return
    kinds = options.faults.split(",")
    right = [judge(kind, options.every, options.xla) for kind in kinds]
    print(f"{BACKEND}: {sum(right)} of {len(right)} right in everything")


if __name__ == "__main__":
    main()
