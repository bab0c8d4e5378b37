"""Random configurations of all losses, layers and metrics, for comparisons.

A case is a dictionary of plain values: the class, its arguments, the images,
and how it is called. `make` returns its object, `images_of` its images, and
`function_of` what is computed of them.
"""

import keras
import numpy as np
from keras import ops

import keras_perceptual as kp

# What a loss can do, and a case may ask for.
MASKED = (
    "CharbonnierLoss",
    "ColorDifferenceLoss",
    "DISTS",
    "FocalFrequencyLoss",
    "HaarPSILoss",
    "LPIPS",
    "MDSILoss",
    "MSSSIMLoss",
    "PerceivedDistance",
    "PerceptualLoss",
    "SSIMLoss",
    "SobelGradientLoss",
    "TotalVariationLoss",
    "WaveletLoss",
)
HIDING = (
    "CharbonnierLoss",
    "ColorDifferenceLoss",
    "FocalFrequencyLoss",
    "HaarPSILoss",
    "MDSILoss",
    "MSSSIMLoss",
    "SSIMLoss",
    "SobelGradientLoss",
    "TotalVariationLoss",
    "WaveletLoss",
)
MAPPED = (
    "CharbonnierLoss",
    "ColorDifferenceLoss",
    "HaarPSILoss",
    "LPIPS",
    "PerceivedDistance",
    "PerceptualLoss",
    "SSIMLoss",
    "SobelGradientLoss",
    "TotalVariationLoss",
    "WaveletLoss",
)
ENCODED = ("ContextualLoss", "DISTS", "LPIPS", "PerceivedDistance")
ENCODED = (*ENCODED, "PerceptualLoss")
TILED = ("DISTS", "LPIPS", "PerceivedDistance")
NETWORKS = ENCODED
LAYERS = ("AdaptiveLookupColorLayer", "LookupColorLayer")
REGULARIZERS = ("TableMonotonicity", "TableRange", "TableSmoothness")
METRICS = {
    "DISTSMetric": "DISTS",
    "ImageLossMetric": None,
    "LPIPSMetric": "LPIPS",
    "MSSSIMMetric": "MSSSIMLoss",
    "PSNRMetric": "PSNRMetric",
    "PerceivedDistanceMetric": "PerceivedDistance",
    "SSIMMetric": "SSIMLoss",
}
DEAR = (*NETWORKS, *(f"{name}Metric" for name in TILED))
OF_COLORS = (
    *NETWORKS,
    "ColorDifferenceLoss",
    "HaarPSILoss",
    "MDSILoss",
    "WaveletLoss",
    *LAYERS,
)


def one_of(rng, *choices):
    """Returns one of some choices as a plain value."""
    return choices[rng.integers(len(choices))]


def sobel(r):
    """Draws slopes, leaving out what does not go together."""
    found = {
        "norm": one_of(r, "l1", "l2", "charbonnier", 1.5),
        "operator": one_of(
            r,
            "sobel",
            "scharr",
            "prewitt",
            "central",
            "forward",
            "laplacian",
            "laplacian_pyramid",
        ),
        "mode": one_of(r, "component", "magnitude", "gdl", "angle"),
        "scales": one_of(r, 1, 2),
        "downsampling": one_of(r, "average", "stride", "gaussian"),
        "components": one_of(r, "mean", "sum"),
        "normalize": one_of(r, True, False),
        "log_space": one_of(r, True, False),
        "padding": one_of(r, "reflect", "replicate", "valid"),
        "epsilon": one_of(r, 1e-3, 1e-2),
    }
    if found["operator"].startswith("laplacian"):
        found["mode"] = one_of(r, "component", "gdl")
    if found["operator"] == "laplacian_pyramid":
        found["padding"] = one_of(r, "reflect", "replicate")
    return found


