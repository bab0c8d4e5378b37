"""How well the gradient check finds faults that were planted.

About twenty small programs that look like published ones (`planted/`) train
thirty steps while they are healthy, and three with each kind of fault planted
at a line that is known. Printed are, over all of them: how many healthy
programs were stopped (false alarms) or changed; how many faults were raised, of
those that have to be, and how many were at least reported; how often the
message begins with the exact line; how often the variables are the right ones;
and how long it took to explain. What is right does not come from the check:
which variables lose their gradient is seen from plain trainings without it, in
which they do not move, or are NaN.

    KERAS_BACKEND=jax python benchmarks/planted_faults.py
        [--programs vae,gan] [--faults round,clip] [--part 1/3]
        [--messages DIR]
"""

import argparse
import collections
import functools
import importlib
import os
import pathlib
import re
import statistics
import sys
import time
import traceback
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from planted import faults, images, pairs, sequences

from keras_perceptual import GradientSanityCallback, GradientSanityError

BACKEND = keras.backend.backend()
PROGRAMS = {
    program.__name__: program
    for program in (
        images.vae,
        images.masked_autoencoder,
        images.vit,
        images.unet,
        images.super_resolution,
        images.vq_vae,
        images.diffusion,
        sequences.seq2seq,
        sequences.ctc,
        sequences.text,
        sequences.captioning,
        sequences.lora,
        sequences.experts,
        pairs.simsiam,
        pairs.siamese,
        pairs.graph,
        pairs.distillation,
    )
}
own_steps = importlib.import_module(f"planted.{BACKEND}_steps")
for program in own_steps.PROGRAMS:
    PROGRAMS[program.__name__] = program

# What backends say where the loss depends on no variable.
REFUSALS = ("No gradients provided for any variable", "does not require grad")
# Of twelve examples each.
BATCHES = 3
LINE = re.compile(r"([^\s/\\]+\.py):(\d+)")
Outcome = collections.namedtuple(
    "Outcome", "program model plant verdict text report seconds early"
)


