"""What each of two processes of PyTorch does, for test_two_workers.py."""

import json
import pathlib
import sys

import torch
from torch.nn.parallel import DistributedDataParallel

# isort: split
import keras
import numpy as np
from distribution import training

import keras_perceptual as kp

folder = pathlib.Path(sys.argv[1])
torch.distributed.init_process_group("gloo")
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()


def make():
    """Returns the model, its loss and its optimizer."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((training.SIDE, training.SIDE, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
    outputs = kp.LookupColorLayer(5, check_range="off", name="table")(x)
    model = keras.Model(inputs, outputs)
    loss = kp.WeightedSumLoss(
        {
            "pixels": keras.losses.MeanSquaredError(),
            "edges": (kp.SobelGradientLoss("l2"), 0.5),
            "features": (
                kp.PerceptualLoss("alexnet", weights="random"),
                0.01,
            ),
        }
    )
    return model, loss, torch.optim.SGD(model.parameters(), lr=0.05)


def train(call, loss, optimizer, share):
    """Takes three steps, the last one of which is short."""
    x, y, _, _ = map(torch.from_numpy, training.photographs(11))
    values = []
    for start in (0, 4, 8):
        batch = slice(start, min(start + 4, 11))
        images = batch.stop - batch.start
        own = share(list(range(batch.start, batch.stop)))
        # `DistributedDataParallel` takes the mean of the gradients.
        part = len(own) * world / images
        value = loss(y[own], call(x[own]))
        optimizer.zero_grad()
        (part * value if call is not model else value).backward()
        optimizer.step()
        total = part * value.detach() / world
        if call is not model:
            torch.distributed.all_reduce(total)
            values.append(float(total))
        else:
            values.append(float(value))
    return values


def numbers(values):
    weights = {
        v.path: keras.ops.convert_to_numpy(v.value)
        for v in model.trainable_variables
    }
    return {"values": values, **weights}


model, loss, optimizer = make()
if rank == 0:
    values = train(model, loss, optimizer, lambda indices: indices)
    np.savez(folder / "alone.npz", **numbers(values))
model, loss, optimizer = make()
parallel = DistributedDataParallel(model)
half = lambda indices: indices[rank::world]  # noqa: E731
np.savez(
    folder / f"{rank}.npz",
    **numbers(train(parallel, loss, optimizer, half)),
)

# The check of a function looks at the batch of its own process.
first, second = keras.layers.Dense(4), keras.layers.Dense(1)
network = keras.Sequential([keras.Input((4,)), first, second])
x = np.ones((4, 4), "float32")
cut = kp.check_gradients(
    lambda: keras.ops.mean(second(keras.ops.stop_gradient(first(x)))),
    network.trainable_variables,
)
if rank == 1:
    x[0] = np.nan
report = kp.check_gradients(
    lambda: keras.ops.mean(network(x)), network.trainable_variables
)
broken = torch.tensor(float(len(report.ok) < len(report.records)))
own = bool(broken)
torch.distributed.all_reduce(broken)
(folder / f"{rank}.json").write_text(
    json.dumps(
        {
            "cut": [record.status for record in cut],
            "own": own,
            "agreed": bool(broken),
        }
    )
)
torch.distributed.destroy_process_group()
