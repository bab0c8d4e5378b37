"""Programs with a training step of their own, on TensorFlow."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


class Gan(keras.Model):
    """A generator and a discriminator with an optimizer each."""

    def __init__(self, plant):
        super().__init__()
        self.plant = plant
        self.discriminator = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 3, strides=2, padding="same"),
                layers.LeakyReLU(),
                layers.Flatten(),
                layers.Dropout(0.2),
                layers.Dense(1),
            ],
            name="discriminator",
        )
        self.generator = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(32),
                layers.LeakyReLU(),
                plant.tap,
                layers.Reshape((4, 4, 2)),
                layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
                layers.LeakyReLU(),
                layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
            ],
            name="generator",
        )

    def compile(self, d_optimizer, g_optimizer):
        """Takes both optimizers."""
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.judge = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, images):
        """Trains one, then the other."""
        count = tf.shape(images)[0]
        fakes = self.generator(tf.random.normal((count, 4)), training=True)
        both = tf.concat([fakes, images], axis=0)
        labels = tf.concat([tf.ones((count, 1)), tf.zeros((count, 1))], axis=0)
        with tf.GradientTape() as tape:
            answers = self.discriminator(both, training=True)
            d_loss = self.judge(labels, answers)
        variables = self.discriminator.trainable_variables
        gradients = tape.gradient(d_loss, variables)
        self.d_optimizer.apply(gradients, variables)

        noise = tf.random.normal((count, 4))
        if self.plant.in_step("freezes"):
            self.plant.leave_out(self.generator.layers[0].variables)
            self.generator.layers[0].trainable = False  # fault: freezes
        variables = self.generator.trainable_variables
        if self.plant.in_step("asks"):
            variables = self.plant.leave_out(variables)  # fault: asks
        with tf.GradientTape() as tape:
            fakes = self.generator(noise, training=True)
            answers = self.discriminator(fakes, training=True)
            g_loss = self.judge(tf.zeros((count, 1)), answers)
        gradients = tape.gradient(g_loss, variables)
        pairs = list(zip(gradients, variables, strict=True))
        if self.plant.in_step("forgets"):
            self.plant.leave_out(variables)
            pairs = pairs[2:]
        if self.plant.in_step("drops"):
            pairs = [(g, v) for g, v in pairs if g is not None]
        self.g_optimizer.apply_gradients(pairs)  # fault: forgets
        return {"d_loss": d_loss, "g_loss": g_loss}


def gan(plant):
    """A generative adversarial network."""
    model = Gan(plant)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    images = np.random.default_rng(0).random((12, 8, 8, 1), "float32")
    return model, {"x": images}


class Wgan(keras.Model):
    """A Wasserstein network with a penalty on the critic's gradient."""

    def __init__(self, plant):
        super().__init__()
        self.plant = plant
        self.critic = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                layers.Conv2D(4, 3, strides=2, padding="same"),
                layers.LeakyReLU(0.2),
                layers.Flatten(),
                layers.Dense(4, activation="gelu"),
                layers.Dense(1),
            ],
            name="critic",
        )
        self.generator = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(8, use_bias=False),
                layers.BatchNormalization(),
                layers.LeakyReLU(0.2),
                plant.tap,
                layers.Dense(64, activation="tanh"),
                layers.Reshape((8, 8, 1)),
            ],
            name="generator",
        )

    def compile(self, c_optimizer, g_optimizer):
        """Takes both optimizers."""
        super().compile()
        self.c_optimizer = c_optimizer
        self.g_optimizer = g_optimizer

    def penalty(self, images, fakes):
        """Keeps the slope of the critic near one."""
        share = tf.random.uniform((tf.shape(images)[0], 1, 1, 1))
        between = images + share * (fakes - images)
        with tf.GradientTape() as tape:
            tape.watch(between)
            scores = self.critic(between, training=True)
        slopes = tape.gradient(scores, between)
        norms = tf.sqrt(tf.reduce_sum(slopes**2, axis=[1, 2, 3]) + 1e-12)
        return tf.reduce_mean((norms - 1.0) ** 2)

    def train_step(self, images):
        """Trains the critic, then the generator."""
        count = tf.shape(images)[0]
        noise = tf.random.normal((count, 4))
        with tf.GradientTape() as tape:
            fakes = self.generator(noise, training=True)
            c_loss = tf.reduce_mean(self.critic(fakes, training=True))
            c_loss -= tf.reduce_mean(self.critic(images, training=True))
            c_loss += 10.0 * self.penalty(images, fakes)
        variables = self.critic.trainable_variables
        gradients = tape.gradient(c_loss, variables)
        self.c_optimizer.apply(gradients, variables)

        if self.plant.in_step("freezes"):
            self.plant.leave_out(self.generator.layers[0].variables)
            self.generator.layers[0].trainable = False  # fault: freezes
        variables = self.generator.trainable_variables
        if self.plant.in_step("asks"):
            variables = self.plant.leave_out(variables)  # fault: asks
        with tf.GradientTape() as tape:
            fakes = self.generator(tf.random.normal((count, 4)), training=True)
            g_loss = -tf.reduce_mean(self.critic(fakes, training=True))
        gradients = tape.gradient(g_loss, variables)
        if self.plant.in_step("forgets"):
            kept = self.plant.leave_out(variables)
            gradients, variables = gradients[2:], kept
        pairs = list(zip(gradients, variables, strict=True))
        if self.plant.in_step("drops"):
            pairs = [(g, v) for g, v in pairs if g is not None]
        self.g_optimizer.apply_gradients(pairs)  # fault: forgets
        return {"c_loss": c_loss, "g_loss": g_loss}


