"""What to write in the place of an operation that passes no gradient back."""

import re
from collections.abc import Iterable, Mapping

_STRAIGHT_THROUGH = (
    "a straight-through estimator, `soft + keras.ops.stop_gradient(hard - "
    "soft)`"
)

# What operations and public functions are called on TensorFlow, JAX and
# PyTorch, as `normalize` writes them; what is the matter; the usual mend.
_PLACES = (
    """
    argmax argmin argmaxwithvalue argsort argpartition lexsort approxtopk
    intopk onehot multihot categoricalencoding tocategorical unique
    uniquewithcounts uniqueconsecutive listdiff setdiff1d nonzero argwhere
    flatnonzero unravelindex maskedselect booleanmask nonmaxsuppression
    nonmaxsuppressionwithscores combinednonmaxsuppression invertpermutation
    generateboundingboxproposals ctcgreedydecoder ctcbeamsearchdecoder
    """,
    "It picks a place, and a place does not change by small amounts.",
    "Compute with the scores themselves, for example with `keras.ops.softmax` "
    f"of them, or use {_STRAIGHT_THROUGH}.",
)
_ORDER = (
    "sort msort sortby topk kthvalue mode median nanmedian cummax cummin",
    "Its values carry a gradient, and the places that it returns do not.",
    "Compute with the values. In the place of an order, use the scores: "
    "`keras.ops.softmax` of them is a smooth choice of the largest.",
)
_STAIRCASES = (
    """
    round rint around floor ceil sign sgn signbit trunc truncate fix heaviside
    floordiv floordivide truncatediv truncdivide div divmod nextafter step
    quantize quantizepertensor quantizeperchannel dequantize
    fakequantizepertensoraffine roundtoint
    """,
    "It is a staircase: flat everywhere, except at its steps.",
    f"Leave it out during training, or use {_STRAIGHT_THROUGH}, where `hard` "
    "is the step and `soft` is what goes into it.",
)
_COUNTS = (
    """
    bucketize digitize searchsorted lowerbound upperbound histogram
    histogramfixedwidth histogram2d histogramdd histc bincount densebincount
    sparsebincount raggedbincount countnonzero confusionmatrix
    populationcount editdistance discretization setsize
    densecountsparseoutput
    """,
    "It counts, or sorts into bins, and a count does not change by small "
    "amounts.",
    "Weigh the bins by a smooth function of the distance to their centers, "
    "for example with `keras.ops.softmax` of minus the squared distance.",
)
_CASTS = (
    """
    cast convertelementtype bitcast bitcastconverttype saturatecast to tocopy
    type astype viewdtype int long byte char short bool toint32 toint64
    int32 int64 uint8 int8 int16
    """,
    "A cast to integers or booleans ends the gradient.",
    "Keep floating-point numbers up to the loss: in the place of a cast "
    "comparison, use `keras.ops.sigmoid` of the difference, or "
    f"{_STRAIGHT_THROUGH}. If the labels were to be cast, check the order of "
    "the arguments: `y_true` comes first, `y_pred` second.",
)
_COMPARISONS = (
    """
    greater greaterequal less lessequal equal notequal gt ge lt le eq ne
    logicaland logicalor logicalnot logicalxor and or not xor isnan isfinite
    isinf isposinf isneginf isclose allclose approximateequal all any
    reduceand reduceor eqto leto ltto bitwiseand bitwiseor bitwisexor
    bitwisenot invert in1d isin
    """,
    "A comparison is true or false, with nothing in between.",
    "Use the size of the difference: `keras.ops.sigmoid` or `keras.ops.relu` "
    f"of it. If the hard decision is needed, use {_STRAIGHT_THROUGH}.",
)
_CONDITIONS = (
    """
    where select selectn cond statelessif if case statelesscase
    switch
    """,
    "The condition of a choice passes no gradient; only what is chosen does.",
    "Blend both sides with a smooth weight, for example "
    "`w * a + (1 - w) * b` with `w = keras.ops.sigmoid(...)`.",
)
_INDICES = (
    """
    gather gathernd take takealongaxis takealongdim resourcegather
    resourcegathernd embeddinglookup embedding indexselect index getitem
    dynamicslice dynamicupdateslice stridedslice slice scatter scatteradd
    scatternd tensorscatterupdate indexput segmentsum segmentmean segmentprod
    segmentmax segmentmin unsortedsegmentsum unsortedsegmentprod
    unsortedsegmentmax unsortedsegmentmin sparsesegmentsum sparsesegmentmean
    scattermax scattermin scattermul repeat repeatinterleave
    """,
    "The entries carry a gradient, and the integers that choose them do not.",
    "To choose by learned numbers, weigh all entries: multiply a `softmax` "
    "over the entries with the table of them.",
)
_PYTHON = (
    """
    pyfunc pyfuncstateless eagerpyfunc numpyfunction purecallback iocallback
    debugcallback outsidecall hostcallback ffical fficall customcall numpy
    array item tolist float complex __int__ __bool__ __index__
    __float__ __array__ __complex__ fromnumpy frombuffer asarray newtensor
    tensor converttonumpy pythoncall
    """,
    "There a tensor becomes a Python number or a NumPy array, in which the "
    "backend sees no computation.",
    "Keep it a tensor and write the computation with `keras.ops`; for a table "
    "of colors, use `keras_perceptual.LookupColorLayer`. A function that must "
    "stay in Python needs a derivative of its own (`jax.custom_jvp`, "
    "`tf.custom_gradient`, `torch.autograd.Function`).",
)
_STOPS = (
    "stopgradient preventgradient detach data",
    "It stops the gradient, and does nothing else.",
    "In a straight-through estimator or a hard Gumbel-softmax, only the "
    "difference stands inside: `soft + keras.ops.stop_gradient(hard - soft)`. "
    "A loss for what stands inside, such as that of a codebook, must be "
    "computed before this line, from the value itself, and added with "
    "`add_loss`: that is a second way around it. If the layers before it are "
    "not to be trained, set `layer.trainable = False`.",
)
_NO_GRAD = (
    "nograd inferencemode",
    "It runs under `torch.no_grad()`, where nothing has a gradient.",
    "Take it out of there. If the layers before it are not to be trained, "
    "set `layer.trainable = False`.",
)
_WRITES = (
    """
    assign assignadd assignsub assignvariableop assignaddvariableop
    assignsubvariableop readvariableop copy setdata set swap addupdate fill
    scatterupdate scatterndupdate scatterndadd resourcescatterupdate
    resourcescatteradd resourcescatterndupdate resourcestridedsliceassign
    stridedsliceassign inplaceupdate inplaceadd
    """,
    "What is written to a variable is a number from then on.",
    "Compute with the value itself, and do not read it back from the "
    "variable. To call a model with other weights, hand these to "
    "`model.stateless_call`.",
)
_CUSTOM = (
    """
    identityn customgradient customvjp customjvp customvjpcall customjvpcall
    customvjpcalljaxpr customlin customfunction
    """,
    "The gradient function that it was given returns nothing, or zeros, for "
    "this input.",
    "Return a gradient for each argument of the function under "
    "`custom_gradient`.",
)
_SAMPLES = (
    """
    sample categorical multinomial statelessmultinomial binomial
    statelessrandombinomial statefulrandombinomial bernoulli poisson
    randompoisson statelessrandompoisson gamma standardgamma samplegamma
    randomgamma statelessrandomgamma beta dirichlet sampledirichlet
    exponential geometric normal uniform randint choice permutation randperm
    randomstandardnormal randomuniform randomuniformint statelessrandomnormal
    statelessrandomuniform statelessrandomuniformint
    statelessrandomuniformfullint truncatednormal statelesstruncatednormal
    parameterizedtruncatednormal statelessparameterizedtruncatednormal
    statefulstandardnormal statefuluniform statefultruncatednormal
    randomshuffle statelessrandomshuffle statelessshuffle shuffle randombits
    rngbitgenerator rnguniform threefry2x32 randomwrap randomunwrap
    randomseed randomfoldin nondeterministicints
    """,
    "It draws a sample, and a sample passes no gradient to the parameters of "
    "its distribution.",
    "Reparameterize it: draw noise that has no parameters, and compute the "
    "sample from it (`mean + scale * noise`). For discrete samples use the "
    "Gumbel-softmax or a straight-through estimator, or the score function "
    "(REINFORCE) in the loss.",
)
_WARPS = (
    """
    imageprojectivetransform affinetransform perspectivetransform
    elastictransform extractglimpse cropandresize scaleandtranslate
    resizearea drawboundingboxes sampledistortedboundingbox
    statelesssampledistortedboundingbox randomcrop
    """,
    "The image carries a gradient, and the numbers of the transform do not.",
    "Sample a grid of your own: compute the coordinates with `keras.ops` and "
    "interpolate there with `keras.ops.image.map_coordinates`.",
)
_COLORS = (
    """
    hsvtorgb adjusthue adjustsaturation adjustcontrast adjustbrightness
    """,
    "TensorFlow has no gradient for this image operation.",
    "Write it out with `keras.ops`, or apply it to the data before the "
    "training.",
)
_BYTES = (
    """
    decodejpeg decodeandcropjpeg decodepng decodegif decodebmp decodeimage
    decodewebp decodejxl decoderaw decodepaddedraw decodecsv decodebase64
    decodecompressed encodejpeg encodejpegvariablequality encodepng
    encodebase64 adjustjpegquality extractjpegshape parsetensor
    serializetensor parseexample asstring stringtonumber stringformat
    stringjoin stringsplit stringlength stringlower stringupper stringstrip
    stringngrams substr regexreplace staticregexreplace regexfullmatch
    reducejoin stringtohashbucket stringtohashbucketfast
    stringtohashbucketstrong fingerprint hashing stringlookup integerlookup
    hashtable lookuptablefind lookuptableinsert unicodedecode unicodeencode
    unicodetranscode readfile writefile
    """,
    "It works on bytes, texts or keys, which have no gradient.",
    "Keep it out of the way between the weights and the loss.",
)
_SHAPES = (
    """
    shape shapen size rank ndim numel zeroslike oneslike emptylike fulllike
    variableshape broadcastargs newzeros newones newempty newfull
    """,
    "It looks at the shape of a value, and not at its numbers.",
    "Compute with the value itself. A dropout with a rate of 1 also leaves "
    "nothing but zeros.",
)
_RANGES = (
    "range arange linspace logspace geomspace raggedrange",
    "Its limits carry no gradient.",
    "Write the numbers out: `start + step * keras.ops.arange(n)`.",
)
_DECOMPOSITIONS = (
    """
    eig eigvals lu lufactor schur matrixrank matrixlogarithm
    matrixexponential logm lstsq pinv geqrf
    """,
    "The backend has no gradient for this decomposition.",
    "Use one that has: `keras.ops.eigh` of a symmetric matrix, "
    "`keras.ops.cholesky`, or `keras.ops.solve` in the place of an inverse.",
)
_LOOPS = (
    "while statelesswhile whileloop",
    "A loop whose number of steps depends on the numbers has no gradient on "
    "JAX.",
    "Use a fixed number of steps: `keras.ops.fori_loop` with constant bounds, "
    "or `keras.ops.scan`.",
)
FAMILIES = (
    *(_PLACES, _ORDER, _STAIRCASES, _COUNTS, _CASTS, _COMPARISONS),
    *(_CONDITIONS, _INDICES, _PYTHON, _STOPS, _NO_GRAD, _WRITES, _CUSTOM),
    *(_SAMPLES, _WARPS, _COLORS, _BYTES, _SHAPES, _RANGES),
    *(_DECOMPOSITIONS, _LOOPS),
)
# Layers whose operations are not the user's to change.
_EMBEDDING = (
    "It casts what comes in to integers and picks rows of its table: only the "
    "table gets a gradient.",
    "Feed it with integers from the data. To choose by learned numbers, "
    "multiply a softmax with the table: `keras.ops.matmul(keras.ops.softmax("
    "scores), layer.embeddings)`.",
)
LAYERS: dict[str, tuple[str, str]] = {
    "LookupColorLayer": (
        "With interpolation='nearest' it takes an entry of the table as it "
        "is: only the table gets a gradient.",
        "Use interpolation='linear' or 'tetrahedral' to train the layers "
        "before it.",
    ),
    "Embedding": _EMBEDDING,
    "ReversibleEmbedding": _EMBEDDING,
    "Discretization": _COUNTS[1:],
    "CategoryEncoding": _PLACES[1:],
    "IntegerLookup": _BYTES[1:],
    "StringLookup": _BYTES[1:],
    "Hashing": _BYTES[1:],
}
# Said of what may well have a gradient where something else goes in.
UNKNOWN = (
    "No gradient comes back through it here.",
    "See which of its inputs depends on the weights, and whether the "
    "operation can be differentiated by that one.",
)