class Watch(keras.callbacks.Callback):
    """Notes when the check begins to judge; stands before it."""

    def on_train_batch_begin(self, batch, logs=None):
        self.since = time.process_time()
        if batch == 1:
            self.early = weights(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.since = time.process_time()


def fit(name, plant, check=True, epochs=1):
    """Builds a program and trains it, three batches an epoch."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(7)
    model, data = PROGRAMS[name](plant)
    if BACKEND == "tensorflow":
        # Compiling would take most of the time, and tells nothing more.
        model.jit_compile = False
    watch, callback = Watch(), GradientSanityCallback()
    verdict, text, seconds = "silent", "", 0.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(
                **data,
                batch_size=12 // BATCHES,
                epochs=epochs,
                shuffle=False,
                verbose=0,
                callbacks=[watch, callback] if check else [watch],
            )
        except GradientSanityError as error:
            seconds = time.process_time() - watch.since
            verdict, text = "raised", str(error)
        except Exception as error:
            verdict = f"error {type(error).__name__}"
            text = traceback.format_exc()
    said = [str(w.message) for w in caught if "Sanity" in str(w.message)]
    if verdict == "silent" and said:
        verdict, text = "reported", said[0]
    elif said:
        text += "\n\nAlso warned:\n" + "\n".join(said)
    early = getattr(watch, "early", {})
    return Outcome(
        name, model, plant, verdict, text, callback.report, seconds, early
    )


def weights(model):
    """Returns the weights by number and path."""
    return {
        (number, weight.path): np.array(
            keras.ops.convert_to_numpy(weight.value)
        )
        for number, weight in enumerate(model.weights)
    }


@functools.cache
def damaged(name, kind):
    """Returns three sets of paths, seen in a plain training with a fault.

    Those of the variables that do not move, of those that hardly do, as what
    rounding leaves of a gradient moves them, and of those that one batch made
    NaN or infinite.
    """
    plain = fit(name, faults.Plant(kind, penalty=0.0), check=False)
    trainable = {v.path for v in plain.model.trainable_variables}
    if any(words in plain.text for words in REFUSALS):
        return trainable, trainable, set()
    # PyTorch's cross entropy refuses NaN once there is some.
    is_nan = kind and faults.KINDS[kind].status == faults.NONFINITE
    if plain.verdict != "silent" and not (is_nan and plain.early):
        raise RuntimeError(f"Plain training of {name}: {plain.text}")
    # Before the first batch, some programs have no weights.
    before, after = plain.early, weights(plain.model)
    spoiled = {k[1] for k in before if not np.isfinite(before[k]).all()}
    moved = {
        k: np.abs(after[k] - before[k]).max()
        for k in before
        if k[1] in trainable
    }
    still = {k[1] for k in moved if moved[k] == 0}
    least = 1e-6 * max(moved.values())
    faint = {k[1] for k in moved if moved[k] <= least}
    return still, faint, trainable & spoiled


def right_variables(kind, outcome):
    """Whether the variables that were named are those that lost theirs."""
    row = faults.KINDS[kind]
    if outcome.report is None:
        return False
    # Before the last batch, zeros are in the table and not judged.
    early = row.status == faults.EITHER and outcome.report.batches < BATCHES
    status = row.status[:1] if early else row.status
    named = {r.path for r in outcome.report if r.status in status}
    if kind == "untracked":
        return len(named) == 1 and "scale" in min(named)
    if kind == "unused":
        return {p.split("/")[-2] for p in named} == {"probe"}
    if row.status == faults.NONFINITE:
        return named == damaged(outcome.program, kind)[2]
    if outcome.plant.left_out:
        return named == set(outcome.plant.left_out)
    like = "stop_gradient" if early else row.like
    still, faint, _ = damaged(outcome.program, like)
    # A critic's last bias has no gradient in the healthy program either.
    _, idle, _ = damaged(outcome.program, "")
    return still - idle <= named <= still | faint


def right_place(kind, outcome, head):
    """Whether the line, or what a Functional model has for one, is first."""
    if outcome.plant.names:
        return all(repr(name) in head for name in outcome.plant.names)
    first = LINE.search(head)
    place = (first[1], int(first[2])) if first else None
    return place in faults.expected_lines(kind)


def judge(name, kind):
    """Plants one fault; returns a dictionary, or `None` if that cannot be."""
    outcome = fit(name, faults.Plant(kind))
    if not outcome.plant.planted:
        return None
    if outcome.verdict.startswith("error"):
        # PyTorch's cross entropy, for one, refuses NaN by itself.
        plain = fit(name, faults.Plant(kind), check=False)
        if plain.verdict == outcome.verdict:
            return None
    row = faults.KINDS[kind]
    # An error has it in its second line; a warning is one line.
    lines = outcome.text.splitlines()
    head = "".join(lines[1:2] if outcome.verdict == "raised" else lines[:1])
    return {
        "program": name,
        "kind": kind,
        "verdict": outcome.verdict,
        "due": row.raised,
        "reported": outcome.verdict in ("raised", "reported"),
        "line": right_place(kind, outcome, head),
        "has_line": bool(outcome.plant.names or faults.expected_lines(kind)),
        "variables": right_variables(kind, outcome),
        "seconds": outcome.seconds,
        "head": head,
        "text": outcome.text,
        "report": outcome.report,
    }


def healthy(name):
    """Returns what was said of a healthy program, and what changed in it.

    What is rounded otherwise takes some batches to show.
    """
    plain = fit(name, faults.Plant(), check=False, epochs=10)
    checked = fit(name, faults.Plant(), epochs=10)
    if plain.verdict != "silent":
        raise RuntimeError(f"Plain training of {name}: {plain.text}")
    before, after = weights(plain.model), weights(checked.model)
    changed = [
        path
        for path, value in before.items()
        if value.tobytes() != after[path].tobytes()
    ]
    return checked, changed


def read_arguments():
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--faults", default=",".join(faults.KINDS))
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--messages", type=pathlib.Path)
    arguments = parser.parse_args()
    names = arguments.programs.split(",")
    kinds = arguments.faults.split(",")
    for choice, known in ((names, PROGRAMS), (kinds, faults.KINDS)):
        unknown = set(choice) - set(known)
        if unknown:
            parser.error(f"Choose from {list(known)}. Received: {unknown}")
    if arguments.messages:
        arguments.messages.mkdir(parents=True, exist_ok=True)
    part, parts = map(int, arguments.part.split("/"))
    pairs = [
        (name, kind)
        for name in names
        for kind in kinds
        if BACKEND in faults.KINDS[kind].backends
    ]
    chosen = pairs[part - 1 :: parts]
    return arguments, {
        name: [kind for other, kind in chosen if other == name]
        for name in names
    }


def summarize(rows, alarms, changes, count):
    """Prints the table."""

    def share(name, key, chosen):
        hits = sum(row[key] for row in chosen)
        percent = f"{100 * hits / len(chosen):.0f} %" if chosen else "-"
        print(f"{name:34} {hits:4} of {len(chosen):4}  {percent}")

    print(f"\n{BACKEND}, Keras {keras.__version__}")
    print(f"{'healthy programs stopped':34} {alarms:4} of {count:4}")
    print(f"{'healthy programs changed':34} {changes:4} of {count:4}")
    due = [row for row in rows if row["due"]]
    for row in due:
        row["raised"] = row["verdict"] == "raised"
    lines = [row for row in rows if row["has_line"]]
    share("raised, of those that have to be", "raised", due)
    share("reported at least", "reported", rows)
    share("exact line first", "line", lines)
    share("right variables", "variables", rows)
    seconds = [row["seconds"] for row in rows if row["seconds"]]
    if seconds:
        print(
            f"{'processor seconds to explain':34} median "
            f"{statistics.median(seconds):.2f}, most {max(seconds):.2f}"
        )
    print(f"\n{'kind':14}{'programs':>9}{'reported':>9}{'line':>6}{'vars':>6}")
    for kind in faults.KINDS:
        chosen = [row for row in rows if row["kind"] == kind]
        if chosen:
            hits = [
                sum(r[k] for r in chosen)
                for k in ("reported", "line", "variables")
            ]
            print(f"{kind:14}{len(chosen):9}{hits[0]:9}{hits[1]:6}{hits[2]:6}")


def is_right(row):
    """Whether everything about a planted fault was found."""
    verdict = row["verdict"] == "raised" or not row["due"]
    return (
        row["reported"]
        and verdict
        and row["variables"]
        and (row["line"] or not row["has_line"])
    )


def main():
    """Runs the programs."""
    arguments, chosen = read_arguments()
    rows, alarms, changes = [], 0, 0
    for name, kinds in chosen.items():
        checked, changed = healthy(name)
        alarms += checked.verdict not in ("silent", "reported")
        changes += bool(changed)
        if checked.verdict != "silent" or changed:
            print(f"HEALTHY {name}: {checked.verdict}, changed {changed}")
            print("  " + checked.text.replace("\n", "\n  "))
        for kind in kinds:
            row = judge(name, kind)
            if row is None:
                continue
            rows.append(row)
            if arguments.messages:
                file = arguments.messages / f"{name}.{kind}.{BACKEND}.txt"
                file.write_text(
                    "\n\n".join(str(v) for v in row.values()) + "\n"
                )
            if not is_right(row):
                print(
                    f"{name:18} {kind:12} {row['verdict']:10} "
                    f"line={'yes' if row['line'] else 'no'} "
                    f"variables={'yes' if row['variables'] else 'no'}  "
                    f"{row['head'][:90]}"
                )
            sys.stdout.flush()
    summarize(rows, alarms, changes, len(chosen))


if __name__ == "__main__":
    main()