def perceptual(r):
    """Draws a perceptual loss, with content, style or both."""
    backbone = one_of(r, "alexnet", "alexnet", "vgg16")
    layers = {
        "alexnet": (None, ["relu1"], {"relu2": 1.0, "conv3": 0.2}),
        "vgg16": (["relu1_2"], {"conv2_1": 0.5}),
    }[backbone]
    found = {
        "backbone": backbone,
        "layers": one_of(r, *layers),
        "pooling": one_of(r, "max", "max", "average", "l2"),
        "distance": one_of(r, "mse", "mae", "charbonnier", "cosine", "lost"),
        "normalize_features": one_of(r, True, False),
        "content_weight": one_of(r, 0.0, 1.0),
        "style_weight": one_of(r, 1.0, 100.0),
        "gram_normalization": one_of(r, "chw", "hw", "none"),
        "scales": one_of(r, 1, 1, 2),
    }
    if found["content_weight"]:
        found["style_weight"] = one_of(r, 0.0, found["style_weight"])
    if found["distance"] == "lost":
        found["added_weight"] = one_of(r, 0.1, 0.5)
    if found["style_weight"]:
        extra = {"alexnet": ["relu1"], "vgg16": ["relu1_1"]}[backbone]
        found["style_layers"] = one_of(r, None, extra)
        if r.integers(4) == 0:
            found["style_image"] = int(r.integers(2**31))
    return found


def lookup(r):
    """Draws a table, leaving out what does not go together."""
    found = {
        "dimensions": one_of(r, 1, 3),
        "interpolation": one_of(r, "linear", "linear", "nearest"),
        "extrapolate": "clamp",
        "output_range": one_of(r, None, [-2.0, 3.0]),
    }
    if found["dimensions"] == 1:
        found["size"] = one_of(r, 2, 5, 9, 64)
        found["shared"] = one_of(r, True, False)
    else:
        found["size"] = one_of(r, 2, 5, 9, [3, 4, 6])
        found["shaper_size"] = one_of(r, None, 4)
        if found["interpolation"] == "linear":
            found["interpolation"] = one_of(r, "linear", "tetrahedral")
    if found["interpolation"] == "linear":
        found["extrapolate"] = one_of(r, "clamp", "linear")
    return found


