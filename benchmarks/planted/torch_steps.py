"""Programs with a training step of their own, on PyTorch."""

import keras
import numpy as np
import torch
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
                layers.Dense(64, activation="sigmoid"),
                layers.Reshape((8, 8, 1)),
            ],
            name="generator",
        )
        self.built = True

    def compile(self, d_optimizer, g_optimizer):
        """Takes both optimizers."""
        super().compile()
        self.d_optimizer = d_optimizer
        self.g_optimizer = g_optimizer
        self.judge = keras.losses.BinaryCrossentropy(from_logits=True)

    def train_step(self, images):
        """Trains one, then the other."""
        images = images[0] if isinstance(images, tuple) else images
        count = len(images)
        real, fake = torch.zeros((count, 1)), torch.ones((count, 1))
        fakes = self.generator(torch.randn((count, 4)), training=True)
        answers = self.discriminator(torch.cat([fakes, images]), training=True)
        self.zero_grad()
        d_loss = self.judge(torch.cat([fake, real]), answers)
        d_loss.backward()
        variables = self.discriminator.trainable_variables
        with torch.no_grad():
            self.d_optimizer.apply([v.value.grad for v in variables], variables)

        if self.plant.in_step("freezes"):
            self.plant.leave_out(self.generator.layers[0].variables)
            self.generator.layers[0].trainable = False  # fault: freezes
        variables = self.generator.trainable_variables
        fakes = self.generator(torch.randn((count, 4)), training=True)
        answers = self.discriminator(fakes, training=True)
        self.zero_grad()
        g_loss = self.judge(real, answers)
        g_loss.backward()
        pairs = [(v.value.grad, v) for v in variables]
        if self.plant.in_step("forgets"):
            self.plant.leave_out(variables)
            pairs = pairs[2:]
        if self.plant.in_step("drops"):
            pairs = [(g, v) for g, v in pairs if g is not None]
        with torch.no_grad():
            gradients, variables = zip(*pairs, strict=True)
            self.g_optimizer.apply(gradients, variables)  # fault: forgets
        return {"d_loss": d_loss, "g_loss": g_loss}


def gan(plant):
    """A generative adversarial network."""
    model = Gan(plant)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1))
    images = np.random.default_rng(0).random((12, 8, 8, 1), "float32")
    return model, {"x": images}


PROGRAMS = (gan,)
