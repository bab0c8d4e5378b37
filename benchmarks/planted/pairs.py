"""Programs that compare, teach or pass messages."""

import keras
import numpy as np
from keras import layers, ops


def random_vectors(*shape):
    """Returns normal noise."""
    return np.random.default_rng(0).normal(size=shape).astype("float32")


class SimSiam(keras.Model):
    """Two views of one image, of which one is held still."""

    def __init__(self, plant):
        super().__init__()
        self.encoder = keras.Sequential(
            [
                layers.Conv2D(4, 3, strides=2, use_bias=False),
                layers.BatchNormalization(),
                layers.Activation("relu"),
                layers.GlobalAveragePooling2D(),
                layers.Dense(8),
            ],
            name="encoder",
        )
        self.tap = plant.tap
        self.predictor = keras.Sequential(
            [layers.Dense(4, activation="gelu"), layers.Dense(8)],
            name="predictor",
        )
        self.seeds = keras.random.SeedGenerator(4)

    def view(self, images):
        """Disturbs the images."""
        noise = keras.random.normal(ops.shape(images), seed=self.seeds)
        return images + 0.1 * noise

    def call(self, images):
        """Returns both predictions and both codes."""
        first = self.tap(self.encoder(self.view(images)))
        second = self.tap(self.encoder(self.view(images)))
        return self.predictor(first), first, self.predictor(second), second

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        """Brings each prediction near the other code."""
        first, code_1, second, code_2 = y_pred
        return 0.5 * (_apart(first, code_2) + _apart(second, code_1))


def _apart(prediction, code):
    code = _unit(ops.stop_gradient(code))
    return -ops.mean(ops.sum(_unit(prediction) * code, axis=-1))


def _unit(x):
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x / ops.sqrt(squares + 1e-6)


def simsiam(plant):
    """Self-supervised learning without negatives."""
    model = SimSiam(plant)
    model.compile(keras.optimizers.SGD(0.1))
    return model, {"x": random_vectors(12, 8, 8, 3)}


def siamese(plant):
    """Pairs that are the same or not, with a contrastive loss."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="gelu")(image)
    x = layers.Flatten()(x)
    x = plant.put(layers.Dense(8, activation="gelu", name="code")(x))
    embed = keras.Model(image, layers.Dense(4, "tanh", name="embedding")(x))
    left, right = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    distance = layers.Lambda(_distance, output_shape=(1,))(
        [embed(left), embed(right)]
    )
    model = keras.Model([left, right], distance)

    def contrastive(y_true, y_pred):
        near = (1 - y_true) * ops.square(y_pred)
        far = y_true * ops.square(ops.maximum(1.0 - y_pred, 0.0))
        return ops.mean(near + far)

    model.compile(keras.optimizers.SGD(0.1), plant.loss(contrastive))
    pairs = random_vectors(2, 12, 8, 8, 1)
    same = (np.arange(12) % 2).astype("float32")[:, None]
    return model, {"x": [pairs[0], pairs[1]], "y": same}


def _distance(codes):
    squares = ops.sum(ops.square(codes[0] - codes[1]), axis=1, keepdims=True)
    return ops.sqrt(ops.maximum(squares, keras.config.epsilon()))


class Messages(layers.Layer):
    """Passes messages along the edges of many small graphs at once."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.message = layers.Dense(units, activation="gelu", name="message")
        self.update = layers.Dense(units, activation="gelu", name="update")
        self.units = units

    def build(self, nodes_shape, edges_shape):
        """Builds its layers."""
        self.message.build((None, nodes_shape[-1]))
        self.update.build((None, nodes_shape[-1] + self.units))

    def call(self, nodes, edges):
        """Sums what the neighbors say."""
        graphs, count, size = ops.shape(nodes)
        shift = ops.arange(graphs, dtype="int32")[:, None, None] * count
        flat = ops.reshape(nodes, (-1, size))
        ends = ops.reshape(edges + shift, (-1, 2))
        said = self.message(ops.take(flat, ends[:, 0], axis=0))
        heard = ops.segment_sum(said, ends[:, 1], graphs * count)
        new = self.update(ops.concatenate([flat, heard], axis=-1))
        return ops.reshape(new, (-1, count, self.units))


def graph(plant):
    """A network on graphs with two rounds of messages."""
    nodes = keras.Input((5, 4))
    edges = keras.Input((6, 2), dtype="int32")
    x = Messages(8, name="first")(nodes, edges)
    x = Messages(8, name="second")(plant.put(x), edges)
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model([nodes, edges], layers.Dense(1, name="head")(x))
    model.compile(keras.optimizers.SGD(0.1), plant.loss("mse"))
    links = np.random.default_rng(0).integers(0, 5, (12, 6, 2))
    x = [random_vectors(12, 5, 4), links.astype("int32")]
    return model, {"x": x, "y": random_vectors(12, 1)}


class Distiller(keras.Model):
    """A student that learns from labels and from a frozen teacher."""

    def __init__(self, student, teacher, temperature=3.0):
        super().__init__()
        self.student = student
        self.teacher = teacher
        self.teacher.trainable = False
        self.temperature = temperature

    def call(self, x, training=None):
        """Asks the student."""
        return self.student(x, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, **kwargs
    ):
        """Adds the distance from the teacher to the compiled loss."""
        soft = ops.softmax(self.teacher(x, training=False) / self.temperature)
        own = ops.log_softmax(y_pred / self.temperature)
        from_teacher = -ops.mean(ops.sum(soft * own, axis=-1))
        labels = super().compute_loss(x, y, y_pred, sample_weight)
        return 0.1 * labels + 0.9 * from_teacher


def distillation(plant):
    """Knowledge distillation."""

    def network(units, name, tap=None):
        x = inputs = keras.Input((6,))
        x = layers.Dense(units, activation="gelu", name=f"{name}_enter")(x)
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
        x = x if tap is None else tap(x)
        x = layers.Dense(units, activation="gelu", name=f"{name}_middle")(x)
        x = layers.Dense(3, name=f"{name}_out")(x)
        return keras.Model(inputs, x, name=name)

    model = Distiller(network(8, "student", plant.put), network(16, "teacher"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model, {"x": random_vectors(12, 6), "y": np.arange(12) % 3}
