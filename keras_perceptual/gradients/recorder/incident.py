"""What is written of one step of a training, and reading it again."""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_perceptual.typing import PathLike

VERSION = 1
FILES = ("incident.json", "batch.npz", "state.npz")


@dataclasses.dataclass(frozen=True, eq=False)
class Incident:
    """One step that broke, or that showed a sign.

    Attributes:
        step: The number of the step, from one.
        epoch: The number of its epoch, from zero.
        text: What happened, where, and what to do.
        samples: The places in the batch of the samples that are to blame.
        batches: What the step was given: one batch, or several with
            `steps_per_execution`; tuples, dictionaries and NumPy arrays.
        state: The values of all variables before the step, NumPy arrays.
        readings: The last readings, as `to_records` gives them.
        digest: A hash of everything that the step left.
        backend: The backend of Keras it ran on.
        specs: The shapes that the step was traced with, one for each array
            of a batch.
        terms: The values of the terms of the loss, by name, as far as they
            are known.
        kind: `"nonfinite"`, or the name of the rule whose sign it shows.
        tensors: Of a loop that is written by hand, whether each array of the
            batch was a tensor; `None` of a step of `fit`.
    """

    step: int
    epoch: int
    text: str
    samples: tuple[int, ...]
    batches: list[Any]
    state: list[np.ndarray]
    readings: list[dict[str, Any]]
    digest: str
    backend: str
    specs: list[Any] | None = None
    terms: dict[str, float] = dataclasses.field(default_factory=dict)
    kind: str = "nonfinite"
    tensors: list[bool] | None = None

    def write(self, folder: PathLike, most_bytes: int) -> pathlib.Path:
        """Writes it into a new folder, whole or not at all.

        Args:
            folder: The folder around it.
            most_bytes: How large it may be.

        Returns:
            The new folder.

        Raises:
            OSError: If it cannot be written, or is larger than allowed.
        """
        arrays: list[np.ndarray] = []
        batches = [_describe(batch, arrays) for batch in self.batches]
        size = sum(a.nbytes for a in (*arrays, *self.state))
        if size > most_bytes:
            raise OSError(
                "The state and the batch are larger than allowed. Pass a "
                f"larger `max_bytes`. Received: bytes={size:,}, "
                f"max_bytes={most_bytes:,}"
            )
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        whole = _free_name(folder / f"{self.kind}-step-{self.step:08d}")
        part = pathlib.Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
        try:
            facts = {
                "version": VERSION,
                "step": self.step,
                "epoch": self.epoch,
                "text": self.text,
                "samples": list(self.samples),
                "batches": batches,
                "readings": self.readings,
                "digest": self.digest,
                "backend": self.backend,
                "specs": self.specs,
                "terms": self.terms,
                "kind": self.kind,
                "tensors": self.tensors,
            }
            text = json.dumps(facts, indent=1)
            (part / FILES[0]).write_text(text, encoding="utf-8")
            _save(part / FILES[1], arrays)
            _save(part / FILES[2], self.state)
            os.rename(part, whole)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return whole


def load(folder: PathLike) -> Incident:
    """Reads what `Incident.write` wrote.

    Args:
        folder: The folder that it returned.

    Raises:
        ValueError: If the folder holds none.
    """
    folder = pathlib.Path(folder)
    try:
        facts = json.loads((folder / FILES[0]).read_text(encoding="utf-8"))
        arrays = _load(folder / FILES[1])
        state = _load(folder / FILES[2])
        if facts.pop("version") != VERSION:
            raise KeyError("version")
        batches = [_rebuild(part, arrays) for part in facts.pop("batches")]
        samples = tuple(facts.pop("samples"))
        return Incident(**facts, samples=samples, batches=batches, state=state)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            "There is no step to run again in this folder. Pass a folder "
            "that GradientMonitor wrote, such as `nonfinite-step-...` in its "
            f"`log_dir`. Received: folder={str(folder)!r}, {error!r}"
        ) from error


def digest_of(arrays: Sequence[np.ndarray], loss: float) -> str:
    """Returns a hash of some arrays and of the loss, bit by bit."""
    found = hashlib.sha256(np.float64(loss).tobytes())
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _free_name(path: pathlib.Path) -> pathlib.Path:
    """Returns a path that does not exist yet."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def _describe(part: Any, arrays: list[np.ndarray]) -> Any:
    """Returns the structure of a batch for JSON; its arrays are collected."""
    if part is None:
        return None
    if isinstance(part, dict):
        pairs = [[key, _describe(value, arrays)] for key, value in part.items()]
        return {"dict": pairs}
    if isinstance(part, (list, tuple)):
        kind = "list" if isinstance(part, list) else "tuple"
        return {kind: [_describe(value, arrays) for value in part]}
    array = np.asarray(keras.ops.convert_to_numpy(part))
    if array.dtype.kind == "O":
        raise OSError(
            "A batch with objects or texts in it cannot be written. Convert "
            f"it to numbers before the step. Received: {array.dtype}"
        )
    arrays.append(array)
    return {"array": len(arrays) - 1}


def _rebuild(part: Any, arrays: Sequence[np.ndarray]) -> Any:
    """Returns the batch of which `_describe` returned the structure."""
    if part is None:
        return None
    ((kind, content),) = part.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {key: _rebuild(value, arrays) for key, value in content}
    parts = [_rebuild(value, arrays) for value in content]
    return parts if kind == "list" else tuple(parts)


def _save(path: pathlib.Path, arrays: Sequence[np.ndarray]) -> None:
    """Writes arrays, those of types that NumPy has no name for as bytes."""
    named = {}
    for place, array in enumerate(arrays):
        kind = array.dtype.name
        if array.dtype.kind == "V":
            array = array.view(f"u{array.dtype.itemsize}")
        named[f"{place}:{kind}"] = array
    with path.open("wb") as file:
        np.savez(file, **named)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def _load(path: pathlib.Path) -> list[np.ndarray]:
    """Reads what `_save` wrote."""
    found = []
    with np.load(path, allow_pickle=False) as file:
        for name in file.files:
            array, kind = file[name], name.partition(":")[2]
            if array.dtype.name != kind:
                import ml_dtypes

                array = array.view(getattr(ml_dtypes, kind))
            found.append(array)
    return found
