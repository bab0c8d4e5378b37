"""Models written for other runtimes, and run by them."""

import warnings

import keras
import pytest

BACKEND = keras.backend.backend()
KERAS = tuple(int(part) for part in keras.__version__.split(".")[:2])


def export_saved_model(model, folder):
    """Returns a function that runs a model as TensorFlow's SavedModel."""
    import tensorflow as tf

    with warnings.catch_warnings():
        # Of JAX, about an argument that Keras gives.
        warnings.simplefilter("ignore", DeprecationWarning)
        model.export(folder / "model", verbose=False)
    loaded = tf.saved_model.load(folder / "model")

    def run(*inputs):
        return loaded.serve(
            list(inputs) if len(inputs) > 1 else inputs[0]
        ).numpy()

    return run


def export_litert(model, folder):
    """Returns a function that runs a model in LiteRT, as phones do."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    import tensorflow as tf

    if KERAS < (3, 13):
        pytest.skip("Keras exports to LiteRT from version 3.13 on")
    path = folder / "model.tflite"
    model.export(
        path,
        format="litert",
        verbose=False,
        # Else conversion would fall back on kernels of TensorFlow's own,
        # which apps do not have.
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
    )
    runner = interpreter.Interpreter(str(path)).get_signature_runner()

    def run(*inputs):
        (result,) = runner(
            **{i.name: x for i, x in zip(model.inputs, inputs, strict=True)}
        ).values()
        return result

    return run


def export_onnx(model, folder, **arguments):
    """Returns a function that runs a model in ONNX Runtime."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip(
        {"tensorflow": "tf2onnx", "jax": "jax2onnx", "torch": "onnx"}[BACKEND]
    )
    path = folder / "model.onnx"
    with warnings.catch_warnings():
        # The converters use what NumPy and PyTorch are about to drop.
        warnings.simplefilter("ignore")
        model.export(path, format="onnx", verbose=False, **arguments)
    session = runtime.InferenceSession(str(path))
    names = [given.name for given in session.get_inputs()]

    def run(*inputs):
        (result,) = session.run(None, dict(zip(names, inputs, strict=True)))
        return result

    return run


def export_torch_program(model, folder, *inputs):
    """Returns a function that runs a model as a program of PyTorch's.

    Such a program is of one size here: that of the inputs.
    """
    import torch

    path = folder / "model.pt2"
    specs = [keras.InputSpec(shape=x.shape, dtype=str(x.dtype)) for x in inputs]
    with warnings.catch_warnings():
        # Of kernels that lie in memory as convolutions want them.
        warnings.filterwarnings("ignore", "No complete tensor found")
        model.export(
            path,
            format="torch",
            verbose=False,
            input_signature=[specs] if len(specs) > 1 else specs,
        )
    program = torch.export.load(path).module()

    def run(*inputs):
        tensors = [torch.tensor(x) for x in inputs]
        result = program(tensors if len(tensors) > 1 else tensors[0])
        return result.detach().numpy()

    return run
