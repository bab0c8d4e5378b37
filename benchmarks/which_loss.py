"""Which loss when: a small network, three tasks, and a loss for each run.

The tasks are enlarging to twice the size, taking noise away and taking blur
away. For each task and seed one network is trained on mean absolute errors;
that is the start of every candidate, which then goes on for the same number of
steps at the same learning rates on the same batches of photographs. They differ
in the loss alone:

- a candidate `A + B` is trained on the sum of these terms. The first counts as
  it is, and edges with a weight of 0.05; every other term is weighted so that
  at the common start it is worth five times as much as the mean absolute error;
- a candidate `A + B balanced` is trained on a `WeightedSumLoss` that gives each
  term the same share of the gradient at the prediction, or a fifth to the
  first with `1:4` behind it; nothing is weighted;
- a candidate of one term is trained on nothing else.

Judges look at parts of photographs that no network has seen. They are some of
the same measures that were trained on: what a judge says of a network that was
trained on that very measure tells little, and is left out of its mean rank.
The judges that look through VGG16 are kin, and so are those of AlexNet.

What each network makes of the photographs is written to a file, and a run whose
file is there is not made again: stop and start as you like. When all are there,
they are judged. It takes about two hours on two cores.
`pip install -e ".[examples]"` brings all that is needed.

    python benchmarks/which_loss.py --output which_loss
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import scipy.ndimage
import skimage.data
import sklearn.datasets
from keras import ops
from matplotlib import pyplot

import keras_perceptual as kp

CROP = 48
SHARED_CROPS, SHARED_EPOCHS, SHARED_BATCH = 2000, 4, 8
EPOCHS, BATCH = 4, 4
EDGE_WEIGHT = 0.05
PERCEPTUAL_SHARE = 5.0

# Where to look: photograph, top, left of parts of 128 by 128 pixels.
PARTS = (
    ("chelsea", 90, 100),
    ("chelsea", 150, 250),
    ("china", 60, 200),
    ("china", 290, 500),
    ("coffee", 60, 200),
    ("coffee", 230, 330),
)
PART = 128
# The part that is drawn, and what of it: top, left, side.
DRAWN = (0, 32, 20, 48)

# Photographs and what is done to them.


def load_photographs():
    """Returns photographs by name: arrays (height, width, 3) in (0, 1)."""
    china, flower = sklearn.datasets.load_sample_images().images
    photographs = {
        "astronaut": skimage.data.astronaut(),
        "brick": skimage.data.brick(),
        "camera": skimage.data.camera(),
        "chelsea": skimage.data.chelsea(),
        "china": china,
        "coffee": skimage.data.coffee(),
        "flower": flower,
        "grass": skimage.data.grass(),
        "gravel": skimage.data.gravel(),
        "motorcycle": skimage.data.stereo_motorcycle()[0],
        "rocket": skimage.data.rocket(),
    }
    return {
        name: (
            image if image.ndim == 3 else np.repeat(image[..., None], 3, -1)
        ).astype("float32")
        / 255.0
        for name, image in photographs.items()
    }


def cut_crops(photographs, number, seed):
    """Cuts squares out of the photographs, in turn, half of them mirrored."""
    random = np.random.default_rng(seed)
    crops = []
    for index in range(number):
        photograph = photographs[index % len(photographs)]
        top = random.integers(0, photograph.shape[0] - CROP + 1)
        left = random.integers(0, photograph.shape[1] - CROP + 1)
        crop = photograph[top : top + CROP, left : left + CROP]
        crops.append(crop[:, ::-1] if random.random() < 0.5 else crop)
    return np.stack(crops)


def in_eight_bits(images):
    """Returns images as they would come back from a file."""
    images = np.clip(images, 0.0, 1.0)
    return np.round(255.0 * images).astype("float32") / 255.0


def shrink(images, random):
    """Halves the size and enlarges again, both bicubic."""
    del random
    size = images.shape[1:3]
    small = ops.image.resize(
        images,
        (size[0] // 2, size[1] // 2),
        interpolation="bicubic",
        antialias=True,
    )
    small = in_eight_bits(ops.convert_to_numpy(small))
    large = ops.image.resize(small, size, interpolation="bicubic")
    return ops.convert_to_numpy(large)


def add_noise(images, random):
    """Adds Gaussian noise of a tenth of the range."""
    return images + random.normal(0.0, 0.1, images.shape).astype("float32")


def blur(images, random):
    """Blurs with a Gaussian of 1.5 pixels, and adds a hundredth of noise."""
    blurred = scipy.ndimage.gaussian_filter(images, (0, 1.5, 1.5, 0))
    noise = random.normal(0.0, 0.01, images.shape).astype("float32")
    return in_eight_bits(blurred + noise)


TASKS = {"enlarging": shrink, "denoising": add_noise, "deblurring": blur}


def convolve(x, filters, activation=None, layer=keras.layers.Conv2D, **kwargs):
    """Returns what a convolution by 3 or 4 pixels makes of `x`."""
    size = 4 if "strides" in kwargs else 3
    return layer(
        filters, size, padding="same", activation=activation, **kwargs
    )(x)


def build_network(filters=32, blocks=4):
    """Returns residual blocks at half the size."""
    inputs = keras.Input((None, None, 3))
    x = convolve(inputs, filters, "leaky_relu", strides=2)
    for _ in range(blocks):
        change = convolve(x, filters, "leaky_relu")
        x = keras.layers.Add()([x, convolve(change, filters)])
    x = convolve(
        x,
        filters // 2,
        "leaky_relu",
        layer=keras.layers.Conv2DTranspose,
        strides=2,
    )
    small = keras.initializers.RandomNormal(stddev=1e-2)
    change = convolve(x, 3, kernel_initializer=small)
    return keras.Model(inputs, keras.layers.Add()([inputs, change]))


# Candidates and judges.

TERMS = {
    "MAE": keras.losses.MeanAbsoluteError,
    "edges": kp.SobelGradientLoss,
    "SSIM": lambda: kp.SSIMLoss(),
    "VGG16": kp.PerceptualLoss,
    "VGG16 to relu3_3": lambda: kp.PerceptualLoss(
        layers={"relu1_2": 0.57, "relu2_2": 0.11, "relu3_3": 0.07}
    ),
    "AlexNet": lambda: kp.PerceptualLoss("alexnet"),
    "LPIPS VGG16": lambda: kp.LPIPS("vgg16"),
    "LPIPS AlexNet": lambda: kp.LPIPS("alexnet"),
    "DISTS": lambda: kp.DISTS(),
    "perceived": kp.PerceivedDistance,
    "perceived small": lambda: kp.PerceivedDistance(size="small"),
    "perceived even": lambda: kp.PerceivedDistance(forgive_gain=False),
    "AlexNet lost": lambda: kp.PerceptualLoss("alexnet", distance="lost"),
    "VGG16 lost": lambda: kp.PerceptualLoss(distance="lost"),
}
CANDIDATES = (
    "MAE",
    "MAE + edges",
    "MAE + VGG16",
    "MAE + AlexNet",
    "MAE + SSIM",
    "MAE + LPIPS AlexNet",
    "MAE + LPIPS VGG16",
    "MAE + DISTS",
    "MAE + edges + VGG16",
    "MAE + VGG16 to relu3_3",
    "VGG16",
    "AlexNet",
    "LPIPS AlexNet",
    "LPIPS VGG16",
    "DISTS",
    "MAE + perceived",
    "MAE + perceived small",
    "MAE + perceived even",
    "MAE + AlexNet lost",
    "MAE + VGG16 lost",
    "MAE + edges balanced",
    "MAE + VGG16 balanced",
    "MAE + AlexNet balanced",
    "MAE + VGG16 balanced 1:4",
    "MAE + AlexNet balanced 1:4",
)
BALANCED = " balanced"


def terms_of(candidate):
    """Returns the names of the terms of a candidate."""
    return candidate.partition(BALANCED)[0].split(" + ")


def shares_of(candidate):
    """Returns what the terms of a candidate have of the gradient, if told."""
    _, balanced, shares = candidate.partition(BALANCED)
    names = terms_of(candidate)
    if not balanced:
        return None
    numbers = (
        [float(x) for x in shares.split(":")] if shares else [1] * len(names)
    )
    return dict(zip(names, numbers, strict=True))


def peak_signal_to_noise_ratio(truth, images):
    """Returns decibels, for each image."""
    return -10.0 * np.log10(np.mean((truth - images) ** 2, axis=(1, 2, 3)))


class Judges:
    """What is said of pictures, each judge with the truth in mind."""

    # Name of the judge, whether more is better, the term that asks for it.
    KINDS = (
        ("PSNR", True, "MAE"),
        ("SSIM", True, "SSIM"),
        ("Sobel L1", False, "edges"),
        ("LPIPS AlexNet", False, "LPIPS AlexNet"),
        ("LPIPS VGG16", False, "LPIPS VGG16"),
        ("DISTS", False, "DISTS"),
        ("VGG16", False, "VGG16"),
        ("perceived", False, "perceived"),
    )

    def __init__(self, truth):
        self.truth = truth
        self.losses = {
            name: TERMS[term]()
            for name, _, term in self.KINDS
            if name not in ("PSNR", "SSIM")
        }
        self.targets = {
            name: encode(loss, truth) for name, loss in self.losses.items()
        }

    def __call__(self, images):
        """Returns a number a judge, the mean over the images."""
        structure = ops.image.ssim(self.truth, images, max_val=1.0)
        found = {
            "PSNR": peak_signal_to_noise_ratio(self.truth, images),
            "SSIM": ops.convert_to_numpy(structure),
        }
        for name, loss in self.losses.items():
            found[name] = [
                float(loss(target[None], image[None]))
                for target, image in zip(
                    self.targets[name], images, strict=True
                )
            ]
        return {name: float(np.mean(found[name])) for name, _, _ in self.KINDS}


def encode(loss, images):
    """Returns the targets as the loss keeps them, where it can."""
    if not hasattr(loss, "encode"):
        return images
    return np.concatenate(
        [
            ops.convert_to_numpy(loss.encode(images[start : start + 4]))
            for start in range(0, len(images), 4)
        ]
    )


# One run.


def train(
    network,
    terms,
    weights,
    inputs,
    targets,
    *,
    epochs,
    batch_size,
    shares=None,
):
    """Trains on weighted terms, while the learning rate falls to zero.

    Each term has an output of its own, the same picture, since each has a kind
    of target of its own. With shares the terms are balanced, which one loss
    does, and their targets are the same pictures.
    """
    steps = epochs * -(-len(inputs) // batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, steps)
    if shares:
        loss = kp.WeightedSumLoss(terms, balance="gradient", shares=shares)
        network.compile(
            keras.optimizers.Adam(schedule), loss, metrics=[kp.LossTerms(loss)]
        )
        network.fit(
            inputs, targets, epochs=epochs, batch_size=batch_size, verbose=0
        )
        return
    keys = {name: f"term{index}" for index, name in enumerate(terms)}
    model = keras.Model(
        network.inputs,
        {
            key: keras.layers.Identity(name=key)(network.outputs[0])
            for key in keys.values()
        },
    )
    model.compile(
        keras.optimizers.Adam(schedule),
        loss={key: terms[name] for name, key in keys.items()},
        loss_weights={key: weights[name] for name, key in keys.items()},
    )
    model.fit(
        inputs,
        {key: targets[name] for name, key in keys.items()},
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
    )


def start_of(task, seed, photographs, path):
    """Returns the network that all candidates start from."""
    keras.utils.set_random_seed(seed)
    network = build_network()
    if path.exists():
        network.load_weights(path)
        return network
    crops = cut_crops(photographs, SHARED_CROPS, seed=10 + seed)
    inputs = TASKS[task](crops, np.random.default_rng(20 + seed))
    train(
        network,
        {"MAE": TERMS["MAE"]()},
        {"MAE": 1.0},
        inputs,
        {"MAE": crops},
        epochs=SHARED_EPOCHS,
        batch_size=SHARED_BATCH,
    )
    network.save_weights(path)
    return network


def weigh(terms, targets, crops, outputs):
    """Returns the weights of the terms, which depend on the common start."""
    pixels = float(np.mean(np.abs(crops - outputs)))
    weights = {}
    for name, loss in terms.items():
        if name == "MAE" or len(terms) == 1:
            weights[name] = 1.0
        elif name == "edges":
            weights[name] = EDGE_WEIGHT
        else:
            value = np.mean(
                [
                    float(loss(targets[name][i : i + 4], outputs[i : i + 4]))
                    for i in range(0, len(outputs), 4)
                ]
            )
            weights[name] = float(PERCEPTUAL_SHARE * pixels / value)
    return weights


# Tables and the picture.


def measured(results, task, judge):
    """Returns an array of values for each candidate, one value a seed."""
    found = {}
    for candidate in ("input", *CANDIDATES):
        values = [
            result[judge]
            for key, result in sorted(results.items())
            if key.split("/")[1:] == [task, candidate]
        ]
        if values:
            found[candidate] = np.array(values)
    return found


def ranks_of(results, task):
    """Returns the rank of each candidate for each judge."""
    table = {}
    for judge, more_is_better, _ in Judges.KINDS:
        means = {k: v.mean() for k, v in measured(results, task, judge).items()}
        order = sorted(means, key=means.get, reverse=more_is_better)
        table[judge] = {name: rank for rank, name in enumerate(order, 1)}
    return table


def mean_ranks(results):
    """Returns mean ranks over tasks and judges, its own term left out."""
    table = {}
    for task in TASKS:
        for judge, _, own in Judges.KINDS:
            for candidate, rank in ranks_of(results, task)[judge].items():
                kind = (
                    "fidelity"
                    if judge in ("PSNR", "SSIM", "Sobel L1")
                    else "perception"
                )
                row = table.setdefault(
                    candidate, {"all": [], "fidelity": [], "perception": []}
                )
                terms = terms_of(candidate)
                if not any(term.startswith(own) for term in terms):
                    row["all"].append(rank)
                    row[kind].append(rank)
    return {
        candidate: {kind: np.mean(ranks) for kind, ranks in row.items()}
        for candidate, row in table.items()
    }


def print_row(*cells):
    """Prints a row of a table in Markdown."""
    print(f"| {' | '.join(cells)} |")


def print_tables(results):
    """Prints a table a task, and the mean ranks over all of them."""
    judges = [
        f"{name} {'↑' if more else '↓'}" for name, more, _ in Judges.KINDS
    ]
    for task in TASKS:
        print(f"\n{task.capitalize()}, mean ± half the range of the seeds:\n")
        print_row("trained on", *judges)
        print_row("---", *["---:"] * len(judges))
        columns = {
            judge: measured(results, task, judge)
            for judge, _, _ in Judges.KINDS
        }
        ranks = ranks_of(results, task)
        for candidate in columns["PSNR"]:
            cells = []
            for judge, column in columns.items():
                values = column[candidate]
                digits = 2 if judge == "PSNR" else 4
                cell = f"{values.mean():.{digits}f}"
                if ranks[judge][candidate] == 1:
                    cell = f"**{cell}**"
                if len(values) > 1:
                    cell += f" ± {np.ptp(values) / 2:.{digits}f}"
                cells.append(cell)
            print_row(candidate, *cells)
    print("\nMean ranks over the tasks, judges of its own terms left out:\n")
    print_row("trained on", "all judges", "fidelity", "perception")
    print_row("---", "---:", "---:", "---:")
    table = mean_ranks(results)
    for candidate in sorted(table, key=lambda name: table[name]["all"]):
        print_row(
            candidate,
            *(
                f"{table[candidate][kind]:.1f}"
                for kind in ("all", "fidelity", "perception")
            ),
        )


def draw(folder, path):
    """Draws what became of one photograph in each run of the first seed."""
    index, top, left, side = DRAWN
    names = [
        name
        for name in ("input", *CANDIDATES, "truth")
        if all(picture_file(folder, 0, task, name).exists() for task in TASKS)
    ]
    columns = (len(names) + 1) // 2
    figure, axes = pyplot.subplots(
        2 * len(TASKS),
        columns,
        figsize=(1.32 * columns, 3.0 * len(TASKS)),
        layout="constrained",
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for row, task in enumerate(TASKS):
        for number, name in enumerate(names):
            axis = axes[2 * row + number // columns, number % columns]
            image = np.load(picture_file(folder, 0, task, name))[index]
            axis.imshow(
                image[top : top + side, left : left + side],
                interpolation="nearest",
            )
            title = f"{task}\n{name}" if name == "input" else name
            axis.set_title(title.replace(" + ", "\n+ "), fontsize=7)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def picture_file(folder, seed, task, name):
    """Returns where the photographs of a run are kept."""
    return folder / f"{seed} {task} {name}.npy"


def keep(path, images):
    """Writes photographs with eight bits a channel."""
    np.save(path, np.round(255.0 * np.clip(images, 0.0, 1.0)).astype("uint8"))


def judge(folder, truth, seeds):
    """Returns what all judges say of all runs, and keeps it in a file."""
    log = folder / "results.json"
    results = json.loads(log.read_text()) if log.exists() else {}
    judges = None
    for seed in range(seeds):
        for task in TASKS:
            for name in ("input", *CANDIDATES):
                path = picture_file(folder, seed, task, name)
                key = f"{seed}/{task}/{name}"
                if key in results or not path.exists():
                    continue
                judges = judges or Judges(truth)
                images = np.load(path).astype("float32") / 255.0
                results[key] = judges(images)
                log.write_text(json.dumps(results, indent=1))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=pathlib.Path("which_loss"),
        help="the folder of results, which are continued",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--crops", type=int, default=160, help="each is seen four times"
    )
    parser.add_argument(
        "--candidates",
        nargs="*",
        choices=CANDIDATES,
        default=CANDIDATES,
        help="losses to train on; all by default",
    )
    parser.add_argument(
        "--no-report",
        action="store_true",
        help="only train, and leave the judging to a later call",
    )
    options = parser.parse_args()
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)

    photographs = load_photographs()
    truth = np.stack(
        [
            photographs[name][top : top + PART, left : left + PART]
            for name, top, left in PARTS
        ]
    )
    held_out = {name for name, _, _ in PARTS}
    to_learn_from = [
        image for name, image in photographs.items() if name not in held_out
    ]
    shown = {}
    for task, degrade in TASKS.items():
        shown[task] = degrade(truth, np.random.default_rng(0))
        keep(picture_file(folder, 0, task, "input"), shown[task])
        keep(picture_file(folder, 0, task, "truth"), truth)

    for seed in range(options.seeds):
        crops = cut_crops(to_learn_from, options.crops, seed=30 + seed)
        starts = {
            task: start_of(
                task, seed, to_learn_from, folder / f"{seed} {task}.weights.h5"
            )
            for task in TASKS
        }
        for candidate in options.candidates:
            waiting = {
                task: path
                for task in TASKS
                if not (
                    path := picture_file(folder, seed, task, candidate)
                ).exists()
            }
            if not waiting:
                continue
            terms = {name: TERMS[name]() for name in terms_of(candidate)}
            shares = shares_of(candidate)
            targets = (
                crops
                if shares
                else {name: encode(loss, crops) for name, loss in terms.items()}
            )
            for task, path in waiting.items():
                started = time.time()
                inputs = TASKS[task](crops, np.random.default_rng(40 + seed))
                network = build_network()
                network.set_weights(starts[task].get_weights())
                weights = (
                    None
                    if shares
                    else weigh(
                        terms,
                        targets,
                        crops[:16],
                        ops.convert_to_numpy(network(inputs[:16])),
                    )
                )
                keras.utils.set_random_seed(50 + seed)
                train(
                    network,
                    terms,
                    weights,
                    inputs,
                    targets,
                    epochs=EPOCHS,
                    batch_size=BATCH,
                    shares=shares,
                )
                keep(path, ops.convert_to_numpy(network(shown[task])))
                print(
                    f"{seed} {task:10} {candidate:24}"
                    f"{time.time() - started:4.0f} s, weights",
                    {name: round(x, 4) for name, x in (weights or {}).items()},
                    flush=True,
                )
    if not options.no_report:
        print_tables(judge(folder, truth, options.seeds))
        draw(folder, folder / "which_loss.png")


if __name__ == "__main__":
    main()
