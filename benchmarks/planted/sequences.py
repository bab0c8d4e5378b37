"""Programs with sequences, each after the usual way to write it."""

import keras
import numpy as np
from keras import layers, ops

WORDS = 20


def random_words(length, count=12, low=1):
    """Returns sequences of numbers of words; 0 stands for padding."""
    random = np.random.default_rng(0)
    return random.integers(low, WORDS, (count, length)).astype("int32")


def seq2seq(plant):
    """An LSTM that reads and one that writes."""
    read = keras.Input((6,), dtype="int32")
    x = layers.Embedding(WORDS, 8, mask_zero=True, name="read_words")(read)
    x = plant.put(layers.Dense(8, activation="gelu", name="mixed")(x))
    _, h, c = layers.LSTM(8, return_state=True, name="reader")(x)
    written = keras.Input((5,), dtype="int32")
    y = layers.Embedding(WORDS, 8, mask_zero=True, name="written_words")(
        written
    )
    y = layers.LSTM(8, return_sequences=True, name="writer")(
        y, initial_state=[h, c]
    )
    out = layers.Dense(WORDS, activation="softmax", name="next")(y)
    model = keras.Model([read, written], out)
    model.compile(
        keras.optimizers.SGD(0.1), plant.loss("sparse_categorical_crossentropy")
    )
    source = random_words(6)
    source[:, 4:] = 0
    target = random_words(6)
    return model, {"x": [source, target[:, :-1]], "y": target[:, 1:]}


def ctc(plant):
    """Recognition of speech with the CTC loss."""
    frames = keras.Input((12, 5))
    x = layers.Conv1D(8, 3, padding="same", activation="relu")(frames)
    x = layers.GRU(8, return_sequences=True)(x)
    x = layers.Dense(8, activation="gelu")(plant.put(x))
    out = layers.Dense(6, name="letters")(x)
    model = keras.Model(frames, out)
    model.compile(keras.optimizers.SGD(0.1), plant.loss(keras.losses.CTC()))
    random = np.random.default_rng(0)
    labels = random.permuted(np.tile(np.arange(1, 6), (12, 1)), axis=1)
    sound = random.normal(size=(12, 12, 5)).astype("float32")
    return model, {"x": sound, "y": labels[:, :3].astype("int32")}


def text(plant):
    """A classifier of texts with a penalty on its embedding."""
    penalty = keras.regularizers.L2(plant.penalty)
    model = keras.Sequential(
        [
            keras.Input((8,), dtype="int32"),
            layers.Embedding(WORDS, 8, embeddings_regularizer=penalty),
            layers.SpatialDropout1D(0.2),
            layers.Conv1D(8, 3, activation="relu", padding="same"),
            layers.Bidirectional(layers.LSTM(4, return_sequences=True)),
            plant.tap,
            layers.Dense(8, activation="gelu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", plant.loss("binary_crossentropy"))
    return model, {"x": random_words(8), "y": np.arange(12) % 2}


class Captioner(keras.Model):
    """Writes about an image that a frozen network has seen."""

    def __init__(self, plant):
        super().__init__()
        self.encoder = keras.Sequential(
            [
                layers.Conv2D(4, 3, strides=2, activation="relu"),
                layers.BatchNormalization(),
                layers.GlobalAveragePooling2D(),
            ],
            name="encoder",
        )
        self.encoder.trainable = False
        self.bridge = layers.Dense(8, activation="tanh", name="bridge")
        self.words = layers.Embedding(WORDS, 8, name="words")
        self.memory = layers.GRU(8, return_sequences=True, name="memory")
        self.tap = plant.tap
        self.hidden = layers.Dense(8, activation="gelu", name="hidden")
        self.next = layers.Dense(WORDS, name="next")

    def call(self, inputs):
        """Returns the scores of the next words."""
        images, words = inputs
        seen = self.bridge(self.encoder(images))
        x = self.memory(self.words(words), initial_state=seen)
        return self.next(self.hidden(self.tap(x)))


def captioning(plant):
    """Captions with a frozen encoder."""
    model = Captioner(plant)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), plant.loss(loss))
    images = np.random.default_rng(0).random((12, 8, 8, 3), "float32")
    words = random_words(6)
    return model, {"x": [images, words[:, :-1]], "y": words[:, 1:]}


class Causal(layers.Layer):
    """A causal transformer block."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.attention = layers.MultiHeadAttention(2, units // 2)
        self.norm = layers.LayerNormalization()
        self.up = layers.Dense(2 * units, activation="gelu")
        self.down = layers.Dense(units)

    def build(self, input_shape):
        """Builds its layers."""
        units = input_shape[-1]
        self.attention.build(input_shape, input_shape)
        self.norm.build(input_shape)
        self.up.build(input_shape)
        self.down.build((*input_shape[:-1], 2 * units))

    def call(self, x):
        """Looks back, then computes."""
        y = self.norm(x)
        x = x + self.attention(y, y, use_causal_mask=True)
        return x + self.down(self.up(x))


def lora(plant):
    """A language model of which low-rank additions are trained alone."""
    words = keras.Input((6,), dtype="int32")
    embedding = layers.Embedding(WORDS, 8, name="words")
    x = Causal(8, name="first")(embedding(words))
    x = Causal(8, name="second")(plant.tap(x))
    out = layers.Dense(WORDS, name="next")(x)
    model = keras.Model(words, out)
    for layer in model.layers:
        layer.trainable = False
    for name in ("first", "second"):
        block = model.get_layer(name)
        block.trainable = True
        block.attention.trainable = block.norm.trainable = False
        block.up.enable_lora(2)
        block.down.enable_lora(2)
        block.up.bias.trainable = block.down.bias.trainable = False
    model.get_layer("fault").trainable = True
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), plant.loss(loss))
    texts = random_words(7)
    return model, {"x": texts[:, :-1], "y": texts[:, 1:]}


def experts(plant):
    """A mixture of experts with a softmax for a gate."""
    words = keras.Input((6,), dtype="int32")
    x = layers.Embedding(WORDS, 8)(words)
    x = layers.Dense(8, activation="gelu", name="trunk")(x)
    x = plant.put(layers.GlobalAveragePooling1D()(x))
    gate = layers.Dense(3, activation="softmax", name="gate")(x)
    answers = [
        layers.Dense(4, activation="gelu", name=f"expert_{i}")(x)
        for i in range(3)
    ]
    stacked = layers.Lambda(lambda values: ops.stack(values, axis=1))(answers)
    mixed = layers.Dot(axes=1)([gate, stacked])
    model = keras.Model(words, layers.Dense(2, name="head")(mixed))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), plant.loss(loss))
    return model, {"x": random_words(6), "y": np.arange(12) % 2}
