"""Networks of keras-hub, as networks of images of any size."""

from typing import Any

import keras
from keras import ops

# What vision transformers of DINOv2 are made of, by the name of the preset.
DINOV2 = {
    "dinov2_small": {
        "hidden_dim": 384,
        "num_heads": 6,
        "intermediate_dim": 1536,
    },
    "dinov2_base": {
        "hidden_dim": 768,
        "num_heads": 12,
        "intermediate_dim": 3072,
    },
}
BLOCKS = 12
PATCH = 14
# Of the images that it looks at: 16 by 16 patches.
SIDE = 224


def build_dinov2(
    preset: str, weights: str | None = None, **settings: Any
) -> keras.Model:
    """Returns a vision transformer of DINOv2 whose blocks can be tapped.

    Images are resized to 224 pixels a side. The taps are `"block1"` to
    `"block12"`, and `"norm"`, the last one after its normalization. They are
    the tokens of the patches, without that of the class, as feature maps.

    Args:
        preset: String, a key of `DINOV2`.
        weights: Not `None` for the weights of the preset, which keras-hub
            downloads. Defaults to `None`: random ones.
        **settings: Other settings of `DINOV2Backbone`, for tests.

    Returns:
        A `keras.Model` of images shaped `(batch, height, width, 3)`.

    Raises:
        ImportError: If keras-hub is not installed.
        ConnectionError: If the weights cannot be downloaded.

    Reference:
        Oquab et al. (2023), DINOv2: Learning robust visual features without
        supervision, https://arxiv.org/abs/2304.07193.
    """
    transformer = _import_hub(preset).models.DINOV2Backbone
    if weights is None:
        found = {
            "patch_size": PATCH,
            "num_layers": BLOCKS,
            **DINOV2[preset],
            **settings,
        }
        network = transformer(
            image_shape=(SIDE, SIDE, 3), data_format="channels_last", **found
        )
    else:
        network = _download(transformer, preset)
    stages = {
        f"block{name.removeprefix('stage')}": x
        for name, x in network.pyramid_outputs.items()
        if name.startswith("stage")
    }
    stages["norm"] = network.outputs[0]
    blocks = keras.Model(network.inputs[0], list(stages.values()))
    images = keras.Input(
        (None, None, 3), dtype=keras.config.dtype_policy().compute_dtype
    )
    resized = ops.image.resize(
        images, (SIDE, SIDE), antialias=True, data_format="channels_last"
    )
    side = SIDE // network.patch_size
    maps = []
    for name, x in zip(stages, blocks(resized), strict=True):
        # The tokens of the patches are the last ones.
        patches = x[:, -(side**2) :]
        layer = keras.layers.Reshape((side, side, x.shape[-1]), name=name)
        maps.append(layer(patches))
    return keras.Model(images, maps, name=preset)


def _import_hub(preset: str) -> Any:
    """Returns keras-hub, which is optional."""
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            f"The network {preset!r} is one of keras-hub, which is not "
            "installed. Install it with `pip install keras-hub`, or use "
            "`backbone='vgg16'`, which is here. "
            f"Received: backbone={preset!r}"
        ) from error
    return keras_hub


def _download(transformer: Any, preset: str) -> Any:
    """Returns a network with the weights of its preset."""
    try:
        return transformer.from_preset(
            preset, image_shape=(SIDE, SIDE, 3), data_format="channels_last"
        )
    except Exception as error:
        raise ConnectionError(
            f"The weights of {preset!r} are not in this package: keras-hub "
            "downloads them from Kaggle, once, into `~/.cache/kagglehub` (or "
            "KAGGLEHUB_CACHE), and could not. Connect this machine, copy that "
            "folder from another one, or use `backbone='vgg16'`, whose "
            f"weights are here. Received: {error}"
        ) from error
