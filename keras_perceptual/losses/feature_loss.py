"""What losses on the features of a frozen network have in common."""

import hashlib
import json
import math

from keras import ops

from keras_perceptual import _backend, validation
from keras_perceptual.losses.image_loss import ImageLoss
from keras_perceptual.progress import track

# How many numbers in front of encoded images say what encoded them.
HEADER = 4


class FeatureLoss(ImageLoss):
    """Base class of losses that compare what a frozen network sees in images.

    A subclass sets `_extractor` and implements `_observe`, what is kept of an
    image, and `_compare`, the terms of the loss.

    In the place of `y_true` such a loss also takes what `encode` returned, or
    a pair of either and a mask; a mask may come as `sample_weight` of rank 3
    as well.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # What a backend has to remember from one trace to the next.
        self._encoded_state = {}

    def per_layer(self, y_true, y_pred):
        """Returns what each layer adds to the loss.

        Args:
            y_true: Images, as when the loss is called.
            y_pred: Images, as when the loss is called.

        Returns:
            A dictionary from names of layers to tensors shaped `(batch,)`,
            whose sum is the loss of each image.
        """
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        y_true, y_pred, count = _some(self._cast(y_true), self._cast(y_pred))
        terms = self._terms(y_true, y_pred)
        return {name: values[:count] for name, values in terms.items()}

    def spatial_map(self, y_true, y_pred):
        """Returns where two images differ.

        Args:
            y_true: Images, as when the loss is called.
            y_pred: Images, as when the loss is called.

        Returns:
            A tensor shaped `(batch, height, width)`: the distances at each
            layer, enlarged to the size of the images (bilinear) and summed.
        """
        y_true, y_pred, _ = self._admit(y_true, y_pred)
        y_true, _ = _split(self._cast(y_true))
        y_true, y_pred, count = _some(y_true, self._cast(y_pred))
        pred = self._observe(y_pred)
        maps = self._maps(self._observe_target(y_true, None, pred), pred)
        axis = 1 if self.data_format == "channels_last" else 2
        size = ops.shape(y_pred)[axis : axis + 2]
        return sum(
            ops.image.resize(
                ops.expand_dims(x, -1),
                size,
                interpolation="bilinear",
                data_format="channels_last",
            )[:count, ..., 0]
            for x in maps.values()
        )

    def encode(self, images, mask=None, *, batch_size=None):
        """Computes once what the loss keeps of target images.

        What it returns is accepted as `y_true` by a loss of the same
        configuration, in the place of the images: a third of the arithmetic of
        every later step is saved. It can be used in `tf.data.Dataset.map` and
        stored with `cache()`.

        Args:
            images: Images, as `y_true` when the loss is called.
            mask: Optional weights shaped `(batch, height, width)`, where the
                loss will be given a mask; only statistics of the whole image
                depend on it.
            batch_size: Integer, how many images are encoded at a time, where
                all would need too much memory; what takes long shows a
                progress bar. Defaults to `None`: all at once.

        Returns:
            A tensor shaped `(batch, n)`: the features, and in front of them
            four numbers that stand for the configuration. A loss of another
            configuration refuses them; in code compiled by XLA outside `fit`,
            where nothing can be refused, its value is NaN.
        """
        if batch_size is not None:
            size = validation.check_integer(
                type(self).__name__, "batch_size", batch_size, minimum=1
            )
            parts = []
            for start in track(range(0, max(len(images), 1), size)):
                part = slice(start, start + size)
                some = None if mask is None else mask[part]
                parts.append(self.encode(images[part], some))
            return ops.concatenate(parts)
        if mask is not None:
            images = images, mask
        images, *_ = self._admit(images, _split(images)[0], encoding=True)
        images, mask = _split(self._cast(images))
        images, _, count = _some(images, images)
        kept = self._keep(images, None if count == 0 else mask)
        header = ops.convert_to_tensor(self._header(), dtype=self.dtype)
        batch = ops.shape(images)[0]
        parts = [ops.broadcast_to(header, (batch, HEADER))]
        parts += [ops.reshape(x, (batch, -1)) for x in kept.values()]
        return ops.concatenate(
            [ops.cast(part, self.dtype) for part in parts], axis=1
        )[:count]

    def _values(self, y_true, y_pred):
        return sum(self._terms(y_true, y_pred).values())

    def _observe(self, images, mask=None):
        """Returns what is kept of images, a dictionary of tensors."""
        raise NotImplementedError

    def _compare(self, true, pred, mask):
        """Returns the terms of the loss, a dictionary of `(batch,)`."""
        raise NotImplementedError

    def _maps(self, true, pred):
        """Returns distances at positions, `(batch, rows, columns)` each."""
        raise NotImplementedError

    def _keep(self, images, mask=None):
        """Returns what is kept of target images: no gradient, no more."""
        kept = self._observe(ops.stop_gradient(images), mask)
        return {name: ops.stop_gradient(x) for name, x in kept.items()}

    def _encoding(self):
        """Returns all that decides what `encode` returns, for JSON."""
        return [
            type(self).__name__,
            self._extractor.identity,
            self._extractor.pooling,
            self._extractor.layers,
        ]

    def _terms(self, y_true, y_pred):
        y_true, mask = _split(y_true)
        pred = self._observe(y_pred, mask)
        true = self._observe_target(y_true, mask, pred)
        return self._compare(true, pred, mask)

    def _observe_target(self, y_true, mask, pred):
        """Returns what is kept of targets that may be encoded."""
        # The target takes a pass of its own: it needs no gradient.
        if len(y_true.shape) == 4:
            return self._keep(y_true, mask)
        return self._decode(ops.stop_gradient(y_true), pred)

    def _admit(self, y_true, y_pred, sample_weight=None, *, encoding=False):
        """Sorts out what may come in the place of `y_true`."""
        owner = type(self).__name__
        y_true, mask, sample_weight = validation.split_mask(
            owner, y_true, sample_weight
        )
        shape, _ = validation.shape_and_dtype(y_true)
        if len(shape) == 2 and not encoding:
            # Encoded images: what is to be checked shows when they are read.
            _, y_pred, sample_weight = super()._admit(
                y_pred, y_pred, sample_weight, looks_at=("y_pred",)
            )
        else:
            y_true, y_pred, sample_weight = super()._admit(
                y_true,
                y_pred,
                sample_weight,
                looks_at=("y_true",) if encoding else ("y_true", "y_pred"),
            )
        if mask is not None:
            mask = validation.check_mask(owner, mask, y_pred, self.data_format)
        return (
            y_true if mask is None else (y_true, mask),
            y_pred,
            sample_weight,
        )

    def _header(self):
        """Returns the configuration as four whole numbers below 1024.

        They are exact in every floating-point type.
        """
        text = json.dumps(self._encoding())
        digest = int(hashlib.sha256(text.encode()).hexdigest(), 16)
        return [digest // 1024**i % 1024 for i in range(HEADER)]

    def _decode(self, encoded, pred):
        """Returns what `encode` packed, which looks like that of `y_pred`."""
        shapes = {name: ops.shape(x)[1:] for name, x in pred.items()}
        size = HEADER + sum(math.prod(shape) for shape in shapes.values())
        given = encoded.shape[1]
        if isinstance(size, int) and given not in (None, size):
            self._refuse_encoded(
                f"y_true.shape={tuple(encoded.shape)}, where encoded targets "
                f"have the shape (batch, {size})"
            )
        found, start = {}, HEADER
        for name, shape in shapes.items():
            end = start + math.prod(shape)
            found[name] = ops.reshape(encoded[:, start:end], (-1, *shape))
            start = end
        header = ops.convert_to_tensor(self._header(), dtype=encoded.dtype)
        known = ops.all(encoded[:, :HEADER] == header)
        _backend.call_when(
            ops.logical_not(known),
            lambda values: self._refuse_encoded(f"y_true[0, :4]={values}"),
            ops.reshape(encoded[:1, :HEADER], (HEADER,)),
            self._encoded_state,
        )
        nan = ops.convert_to_tensor(float("nan"), dtype=encoded.dtype)
        return {name: ops.where(known, x, nan) for name, x in found.items()}

    def _refuse_encoded(self, received):
        raise ValueError(
            f"{type(self).__name__} was given encoded targets that it did not "
            "encode: they come from another configuration, or from images of "
            "another size than the predictions. Encode them with `encode` of "
            "a loss of the same configuration, or pass images shaped "
            "(batch, height, width, channels). "
            f"Received: {received}"
        )


def _split(y_true):
    """Returns targets and their mask, which may be `None`."""
    return y_true if isinstance(y_true, tuple) else (y_true, None)


def _some(y_true, y_pred):
    """Returns batches with an image, and how many of the results count.

    Many operations cannot do with none. `None` stands for all of them.
    """
    if y_pred.shape[0] != 0:
        return y_true, y_pred, None
    one = ops.zeros((1, *y_pred.shape[1:]), y_pred.dtype)
    return one, one, 0