DRAWS = {
    "CharbonnierLoss": lambda r: {"epsilon": one_of(r, 1e-3, 1e-2, 0.5)},
    "TotalVariationLoss": lambda r: {
        "norm": one_of(r, "l1", "l2", "isotropic"),
        "epsilon": one_of(r, 1e-3, 1e-2),
    },
    "SSIMLoss": lambda r: {
        "filter_size": one_of(r, 3, 7, 11),
        "filter_sigma": one_of(r, 0.8, 1.5),
        "k1": one_of(r, 0.01, 0.05),
        "k2": one_of(r, 0.03, 0.1),
    },
    "MSSSIMLoss": lambda r: {
        "weights": one_of(r, [1.0], [0.5, 0.5], [0.2, 0.3, 0.5]),
        "filter_size": one_of(r, 3, 7),
        "filter_sigma": one_of(r, 0.8, 1.5),
        "k1": one_of(r, 0.01, 0.05),
        "k2": one_of(r, 0.03, 0.1),
        "epsilon": one_of(r, 1e-3, 0.2),
    },
    "FocalFrequencyLoss": lambda r: {
        "alpha": one_of(r, 0.0, 0.5, 1.0),
        "log_matrix": one_of(r, True, False),
        "patch_factor": one_of(r, 1, 2),
    },
    "HaarPSILoss": lambda r: {
        "c": one_of(r, 10.0, 30.0),
        "alpha": one_of(r, 4.2, 5.8),
        "subsample": one_of(r, True, False),
    },
    "MDSILoss": lambda r: {
        "c1": one_of(r, 70.0, 140.0),
        "c2": one_of(r, 30.0, 55.0),
        "c3": one_of(r, 300.0, 550.0),
        "alpha": one_of(r, 0.3, 0.6),
    },
    "SobelGradientLoss": sobel,
    "PerceptualLoss": perceptual,
    "LPIPS": lambda r: {
        "backbone": one_of(r, "alexnet", "alexnet", "vgg16"),
        "linear_heads": one_of(r, True, True, False),
    },
    "DISTS": lambda r: {"resize": one_of(r, None, None, 40)},
    "PerceivedDistance": lambda r: {
        "backbone": one_of(r, "alexnet", "alexnet", "vgg16"),
        "size": one_of(r, "full", "small"),
        "forgive_gain": one_of(r, True, False),
    },
    "ColorDifferenceLoss": lambda r: {
        "difference": one_of(r, "ciede2000", "cie76", "oklab"),
        "blur": one_of(r, 1, 4, "image"),
    },
    "WaveletLoss": lambda r: {
        "wavelet": one_of(r, "haar", "db4", "sym7"),
        "levels": one_of(r, 1, 2),
        "approximation_weight": one_of(r, 0.0, 1.0),
        "detail_weight": one_of(r, 0.1, 1.0),
        "diagonal_weight": one_of(r, 0.5, 1.0),
        "luma": one_of(r, True, False),
    },
    "ContextualLoss": lambda r: {
        "backbone": "alexnet",
        "layers": one_of(r, ["relu1"], {"relu1": 1.0, "relu2": 0.5}),
        "band_width": one_of(r, 0.1, 0.5),
        "max_features": one_of(r, 16, 49),
    },
    "LookupColorLayer": lookup,
    "AdaptiveLookupColorLayer": lambda r: {
        "size": one_of(r, 2, 5, [3, 4, 6]),
        "num_tables": one_of(r, 1, 3),
        "backbone": one_of(r, "average", "average", "convolution", None),
        **one_of(
            r,
            {"interpolation": "linear", "extrapolate": "linear"},
            {"interpolation": "linear", "extrapolate": "clamp"},
            {"interpolation": "tetrahedral"},
            {"interpolation": "nearest"},
        ),
    },
    "WeightedSumLoss": lambda r: {
        "weights": [float(x) for x in r.uniform(0.1, 2.0, size=3)],
        "channels": one_of(r, None, {"structure": [0, 2]}, {"keras": [1]}),
        "balance": one_of(r, None, None, "gradient"),
        "shares": [float(x) for x in r.uniform(0.1, 2.0, size=3)],
    },
    "ImageLossMetric": lambda r: {"loss": one_of(r, *sorted(MASKED))},
    "LPIPSMetric": lambda r: DRAWS["LPIPS"](r),
    "DISTSMetric": lambda r: DRAWS["DISTS"](r),
    "PerceivedDistanceMetric": lambda r: DRAWS["PerceivedDistance"](r),
    "MSSSIMMetric": lambda r: DRAWS["MSSSIMLoss"](r),
    "SSIMMetric": lambda r: DRAWS["SSIMLoss"](r),
    "PSNRMetric": lambda r: {
        "border": one_of(r, 0, 4),
        "luma": one_of(r, True, False),
    },
    "ImageDistance": lambda r: {"loss": one_of(r, *sorted(MASKED))},
    "TableSmoothness": lambda r: {
        "factor": one_of(r, 1e-4, 1.0),
        "order": one_of(r, 1, 2),
    },
    "TableMonotonicity": lambda r: {
        "factor": one_of(r, 1.0, 10.0),
        "axes": one_of(r, "own", "all"),
    },
    "TableRange": lambda r: {
        "factor": one_of(r, 0.5, 1.0),
        "low": 0.2,
        "high": one_of(r, 0.8, 1.0),
    },
}


def draw(rng, names=None):
    """Returns a random case, of one of some classes or of any."""
    names = sorted(names or DRAWS)
    # Networks take a minute where others take seconds.
    often = np.array([1 if name in DEAR else 3 for name in names])
    name = str(rng.choice(names, p=often / often.sum()))
    case = {"name": name, "arguments": DRAWS[name](rng)}
    inner = case["arguments"].get("loss") or METRICS.get(name) or name
    if "loss" in case["arguments"]:
        case["arguments"]["of_loss"] = DRAWS[inner](rng)
    if name in REGULARIZERS:
        size = int(rng.integers(2, 7))
        case["shape"] = one_of(rng, [size, 3], [size, size, size, 3])
    else:
        # Few sizes, so that backends have what they compiled before.
        case["shape"] = [
            *one_of(rng, [1, 36, 48], [2, 41, 37], [3, 40, 40]),
            one_of(rng, 3, 3, 1) if inner in OF_COLORS else int(rng.choice(4)),
        ]
        case["shape"][3] = case["shape"][3] or 3
    case["use"] = draw_use(rng, case, inner)
    case["settings"] = draw_settings(rng, case, inner)
    case["images"] = draw_images(rng, case, inner)
    case["seed"] = int(rng.integers(2**31))
    return settle(case)


