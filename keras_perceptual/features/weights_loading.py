"""Reading weights from files: those of the package and those of the user."""

import contextlib
import hashlib
import io
import math
import pathlib
import types
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import h5py
import keras
import numpy as np

from keras_perceptual.files import check_file, show_path
from keras_perceptual.typing import PathLike

# A file may hold a classifier, and what an optimizer remembers, in float64.
BYTES_A_WEIGHT = 64
FOLDER = pathlib.Path(__file__).parent / "weights"

# What reading an archive of arrays raises about another file.
NOT_ARRAYS = (
    EOFError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)

# What tools/convert_weights.py printed when it made the files.
SHA256 = {
    "vgg16.npz": (
        "b198dbeefec50a9813209f83229ef517dad79418fd72bbdd367f44a7a522ad8a"
    ),
    "alexnet.npz": (
        "53ed7fbcd7440e8564d7f94c8f70a23bde3e5922fcb3e5284c28767a2111ccca"
    ),
    "lpips_v0.1.npz": (
        "96bc21d8655ccc2eb136d2b8815fd039ee15da9cb645a0afc62eb403ecc58dcd"
    ),
    "dists.npz": (
        "f790df55d28a0760c60b116ef43c64d0924a04cba985548917bf09b9df639f91"
    ),
}