def normalize(name: str) -> str:
    """Returns the name of an operation or function as the tables have it.

    Without the module and the overload it belongs to, without underscores,
    and without the version that TensorFlow puts behind a name.
    """
    name = re.sub(r"^aten(?:::|\.)(\w+).*", r"\1", name).rpartition(".")[2]
    return re.sub(r"[vV]\d$", "", name).replace("_", "").lower()


def by_name(
    families: Iterable[tuple[str, str, str]],
) -> dict[str, tuple[str, str]]:
    """Returns a dictionary with the two sentences on each name."""
    return {
        name: (matter, mend)
        for names, matter, mend in families
        for name in names.split()
    }


_MENDS = by_name(FAMILIES)


def look_up(
    table: Mapping[str, tuple[str, str]], *names: str
) -> tuple[str, str] | None:
    """Returns the entry of the first name that a table has, or `None`."""
    for name in names:
        # `__int__` leaves the backend, `int` is a cast.
        for key in (name, normalize(name)):
            if key in table:
                return table[key]
    return None


def find_mend(
    operation: str, function: str = "", layer_class: str = ""
) -> tuple[str, str]:
    """Returns what is the matter with an operation and the usual mend.

    Args:
        operation: What the backend calls it, such as `"ArgMax"`.
        function: The public function that it belongs to, such as
            `"keras.ops.argmax"`, or `""`. It tells more than the operation,
            which may be any of several that it is made of.
        layer_class: The class of the layer it runs in.

    Returns:
        Two sentences.
    """
    if layer_class in LAYERS:
        return LAYERS[layer_class]
    # On PyTorch, `expand under no_grad` says how an operation ran.
    operation, _, around = operation.partition(" under ")
    return look_up(_MENDS, function, operation, around) or UNKNOWN