def draw_use(rng, case, inner):
    """Returns what is asked of an object, and with which targets."""
    name = case["name"]
    use = {"call": "loss", "weights": None, "target": "images"}
    if name in LAYERS:
        use["call"] = "layer"
        if name == "LookupColorLayer":
            use["table"] = one_of(rng, "own", "own", "given", "one each")
        use["frames"] = int(rng.choice([0, 0, 2]))
        return use
    if name in REGULARIZERS or name == "ImageDistance":
        use["call"] = "table" if name in REGULARIZERS else "pair"
        return use
    use["weights"] = one_of(rng, None, None, "image")
    if inner in MASKED and rng.integers(2):
        use["weights"] = one_of(rng, "mask", "binary mask", "pair")
    if name in METRICS:
        use["call"] = "metric"
    elif rng.integers(4) == 0:
        use["call"] = "per_image"
        if inner in MAPPED:
            use["call"] = one_of(rng, "map", "per_image")
        if inner in TILED and rng.integers(3) == 0:
            use["call"] = "tile"
            case["shape"][:3] = [1, 257, 270]
    plain = use["call"] in ("map", "tile")
    if inner in ENCODED and not plain and rng.integers(3) == 0:
        use["target"] = "encoded"
    return use


def draw_settings(rng, case, inner):
    """Returns the arguments that most classes share."""
    if case["name"] in REGULARIZERS:
        return {}
    found = {
        "value_range": one_of(rng, [0, 1], [-1, 1], [0, 255], [0.5, 4.0]),
        "check_range": one_of(rng, "off", "warn", "clip"),
        "data_format": one_of(
            rng, "channels_last", "channels_last", "channels_first"
        ),
        "dtype": one_of(
            rng, *(7 * ["float32"]), "mixed_float16", "mixed_bfloat16"
        ),
    }
    if case["name"] not in (*LAYERS, "PSNRMetric"):
        found["reduction"] = one_of(
            rng, "sum_over_batch_size", "sum", "mean_with_sample_weight", None
        )
    return found


def draw_images(rng, case, inner):
    """Returns the kind of images."""
    if case["name"] in REGULARIZERS:
        return "noise"
    kinds = ["noise", "equal half", "black", "saturated", "smooth"]
    if case["settings"]["check_range"] != "warn":
        kinds.append("stray")
    if case["use"]["weights"] in ("mask", "binary mask") and inner in HIDING:
        kinds.append("hidden NaN")
    if case["settings"]["value_range"] == [0, 255]:
        kinds.append("uint8")
    return str(rng.choice(kinds))


def settle(case):
    """Changes what does not go with the rest of a case."""
    arguments, settings, use = (
        case["arguments"],
        case["settings"],
        case["use"],
    )
    slopes = arguments.get("of_loss", arguments)
    if slopes.get("log_space") and settings["value_range"][0] < 0:
        settings["value_range"] = [0, 1]
    if slopes.get("log_space") and case["images"] == "stray":
        case["images"] = "noise"
    is_deep = "DISTS" in (case["name"], arguments.get("loss")) or (
        slopes.get("backbone") == "vgg16" or case["name"] == "DISTSMetric"
    )
    if is_deep and settings:
        # PyTorch takes a minute for a deep network in half precision.
        settings["dtype"] = "float32"
    if slopes.get("patch_factor") == 2:
        case["shape"][:3] = [2, 36, 48]
    if case["name"] == "PSNRMetric":
        settings["check_range"] = "off"
        if arguments["luma"]:
            case["shape"][3] = 3
    if case["name"] == "WeightedSumLoss":
        case["shape"][3] = 3
        settings["data_format"] = "channels_last"
        use["call"], settings["dtype"] = "loss", "float32"
        if arguments["balance"] and settings["reduction"] is None:
            settings["reduction"] = "sum"
    if use["call"] in ("map", "per_image"):
        use["weights"] = "pair" if use["weights"] == "pair" else None
    if use["call"] == "tile":
        use["weights"] = None
    if case["images"] == "hidden NaN" and use["weights"] is None:
        case["images"] = "noise"
    if slopes.get("content_weight") == 0 and use["call"] == "map":
        use["call"] = "per_image"
    if case["name"] == "AdaptiveLookupColorLayer":
        case["shape"][3] = max(case["shape"][3], 3)
    if use.get("table", "own") != "own" and arguments.get("shaper_size"):
        use["table"] = "own"
    return case


