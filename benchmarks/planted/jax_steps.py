"""Programs with a training step of their own, on JAX."""

import jax
import keras
import numpy as np
from keras import layers, ops


class Contrastive(keras.Model):
    """Learns which of several views belong to the same image."""

    def __init__(self, plant):
        super().__init__()
        self.plant = plant
        self.encoder = layers.Dense(8, activation="gelu", name="encoder")
        self.tap = plant.tap
        self.hidden = layers.Dense(8, activation="gelu", name="hidden")
        self.project = layers.Dense(4, name="project")

    def call(self, images, training=None):
        """Returns the codes."""
        return self.project(self.hidden(self.tap(self.encoder(images))))

    def loss_of(self, variables, others, images):
        """Returns the loss and what the step has changed."""
        first, others = self.stateless_call(
            variables, others, images, training=True
        )
        second, others = self.stateless_call(
            variables, others, images[:, ::-1], training=True
        )
        likeness = first @ ops.transpose(second)
        count = ops.shape(likeness)[0]
        loss = keras.losses.sparse_categorical_crossentropy(
            ops.arange(count), likeness, from_logits=True
        )
        return ops.mean(loss), others

    def train_step(self, state, data):
        """Trains with one gradient."""
        variables, others, slots, metrics = state
        images, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        if self.plant.in_step("asks"):
            kept = self.plant.leave_out(self.trainable_variables)
            count = len(variables) - len(kept)

            def partial(later, others, images):
                return self.loss_of(
                    [*variables[:count], *later], others, images
                )

            (loss, others), gradients = jax.value_and_grad(  # fault: asks
                partial, has_aux=True
            )(variables[count:], others, images)
            # What was not asked for stays as it is.
            gradients = [*map(ops.zeros_like, variables[:count]), *gradients]
        else:
            (loss, others), gradients = jax.value_and_grad(
                self.loss_of, has_aux=True
            )(variables, others, images)
        variables, slots = self.optimizer.stateless_apply(
            slots, gradients, variables
        )
        return {"loss": loss}, (variables, others, slots, metrics)


def contrastive(plant):
    """Contrastive learning."""
    model = Contrastive(plant)
    model.compile(keras.optimizers.SGD(0.1))
    images = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
    return model, {"x": images}


PROGRAMS = (contrastive,)
