"""Programs with images, each after the usual way to write it."""

import keras
import numpy as np
from keras import layers, ops

SIZE = 16


def random_images(count=12, channels=1, size=SIZE):
    """Returns noise between 0 and 1."""
    shape = (count, size, size, channels)
    return np.random.default_rng(0).random(shape, "float32")


class Sampling(layers.Layer):
    """Draws a code near its mean, and keeps the code near a normal one."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(1)

    def call(self, inputs):
        """Draws the code."""
        mean, log_variance = inputs
        self.add_loss(
            -0.001
            * ops.mean(1 + log_variance - mean**2 - ops.exp(log_variance))
        )
        noise = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log_variance) * noise


def vae(plant):
    """A variational autoencoder."""
    images = keras.Input((SIZE, SIZE, 1))
    x = layers.Conv2D(4, 3, strides=2, activation="relu", padding="same")(
        images
    )
    x = layers.Flatten()(x)
    x = layers.Dense(8, activation="silu")(x)
    x = plant.put(x)
    mean = layers.Dense(2, name="mean")(x)
    log_variance = layers.Dense(2, name="log_variance")(x)
    code = Sampling()([mean, log_variance])
    x = layers.Dense(64 * 4, activation="silu")(code)
    x = layers.Reshape((8, 8, 4))(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    out = layers.Conv2D(1, 3, activation="sigmoid", padding="same")(x)
    model = keras.Model(images, out)
    model.compile(keras.optimizers.SGD(0.1), plant.loss("binary_crossentropy"))
    x = random_images()
    return model, {"x": x, "y": x}


class Patches(layers.Layer):
    """Cuts images into patches and adds a learned position to each."""

    def __init__(self, size, units, **kwargs):
        super().__init__(**kwargs)
        self.size = size
        self.units = units
        self.project = layers.Dense(units)

    def build(self, input_shape):
        """Creates the positions."""
        side = self.size
        self.count = (input_shape[1] // side) * (input_shape[2] // side)
        self.flat = side * side * input_shape[-1]
        self.positions = self.add_weight(
            shape=(1, self.count, self.units), name="positions"
        )
        self.project.build((None, self.count, self.flat))

    def call(self, images):
        """Returns the embedded patches."""
        patches = ops.image.extract_patches(images, self.size)
        patches = ops.reshape(patches, (-1, self.count, self.flat))
        return self.project(patches) + self.positions


def attention_block(x, units, name):
    """One block of a transformer, normalized first."""
    y = layers.LayerNormalization(name=f"{name}_norm_1")(x)
    y = layers.MultiHeadAttention(2, units // 2, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_add_1")([x, y])
    y = layers.LayerNormalization(name=f"{name}_norm_2")(x)
    y = layers.Dense(2 * units, activation="gelu", name=f"{name}_up")(y)
    y = layers.Dropout(0.1, name=f"{name}_dropout")(y)
    y = layers.Dense(units, name=f"{name}_down")(y)
    return layers.Add(name=f"{name}_add_2")([x, y])


def vit(plant):
    """A vision transformer of two blocks that classifies."""
    images = keras.Input((SIZE, SIZE, 3))
    x = Patches(4, 16)(images)
    x = attention_block(x, 16, "first")
    x = plant.put(x)
    x = attention_block(x, 16, "second")
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(images, layers.Dense(3, name="head")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.SGD(0.1, weight_decay=plant.penalty)
    model.compile(optimizer, plant.loss(loss), metrics=["accuracy"])
    return model, {"x": random_images(channels=3), "y": np.arange(12) % 3}


class MaskedAutoencoder(keras.Model):
    """Hides patches of an image and learns to paint them."""

    def __init__(self, plant, hidden=0.5):
        super().__init__()
        self.hidden = hidden
        self.patches = Patches(4, 16)
        self.encoder = layers.Dense(16, activation="gelu", name="encoder")
        self.attention = layers.MultiHeadAttention(2, 8)
        self.norm = layers.LayerNormalization()
        self.tap = plant.tap
        self.decoder = layers.Dense(16, activation="gelu", name="decoder")
        self.paint = layers.Dense(16, name="paint")
        self.seeds = keras.random.SeedGenerator(2)

    def build(self, input_shape):
        """Creates the token that stands for what is hidden."""
        self.token = self.add_weight(shape=(1, 1, 16), name="token")

    def call(self, images):
        """Paints the patches."""
        embedded = self.patches(images)
        chance = keras.random.uniform(ops.shape(embedded)[:2], seed=self.seeds)
        mask = ops.cast(chance < self.hidden, embedded.dtype)[..., None]
        x = embedded * (1 - mask) + self.token * mask
        x = self.encoder(x)
        x = self.tap(self.norm(x + self.attention(x, x)))
        painted = self.paint(self.decoder(x))
        truth = ops.reshape(ops.image.extract_patches(images, 4), (-1, 16, 16))
        wrong = ops.mean(ops.square(painted - truth), axis=-1, keepdims=True)
        self.add_loss(ops.sum(wrong * mask) / (ops.sum(mask) + 1e-6))
        return painted


def masked_autoencoder(plant):
    """A masked autoencoder, whose loss is added in `call`."""
    model = MaskedAutoencoder(plant)
    model.compile(keras.optimizers.SGD(0.1))
    return model, {"x": random_images()}


def unet(plant):
    """A U-Net with two levels and batch normalization."""

    def block(x, filters):
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.BatchNormalization()(x)
        return layers.Activation("relu")(x)

    images = keras.Input((SIZE, SIZE, 1))
    fine = block(images, 4)
    coarse = block(layers.MaxPooling2D()(fine), 8)
    bottom = block(layers.MaxPooling2D()(coarse), 8)
    bottom = plant.put(bottom)
    x = layers.Conv2DTranspose(8, 2, strides=2)(bottom)
    x = block(layers.Concatenate()([x, coarse]), 8)
    x = layers.Conv2DTranspose(4, 2, strides=2)(x)
    x = block(layers.Concatenate()([x, fine]), 4)
    out = layers.Conv2D(1, 1, activation="sigmoid")(x)
    model = keras.Model(images, out)
    model.compile(keras.optimizers.SGD(0.1), plant.loss("binary_crossentropy"))
    x = random_images()
    return model, {"x": x, "y": (x > 0.5).astype("float32")}


def super_resolution(plant):
    """Upsampling by pixel shuffling, with a residual block."""
    small = keras.Input((8, 8, 1))
    first = layers.Conv2D(8, 3, padding="same", activation="relu")(small)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(first)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.Add()([plant.put(x), first])
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.Reshape((8, 8, 2, 2))(x)
    x = layers.Permute((1, 3, 2, 4))(x)
    model = keras.Model(small, layers.Reshape((16, 16, 1))(x))
    model.compile(keras.optimizers.SGD(0.1), plant.loss("mse"))
    large = random_images()
    return model, {"x": large[:, ::2, ::2], "y": large}


class Quantizer(layers.Layer):
    """Replaces vectors by those of a book, straight through."""

    def __init__(self, count, units, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.units = units

    def build(self, input_shape):
        """Creates the book."""
        self.book = self.add_weight(shape=(self.count, self.units), name="book")

    def call(self, x):
        """Looks up the nearest."""
        flat = ops.reshape(x, (-1, 1, self.units))
        far = ops.sum(ops.square(flat - self.book[None]), axis=-1)
        nearest = ops.take(self.book, ops.argmin(far, axis=-1), axis=0)
        nearest = ops.reshape(nearest, ops.shape(x))
        self.add_loss(
            0.25 * ops.mean((ops.stop_gradient(nearest) - x) ** 2)
            + ops.mean((nearest - ops.stop_gradient(x)) ** 2)
        )
        return x + ops.stop_gradient(nearest - x)


def vq_vae(plant):
    """A vector-quantized autoencoder."""
    images = keras.Input((SIZE, SIZE, 1))
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(
        images
    )
    x = plant.put(layers.Conv2D(4, 1)(x))
    x = Quantizer(8, 4)(x)
    x = layers.Conv2DTranspose(
        8, 3, strides=2, padding="same", activation="relu"
    )(x)
    model = keras.Model(images, layers.Conv2D(1, 3, padding="same")(x))
    model.compile(keras.optimizers.SGD(0.1), plant.loss("mse"))
    x = random_images()
    return model, {"x": x, "y": x}


class Diffusion(keras.Model):
    """Predicts the noise that it has added itself."""

    def __init__(self, plant):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(3)
        self.time = layers.Dense(8, activation="silu", name="time")
        self.enter = layers.Conv2D(8, 3, padding="same", name="enter")
        self.middle = layers.Conv2D(
            8, 3, padding="same", activation="silu", name="middle"
        )
        self.tap = plant.tap
        self.leave = layers.Conv2D(1, 3, padding="same", name="leave")

    def call(self, images):
        """Adds noise of a random strength and predicts it."""
        count = ops.shape(images)[0]
        noise = keras.random.normal(ops.shape(images), seed=self.seeds)
        time = keras.random.uniform((count, 1, 1, 1), seed=self.seeds)
        noisy = ops.sqrt(1 - time) * images + ops.sqrt(time) * noise
        x = self.enter(noisy) + self.time(time)
        predicted = self.leave(x + self.tap(self.middle(x)))
        self.add_loss(ops.mean(ops.square(predicted - noise)))
        return predicted


def diffusion(plant):
    """A diffusion model with a residual denoiser."""
    model = Diffusion(plant)
    model.compile(keras.optimizers.SGD(0.1))
    return model, {"x": random_images()}