def read_packaged(name: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a weights file of the package, verified.

    Args:
        name: String, a key of `SHA256`.

    Returns:
        A dictionary of NumPy arrays.

    Raises:
        FileNotFoundError: If the installation lacks the file.
        ValueError: If the file is not the one that was published.
    """
    path = FOLDER / name
    data = _read_bytes(path, "Reinstall keras_perceptual")
    digest = hashlib.sha256(data).hexdigest()
    if digest != SHA256[name]:
        raise ValueError(
            f"The weights file {path} is damaged or was replaced: its sha256 "
            f"should be {SHA256[name]}. Reinstall keras_perceptual. "
            f"Received: sha256={digest}"
        )
    return _read_npz(io.BytesIO(data), path)


def load_file(model: keras.Model, path: PathLike) -> None:
    """Loads the weights of a model from a user's file.

    Args:
        model: A `keras.Model`.
        path: String, the path of an `.npz` file of plain arrays named as in
            `assign`, or of an `.h5` file as Keras writes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file does not fit the model; pickles, pipes and
            devices are refused, as is what leads to other files.
    """
    advice = "Check the path that was given as `weights`"
    limit = BYTES_A_WEIGHT * model.count_params() + 2**24
    with _readable(path, advice):
        check_file(
            f"The network {model.name!r}", path, limit, argument="weights"
        )
        with open(path, "rb"):
            pass
    if str(path).endswith(".npz"):
        _load_npz(model, path)
    else:
        _load_h5(model, path)
    for variable in model.weights:
        if not np.all(np.isfinite(keras.ops.convert_to_numpy(variable.value))):
            raise ValueError(
                f"The weights in {show_path(path)} hold NaN or infinity, in "
                f"{variable.path!r}, and every loss would be NaN. Give "
                "weights of a network that works. "
                f"Received: weights={show_path(path)}"
            )


def _load_npz(model: keras.Model, path: PathLike) -> None:
    """Loads the arrays of a model, and reads no others of the file.

    Nor does it believe the file: an array is read once its type and its shape
    are those of the variable, so that no file can ask for more memory.
    """
    wanted = {
        f"{layer.name}/{variable.name}": tuple(variable.shape)
        for layer in model.layers
        for variable in layer.weights
    }
    with _only_arrays(path), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        arrays: dict[str, Any] = dict.fromkeys(names)
        for key in wanted.keys() & arrays.keys():
            with archive.open(f"{key}.npy") as member:
                arrays[key] = _read_array(member, wanted[key])
    assign(model, arrays, str(path))


def _read_array(file: Any, wanted: tuple[int, ...]) -> Any:
    """Returns an array, or what has but its shape where that is another."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        header = np.lib.format.read_array_header_1_0(file)
    else:
        header = np.lib.format.read_array_header_2_0(file)
    shape, fortran_order, dtype = header
    if dtype.kind not in "fiu":
        raise ValueError(f"no numbers are in it. Received: dtype={dtype}")
    if shape != wanted:
        return types.SimpleNamespace(shape=shape)
    size = math.prod(shape) * dtype.itemsize
    data = file.read(size)
    if len(data) != size or file.read(1):
        raise ValueError(f"it has another size. Received: shape={shape}")
    values = np.frombuffer(data, dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")


def _load_h5(model: keras.Model, path: PathLike) -> None:
    try:
        _check_claims(model, path)
        model.load_weights(path)
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(
            f"The weights in {show_path(path)} do not fit the network "
            f"{model.name!r} without its classifier. Give a file that Keras "
            f"wrote for this architecture. Keras says: {error} "
            f"Received: weights={show_path(path)}"
        ) from error


def _check_claims(model: keras.Model, path: PathLike) -> None:
    """Refuses a file that says it holds far more than a model needs.

    Nor may its numbers lie in other files, which could be any.
    """
    claimed = 0

    def find_outside(name: str, item: Any) -> str | None:
        nonlocal claimed
        if not isinstance(item, h5py.Dataset):
            return None
        claimed += item.size
        return name if item.external or item.is_virtual else None

    def find_link(name: str, link: Any) -> str | None:
        return name if isinstance(link, h5py.ExternalLink) else None

    with h5py.File(path) as file:
        outside = file.visititems_links(find_link) or file.visititems(
            find_outside
        )
    if outside is not None:
        raise ValueError(
            "Numbers of it are in other files. Save the weights in one. "
            f"Received: {outside!r}, which leads to another file"
        )
    # There may be an optimizer in it, which remembers something of each.
    if claimed > 10 * model.count_params() + 1000:
        raise ValueError(
            f"The file is for {model.count_params():,} weights. "
            f"Received: a claim of {claimed:,} numbers"
        )


def assign(
    model: keras.Model, arrays: Mapping[str, np.ndarray], source: str
) -> None:
    """Gives the layers of a model the arrays that carry their names.

    Args:
        model: A `keras.Model` whose layers hold variables.
        arrays: Dictionary from `"<layer>/<variable>"`, such as
            `"block1_conv1/kernel"`, to an array.
        source: Where the arrays come from, for the message.

    Raises:
        ValueError: If an array is missing or has another shape.
    """
    for layer in model.layers:
        for variable in layer.weights:
            key = f"{layer.name}/{variable.name}"
            shape = tuple(variable.shape)
            if key not in arrays:
                raise ValueError(
                    f"The weights in {source} do not fit the network "
                    f"{model.name!r}: they have no {key!r} of shape {shape}. "
                    "Give weights of the same architecture. "
                    f"Received: arrays named {sorted(arrays)[:6]}"
                )
            if arrays[key].shape != shape:
                raise ValueError(
                    f"The weights in {source} do not fit the network "
                    f"{model.name!r}: {key!r} should have shape {shape}. Give "
                    "weights of the same architecture, with kernels as "
                    "(height, width, inputs, outputs). "
                    f"Received: shape={arrays[key].shape}"
                )
            variable.assign(arrays[key].astype(variable.dtype))


def assign_random(model: keras.Model, seed: int = 0) -> None:
    """Gives a model random weights that are the same in every process.

    Kernels are drawn from He's normal distribution; what has one axis or none
    (biases, the statistics of a normalization) keeps its initial value.

    Args:
        model: A `keras.Model` whose layers hold variables.
        seed: Integer.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        # A depthwise kernel sees one channel, (height, width, channel, 1).
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for variable in layer.weights:
            shape = tuple(variable.shape)
            if len(shape) > 1:
                fan_in = np.prod(shape[:2] if depthwise else shape[:-1])
                values = rng.normal(0.0, np.sqrt(2.0 / fan_in), shape)
                variable.assign(values.astype(variable.dtype))


def _read_bytes(path: Any, advice: str) -> bytes:
    with _readable(path, advice):
        return pathlib.Path(path).read_bytes()


@contextlib.contextmanager
def _readable(path: Any, advice: str) -> Iterator[None]:
    """Says so where a file cannot be read."""
    try:
        yield
    except OSError as error:
        raise FileNotFoundError(
            f"A weights file cannot be read: {error.strerror}. {advice}. "
            f"Received: {show_path(path)}"
        ) from error


def _read_npz(file: BinaryIO, path: Any) -> dict[str, np.ndarray]:
    with _only_arrays(path), np.load(file, allow_pickle=False) as archive:
        return dict(archive)


@contextlib.contextmanager
def _only_arrays(path: Any) -> Iterator[None]:
    """Says so where a file does not hold plain arrays."""
    try:
        yield
    except NOT_ARRAYS as error:
        raise ValueError(
            "A weights file should hold plain arrays as written by "
            f"`numpy.savez`, and this one does not ({error}). "
            f"Received: {show_path(path)}"
        ) from error