def wgan_gp(plant):
    """A Wasserstein network with a gradient penalty."""
    model = Wgan(plant)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    images = np.random.default_rng(0).random((12, 8, 8, 1), "float32")
    return model, {"x": images}


class Oscillation(keras.Model):
    """Solves u'' = -k u for any k, as a network of place and k."""

    def __init__(self, plant):
        super().__init__()
        self.plant = plant
        self.place = layers.Dense(8, activation="tanh", name="place")
        self.strength = layers.Dense(8, activation="tanh", name="strength")
        self.tap = plant.tap
        self.mixed = layers.Dense(8, activation="tanh", name="mixed")
        self.value = layers.Dense(1, name="value")

    def call(self, inputs):
        """Returns u."""
        place, strength = inputs[:, :1], inputs[:, 1:]
        x = self.place(place) * self.tap(self.strength(strength))
        return self.value(self.mixed(x + self.place(place)))

    def train_step(self, data):
        """Asks for the equation inside and for the data."""
        inputs, known = data
        place, strength = inputs[:, :1], inputs[:, 1:]
        with tf.GradientTape() as tape:
            with tf.GradientTape() as outer:
                outer.watch(place)
                with tf.GradientTape() as inner:
                    inner.watch(place)
                    u = self(tf.concat([place, strength], 1), training=True)
                slope = inner.gradient(u, place)
            bend = outer.gradient(slope, place)
            residual = tf.reduce_mean(tf.square(bend + strength * u))
            loss = residual + tf.reduce_mean(tf.square(u - known))
        if self.plant.in_step("freezes"):
            self.plant.leave_out(self.place.variables)
            self.place.trainable = False  # fault: freezes
        variables = self.trainable_variables
        if self.plant.in_step("asks"):
            variables = self.plant.leave_out(variables)  # fault: asks
        gradients = tape.gradient(loss, variables)
        if self.plant.in_step("forgets"):
            kept = self.plant.leave_out(variables)
            gradients, variables = gradients[2:], kept
        self.optimizer.apply(gradients, variables)  # fault: forgets
        return {"loss": loss}


def pinn(plant):
    """A network that is informed by physics."""
    model = Oscillation(plant)
    model.compile(keras.optimizers.SGD(0.1))
    inputs = np.random.default_rng(0).random((12, 2), "float32")
    known = np.cos(np.sqrt(inputs[:, 1:]) * inputs[:, :1])
    return model, {"x": inputs, "y": known}


PROGRAMS = (gan, wgan_gp, pinn)
