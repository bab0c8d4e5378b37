"""Each kind of mistake, diagnosed: the message holds the words of its mend."""

import keras
import pytest
from gradient_records import record

from keras_perceptual.gradients import GradientReport, message
from keras_perceptual.gradients import diagnoses as d
from keras_perceptual.gradients.places import Place as P

# What was done; the diagnosis; where; what the message must say, one of each
# tuple; what would lead astray.
KINDS = {
    "a loss weight that is a Python 0.0": (
        d.TIMES_ZERO,
        P("Mul", "keras.ops.multiply"),
        ["keras.Variable"],
        ["gate"],
    ),
    "a vector of zeros is normalized": (
        d.MADE_BACKWARD,
        P("Rsqrt", "keras.ops.normalize"),
        ["epsilon", "zero"],
        ["learning rate"],
    ),
    "a maximum behind the root of a cosine": (
        d.MADE_BACKWARD,
        P("Sqrt", "keras.ops.sqrt"),
        ["epsilon", "argument", "`maximum`"],
        [],
    ),
    "a spatial transformer": (
        d.CUT,
        P("ImageProjectiveTransformV3", "keras.ops.image.affine_transform"),
        ["map_coordinates", "grid", "interpolate"],
        ["bytes", "texts"],
    ),
    "a draw from a learned distribution": (
        d.CUT,
        P("sample", "keras.random.gamma"),
        ["Reparameterize", "sample"],
        ["integers"],
    ),
    "a learned gate of zeros and ones": (
        d.CUT,
        P("lt", "keras.random.binomial"),
        ["sample", "Gumbel", "score function"],
        ["true or false"],
    ),
    "torch modules in a list": (
        d.UNTRACKED,
        P("linear"),
        ["add_weight", "track", "attributes"],
        [],
    ),
    "a codebook whose loss comes too late": (
        d.CUT,
        P("StopGradient", "keras.ops.stop_gradient"),
        ["second way", "before this line", "codebook"],
        [],
    ),
    "a parenthesis of Gumbel-softmax that closes too late": (
        d.CUT,
        P("stop_gradient", "keras.ops.stop_gradient"),
        ["`soft + keras.ops.stop_gradient(hard - soft)`", "straight-through"],
        [],
    ),
    "relu where its second derivative counts": (
        d.SECOND_DERIVATIVE,
        P("ReluGrad", layer="h", layer_class="Dense"),
        ["tanh", "smooth", "second derivative"],
        ["dead", "biases"],
    ),
    "a derivative by some other tensor": (
        d.IGNORES_MODEL,
        P("ZerosLike"),
        ["watch", "y_pred"],
        [],
    ),
    "an inner step that assigns": (
        d.CUT,
        P("AssignVariableOp"),
        ["number from then on", "stateless_call", "value itself"],
        [],
    ),
    "layers added after compile": (
        d.STRANGER,
        None,
        ["model.compile"],
        [],
    ),
    "a segment without members": (
        d.MADE_FORWARD,
        P("UnsortedSegmentMax", "keras.ops.segment_max"),
        ["empty segment", "infinite"],
        [],
    ),
    "attention to a single token": (
        d.SOFTMAX_OF_ONE,
        P("Softmax", "keras.ops.softmax"),
        ["softmax over a single value is always one", "two keys"],
        [],
    ),
    "equal eigenvalues": (
        d.MADE_BACKWARD,
        P("SelfAdjointEigV2", "keras.ops.linalg.eigh"),
        ["equal", "eigenvalue", "noise"],
        [],
    ),
    "prices that are not scaled": (
        d.DIVERGED,
        P("MatMul"),
        ["learning rate", "scale the data"],
        ["sqrt"],
    ),
    "a Python counter in a traced step": (
        d.NOT_RUN,
        None,
        ["once", "traced", "tf.cond", "keras.ops.cond", "keras.Variable"],
        [],
    ),
    "a step that forgets to ask": (
        d.NOT_ASKED,
        None,
        ["once", "self.trainable_variables"],
        [],
    ),
    "a number taken with item": (
        d.CUT,
        P("item"),
        ["Python number"],
        ["output a loss"],
    ),
    "labels that are all ignored": (
        d.MASKED,
        P("Mul"),
        ["weight or mask", "labels", "ignore_class", "sample_weight"],
        ["relu"],
    ),
    "the logarithm of a likelihood of zero": (
        d.MADE_FORWARD,
        P("Log", "keras.ops.log"),
        ["epsilon", "logsumexp"],
        [],
    ),
    "Python code that has no gradient": (
        d.FAILS,
        P("pure_callback"),
        ["keras.ops", "custom_jvp"],
        [],
    ),
    "the last bias of a potential": (
        d.DERIVATIVE_ONLY,
        P("AddV2", layer="energy", layer_class="Dense"),
        ["only a derivative", "`ignore`"],
        ["dead"],
    ),
    "gradients read before backward": (
        d.TOO_EARLY,
        None,
        ["backward()", "zero_grad"],
        [],
    ),
    "a sample drawn outside the function": (
        d.OUTSIDE,
        None,
        ["inside", "constant"],
        ["training step"],
    ),
    "rounding": (
        d.CUT,
        P("Round", "tf.round"),
        ["staircase", "straight-through"],
        [],
    ),
    "rounding in a branch": (
        d.CUT_IN_BRANCH,
        P("Round", "keras.ops.round"),
        ["staircase", "straight-through", "Another batch"],
        [],
    ),
    "a spike that is a comparison": (
        d.CUT,
        P("Greater", "keras.ops.greater"),
        ["comparison", "sigmoid", "straight-through"],
        ["masked"],
    ),
    "a cast of a comparison": (
        d.CUT,
        P("Cast", "keras.ops.cast"),
        ["comparison", "sigmoid", "integers"],
        [],
    ),
    "a head for training that is skipped": (
        d.UNUSED,
        None,
        ["training=True"],
        ["output a loss"],
    ),
    "losses of layers that the step leaves out": (
        d.LOSS_LEFT_OUT,
        None,
        ["add_loss", "losses"],
        [],
    ),
    "a weight computed in build": (
        d.UNUSED_IN_CALLED_LAYER,
        None,
        ["build", "call", "number from then on"],
        ["never calls"],
    ),
    "numbers that go into an Embedding": (
        d.CUT,
        P("Cast", "keras.ops.cast", "table", "Embedding"),
        ["softmax", "integers"],
        ["y_true"],
    ),
    "a variable in a dataclass": (
        d.UNTRACKED,
        P("RealDiv"),
        ["add_weight", "track"],
        [],
    ),
    "a loss that never looks at the prediction": (
        d.IGNORES_PREDICTION,
        None,
        ["y_pred", "y_true"],
        ["output a loss"],
    ),
    "NaN in the targets": (
        d.IN_DATA,
        None,
        ["np.isfinite", "sample_weight"],
        ["learning rate"],
    ),
    "labels longer than the time axis": (
        d.IMPOSSIBLE_LABELS,
        P("CTCLossV2"),
        ["time steps", "labels"],
        ["learning rate"],
    ),
    "float16 that overflows at every scale": (
        d.SCALE_EXHAUSTED,
        None,
        ["float32", "65504"],
        [],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_message_holds_the_mend(kind):
    row, place, words, wrong = KINDS[kind]
    culprits = (place,) if place else ()
    report = GradientReport((record("net/a", row, culprits),), 3)
    texts = [message.describe("Checker", report, 4)]
    if row.status == "zero" and not row.permanent:
        texts.append(message.describe_passing_zeros("Checker", report, 4))
    for text in texts:
        for word in words:
            assert word.lower() in text.lower()
        for word in wrong:
            assert word.lower() not in text.lower()


@pytest.mark.parametrize("row", [d.UNUSED, d.IGNORES_MODEL])
def test_steps_on_jax_must_not_call_the_model_itself(row, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    report = GradientReport((record("net/a", row),), 1)
    assert "stateless_call" in message.describe("Checker", report, 4)


@pytest.mark.parametrize("row", d.ALL, ids=lambda row: row.title)
def test_words_are_those_of_the_field(row):
    """American spelling; no word for a layer that is the user's mistake."""
    text = " ".join((row.title, row.advice, row.in_function)).lower()
    for word in ("colour", "normalis", "neighbour", "behaviour", "optimis"):
        assert word not in text