def make(case, dtype=None):
    """Returns the object of a case, in its type or another one."""
    name, settings = case["name"], dict(case["settings"])
    if dtype is not None and settings:
        settings["dtype"] = dtype
    if name in REGULARIZERS:
        return getattr(kp, name)(**case["arguments"])
    if name == "WeightedSumLoss":
        return make_sum(case["arguments"], settings, case["use"]["weights"])
    arguments = dict(case["arguments"])
    if name in ("ImageLossMetric", "ImageDistance"):
        loss = make_loss(arguments["loss"], arguments["of_loss"], settings)
        return getattr(kp, name)(loss)
    if METRICS.get(name, name) != name:
        return getattr(kp, name)(make_loss(METRICS[name], arguments, settings))
    if name in LAYERS:
        return make_layer(case, arguments, settings)
    return make_loss(name, arguments, settings)


def make_loss(name, arguments, settings):
    """Returns a loss, with the image that a seed stands for."""
    arguments = dict(arguments)
    if "style_image" in arguments:
        low, high = settings["value_range"]
        numbers = np.random.default_rng(arguments["style_image"])
        arguments["style_image"] = numbers.uniform(
            low, high, (40, 44, 3)
        ).astype("float32")
    return getattr(kp, name)(**arguments, **settings)


def make_sum(arguments, settings, weights):
    """Returns a sum of losses, one of Keras if that takes the weights."""
    pixels, structure, edges = arguments["weights"]
    losses = {
        "pixels": (kp.CharbonnierLoss(**settings), pixels),
        "structure": (kp.SSIMLoss(filter_size=5, **settings), structure),
        "edges": (kp.SobelGradientLoss(**settings), edges),
    }
    if settings["reduction"] is not None and weights != "image":
        reduction = settings["reduction"]
        mae = keras.losses.MeanAbsoluteError(
            reduction=reduction, dtype=settings["dtype"]
        )
        losses["keras"] = (mae, 0.0)
    channels = arguments["channels"]
    if channels and not channels.keys() <= losses.keys():
        channels = None
    return kp.WeightedSumLoss(
        losses,
        channels=channels,
        balance=arguments["balance"],
        shares=arguments["balance"]
        and dict(
            zip(
                ("pixels", "structure", "edges"),
                arguments["shares"],
                strict=True,
            )
        ),
    )


def make_layer(case, arguments, settings):
    """Returns a layer with random tables, if they are its own."""
    if case["name"] == "AdaptiveLookupColorLayer":
        arguments["backbone"] = make_backbone(arguments["backbone"], settings)
    made = getattr(kp, case["name"])(**arguments, **settings)
    if case["use"].get("table", "own") == "own":
        made.build(layout(case, shape_of(case)))
        numbers = np.random.default_rng(case["seed"])
        made.set_weights(
            [
                x + numbers.normal(0, 0.1, x.shape).astype(x.dtype)
                for x in made.get_weights()
            ]
        )
    return made


def make_backbone(kind, settings):
    """Returns what looks at the images of an adaptive layer, seeing (0, 1)."""
    if kind is None:
        return None
    dtype, data_format = settings["dtype"], settings["data_format"]
    low, high = settings["value_range"]
    width = high - low
    layers = [
        keras.layers.Rescaling(1 / width, -low / width, dtype=dtype),
        keras.layers.GlobalAveragePooling2D(
            data_format=data_format, dtype=dtype
        ),
    ]
    if kind == "convolution":
        last = ["channels_last"]
        if data_format == "channels_first":
            layers[0:0] = [keras.layers.Permute((2, 3, 1), dtype=dtype)]
        layers[-1:] = [
            keras.layers.Conv2D(
                4, 5, strides=3, data_format=last[0], dtype=dtype
            ),
            keras.layers.LeakyReLU(0.2, dtype=dtype),
        ]
        layers.append(
            keras.layers.GlobalAveragePooling2D(
                data_format=last[0], dtype=dtype
            )
        )
    return keras.Sequential(layers)


def shape_of(case):
    """Returns the shape of the images, with frames of video if any."""
    batch, *rest = case["shape"]
    frames = case["use"].get("frames")
    return [batch, frames, *rest] if frames else [batch, *rest]


def layout(case, shape):
    """Returns a shape, or images, with the channels where they belong."""
    if case["settings"].get("data_format") != "channels_first":
        return shape
    if isinstance(shape, np.ndarray):
        return np.ascontiguousarray(np.moveaxis(shape, -1, -3))
    return [*shape[:-3], shape[-1], *shape[-3:-1]]


