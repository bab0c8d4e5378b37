"""Why nobody trains a variable that the step computes with."""

from keras_perceptual.gradients.diagnoses.diagnosis import Diagnosis

UNTRACKED = Diagnosis(
    title="not among the variables of the model",
    status="untracked",
    advice=(
        "Keras does not track them, so nothing will ever train them. Create "
        "a variable with `self.add_weight` in a layer. Keep layers as "
        "attributes of a layer or model, or in lists, tuples and dictionaries "
        "there. If they are not to be trained, set `trainable = False`."
    ),
    on_backend={
        "torch": (
            "Keep a `torch.nn.Module` as an attribute, or wrap it in "
            "`keras.layers.TorchModuleWrapper`: in a plain list it is not "
            "tracked. Freeze it with `requires_grad_(False)`."
        ),
    },
)
UNTRAINED = Diagnosis(
    title="used by the training step, trained by nobody",
    status="untracked",
    certain=False,
    advice=(
        "If they are meant to stay as they are, set `trainable = False`. "
        "Otherwise let Keras track them: create them with `self.add_weight`, "
        "or keep their layer as an attribute of the model."
    ),
)
