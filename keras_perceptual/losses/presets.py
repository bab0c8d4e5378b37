"""Losses as they were published, as plain arguments."""

from typing import Any

from keras_perceptual.typing import EdgePreset, PerceptualPreset

_FILM_WEIGHTS = (1 / 2.6, 1 / 4.8, 1 / 3.7, 1 / 5.6, 10 / 1.5)

PRESETS: dict[PerceptualPreset, dict[str, Any]] = {
    # Johnson et al. (2016), Perceptual losses for real-time style transfer and
    # super-resolution, https://arxiv.org/abs/1603.08155, and the defaults of
    # https://github.com/jcjohnson/fast-neural-style: feature 16 of VGG16 for
    # the content, 4, 9, 16 and 23 for the style with weight 5, means of
    # squares, Gram matrices divided by channels, height and width.
    "johnson2016_style": {
        "backbone": "vgg16",
        "layers": {"relu3_3": 1.0},
        "style_layers": dict.fromkeys(
            ("relu1_2", "relu2_2", "relu3_3", "relu4_3"), 1.0
        ),
        "style_weight": 5.0,
    },
    # The same publication, on enlarging.
    "johnson2016_super_resolution": {
        "backbone": "vgg16",
        "layers": {"relu2_2": 1.0},
    },
    # SRGAN: Ledig et al. (2017), https://arxiv.org/abs/1609.04802, "VGG54":
    # features divided by 12.75. The last convolution is seen after its
    # activation.
    "srgan_vgg54": {
        "backbone": "vgg19",
        "layers": {"relu5_4": 1.0},
        "content_weight": 12.75**-2,
    },
    # ESRGAN: Wang et al. (2018), https://arxiv.org/abs/1809.00219: the same
    # convolution before its activation, absolute differences, weight 1.
    "esrgan": {
        "backbone": "vgg19",
        "layers": {"conv5_4": 1.0},
        "distance": "mae",
    },
    # Gatys et al. (2016), Image style transfer using convolutional neural
    # networks (CVPR): average pooling, content conv4_2, style conv1_1 to
    # conv5_1 with weight 1/5. Their style term is a quarter of the squared
    # differences of matrices divided by height and width. Their content term
    # is half the sum where this is the mean; for a picture of 512 x 512, which
    # has 512 x 64 x 64 features there, a content weight of 1e-3 times that
    # sum is 1e-3 * 2**20 times the mean.
    "gatys2016": {
        "backbone": "vgg19",
        "layers": {"relu4_2": 1.0},
        "style_layers": dict.fromkeys(
            ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"), 1 / 5
        ),
        "content_weight": 1e-3 * 2**20,
        "style_weight": 1 / 4,
        "gram_normalization": "hw",
        "pooling": "average",
    },
    # pix2pixHD: Wang et al. (2018), https://arxiv.org/abs/1711.11585. Their
    # code does not normalize the images as the network was trained with;
    # here they are.
    "pix2pixhd": {
        "backbone": "vgg19",
        "layers": {
            "relu1_1": 1 / 32,
            "relu2_1": 1 / 16,
            "relu3_1": 1 / 8,
            "relu4_1": 1 / 4,
            "relu5_1": 1.0,
        },
        "distance": "mae",
    },
    # FILM: Reda et al. (2022), https://arxiv.org/abs/2202.04901: absolute
    # differences divided by 255, average pooling. Its style term is
    # `style_weight=...` with Gram matrices divided by height and width.
    "film": {
        "backbone": "vgg19",
        "layers": {
            f"relu{block}_2": weight
            for block, weight in enumerate(_FILM_WEIGHTS, start=1)
        },
        "distance": "mae",
        "content_weight": 1 / 255,
        "gram_normalization": "hw",
        "pooling": "average",
    },
    # https://www.tensorflow.org/tutorials/generative/style_transfer: add its
    # total variation with a weight of 30 apart.
    "tensorflow_style_transfer": {
        "backbone": "vgg19",
        "layers": {"block5_conv2": 1.0},
        "style_layers": dict.fromkeys(
            [f"block{block}_conv1" for block in range(1, 6)], 1 / 5
        ),
        "content_weight": 1e4,
        "style_weight": 1e-2,
        "gram_normalization": "hw",
    },
}

_NEIGHBORS: dict[str, Any] = {
    "operator": "forward",
    "padding": "replicate",
    "components": "sum",
}

EDGE_PRESETS: dict[EdgePreset, dict[str, Any]] = {
    # DenseDepth: Alhashim and Wonka (2018), https://arxiv.org/abs/1812.11941,
    # l_edges: the mean of abs(dy) + abs(dx) with `tf.image.image_gradients`,
    # which are zero in the last row and column.
    "densedepth": _NEIGHBORS,
    # MiDaS: Ranftl et al. (2019), https://arxiv.org/abs/1907.01341, L_reg: the
    # same of every pixel, every second, every fourth and every eighth one,
    # where the mask is one, divided by how many these are in each image.
    "midas": {**_NEIGHBORS, "scales": 4, "downsampling": "stride"},
    # MPRNet: Zamir et al. (2021), https://arxiv.org/abs/2102.02808, the edge
    # loss. Theirs is larger by epsilon, which equal images cost there.
    "mprnet": {
        "norm": "charbonnier",
        "operator": "laplacian_pyramid",
        "padding": "replicate",
        "epsilon": 1e-3,
    },
    # Mathieu et al. (2015), https://arxiv.org/abs/1511.05440, the gradient
    # difference loss with alpha = 1; norm="l2" is alpha = 2. Theirs is the
    # sum over the pixels, this the mean.
    "gdl": {**_NEIGHBORS, "mode": "gdl"},
}