def images_of(case):
    """Returns what goes in: targets, predictions and weights, as arrays."""
    rng = np.random.default_rng(case["seed"])
    true, pred = rng.uniform(size=(2, *shape_of(case)))
    if case["name"] in REGULARIZERS:
        return {"true": true.astype("float32"), "pred": pred.astype("float32")}
    half, kind = case["shape"][1] // 2, case["images"]
    top = (..., slice(half), slice(None), slice(None))
    if kind == "equal half":
        pred[top] = true[top]
    elif kind == "black":
        true[top] = pred[top] = 0
    elif kind == "saturated":
        true, pred = (np.clip(2 * x - 0.5, 0, 1) for x in (true, pred))
    elif kind == "smooth":
        ramp = np.linspace(0, 1, case["shape"][2])[:, None]
        true, pred = (0.9 * ramp + 0.05 * x for x in (true, pred))
    elif kind == "stray":
        true, pred = (1.4 * x - 0.2 for x in (true, pred))
    low, high = case["settings"]["value_range"]
    true, pred = (
        (low + (high - low) * x).astype("float32") for x in (true, pred)
    )
    if kind == "uint8":
        true = np.round(true).astype("uint8")
    weights = weights_of(case, rng)
    if kind == "hidden NaN":
        true[weights == 0] = np.nan
    found = {"true": layout(case, true), "pred": layout(case, pred)}
    if case["use"].get("table", "own") != "own":
        found["table"] = table_of(case, rng)
    return {**found, **({} if weights is None else {"weights": weights})}


def weights_of(case, rng):
    """Returns the weights of images or pixels, or `None`."""
    batch, height, width, _ = case["shape"]
    if case["use"]["weights"] is None:
        return None
    if case["use"]["weights"] == "image":
        return rng.uniform(0.2, 2, batch).astype("float32")
    mask = rng.uniform(0.2, 2, (batch, height, width))
    shown = rng.uniform(size=(batch, height // 6 + 1, width // 6 + 1)) < 0.7
    shown = np.repeat(np.repeat(shown, 6, axis=1), 6, axis=2)
    mask *= shown[:, :height, :width]
    if case["use"]["weights"] == "binary mask":
        mask = mask > 0
    return mask.astype("float32")


def table_of(case, rng):
    """Returns a table that a layer is given, one for all or one each."""
    shape = make(case).table_shape
    if case["use"]["table"] == "one each":
        shape = (case["shape"][0], *shape)
    return rng.uniform(size=shape).astype("float32")


def function_of(case, made):
    """Returns a function of a dictionary of tensors, which gives a scalar.

    Args:
        case: The case.
        made: Its object.
    """
    use = case["use"]

    def compute(given):
        true, pred = given["true"], given["pred"]
        weights = given.get("weights")
        if use["call"] == "table":
            return made(pred)
        if use["call"] == "layer":
            inputs = [pred, given["table"]] if "table" in given else pred
            return _mean(ops.square(ops.cast(made(inputs), pred.dtype)))
        if use["call"] == "pair":
            return ops.mean(made([true, pred]))
        if use["call"] == "metric":
            return measure_twice(made, true, pred, weights)
        if use["weights"] == "pair":
            true, weights = (true, weights), None
        if use["call"] == "map":
            return _mean(ops.square(made.spatial_map(true, pred)))
        if use["call"] == "tile":
            return ops.sum(made.per_image(true, pred, tile=256))
        if use["call"] == "per_image":
            return ops.sum(made.per_image(true, pred))
        return ops.sum(made(true, pred, weights))

    return compute


def _mean(x):
    """Returns the mean of all, by short sums, whose rounding is small."""
    for _ in x.shape:
        x = ops.mean(x, axis=-1)
    return x


def measure_twice(metric, true, pred, weights):
    """Returns the result of a metric after two batches."""
    state = [ops.zeros_like(v.value) for v in metric.variables]
    for factor in (1, 2):
        weighed = weights if weights is None else factor * weights
        state = metric.stateless_update_state(state, true, pred, weighed)
    return metric.stateless_result(state)


def loss_in(case):
    """Returns the name of the loss of a case, also of one in a metric."""
    loss = METRICS.get(case["name"]) or case["arguments"].get("loss")
    return loss or case["name"]


def is_encoded(case):
    """Whether targets are encoded before anything is computed."""
    return case["use"]["target"] == "encoded"


def keeps_state(case):
    """Whether a call changes the next one."""
    return case["arguments"].get("balance") is not None
