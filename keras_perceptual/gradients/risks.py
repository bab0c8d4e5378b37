"""What makes an operation give NaN or infinity, and how to prevent it."""

from keras_perceptual.gradients.mends import by_name, look_up

_ROOTS = (
    """
    sqrt rsqrt sqrtgrad rsqrtgrad norm vectornorm linalgvectornorm
    linalgnorm euclideannorm normalize l2normalize unitnormalization hypot
    std reducestd cdist pairwisedistance cosinesimilarity
    """,
    "The slope of a root is infinite at zero, and NaN below it.",
    "Guard the argument, with a small epsilon inside the root: "
    "`keras.ops.sqrt(x + 1e-12)`, and the square root of a sum of squares "
    "plus epsilon in the place of a norm. A `maximum` or `where` after the "
    "root does not help.",
)
_LOGARITHMS = (
    """
    log log1p log2 log10 xlogy xlog1py loggrad logdet kldiv entropy
    klddivergence
    """,
    "A logarithm is minus infinity at zero, with an infinite slope, and NaN "
    "below it.",
    "Add a small epsilon to its argument. The logarithm of a sum of "
    "exponentials is `keras.ops.logsumexp`, that of a softmax is "
    "`keras.ops.log_softmax`, and losses take `from_logits=True`.",
)
_DIVISIONS = (
    """
    div realdiv realdivgrad divide truedivide truediv rtruediv rdiv xdivy
    reciprocal reciprocalgrad inv invgrad mod remainder fmod floormod
    """,
    "It divides by zero, or by a number too small.",
    "Add a small epsilon to the divisor, or use "
    "`keras.ops.divide_no_nan`. A `where` after the division does not help: "
    "put a harmless number in the place of the zero before it.",
)
_MEANS = (
    "mean reducemean nanmean average var reducevar variance moments",
    "A mean over nothing is zero divided by zero, and one of huge numbers "
    "overflows.",
    "Make sure that there is something to average, or divide a sum by "
    "`keras.ops.maximum(count, 1)`. Keep what is averaged at a size near 1.",
)
_POWERS = (
    "pow power floatpower integerpow rpow",
    "A power below 1 has an infinite slope at zero, and one of a negative "
    "number is NaN.",
    "Add a small epsilon to the base, or keep it away from zero with "
    "`keras.ops.maximum(base, 1e-6)`.",
)
_EXPONENTIALS = (
    "exp expm1 exp2 sinh cosh",
    "An exponential overflows: above 88 in float32, above 11 in float16.",
    "Clip its argument, subtract the largest first, or use "
    "`keras.ops.softplus`, `keras.ops.logsumexp` or `keras.ops.softmax`.",
)
_ENDS = (
    """
    acos asin atanh acosh arccos arcsin arctanh arccosh acosgrad asingrad
    erfinv erfcinv logit ndtri tan
    """,
    "The slope is infinite at the ends of its range, and it is NaN outside.",
    "Clip the argument a little inside the range, for example to "
    "`-1 + 1e-6` and `1 - 1e-6`.",
)
_ANGLES = (
    "atan2 arctan2 angle abs complexabs absolute",
    "The angle of a zero has no slope, nor has the size of a complex zero.",
    "Add a small epsilon to the argument where it is zero.",
)
_POLES = (
    "lgamma digamma polygamma zeta igamma igammac gammainc gammaincc lbeta "
    "betainc betaln gammaln trigamma",
    "It is infinite at zero and at negative integers.",
    "Keep the argument above a small epsilon, for example with "
    "`keras.ops.softplus(x) + 1e-6`.",
)
_EIGENVALUES = (
    """
    eigh eig eigvalsh eigvals selfadjointeig linalgeigh linalgeig
    linalgeigvalsh svd linalgsvd svdvals qr linalgqr matrixnorm nuclearnorm
    """,
    "Its derivative divides by the differences of the eigenvalues, or "
    "singular values: where two are equal it is infinite.",
    "Keep them apart, by adding a small symmetric noise to the matrix or "
    "different small numbers to its diagonal. Or do without the vectors: "
    "`keras.ops.cholesky` or `keras.ops.solve` often serve.",
)
_INVERSES = (
    """
    cholesky choleskyex choleskygrad linalgcholesky linalgcholeskyex inverse
    linalginv linalginvex matrixinverse det linalgdet slogdet linalgslogdet
    logmatrixdeterminant matrixdeterminant solve linalgsolve linalgsolveex
    matrixsolve triangularsolve matrixtriangularsolve lu lufactor lusolve
    lstsq
    """,
    "The matrix is singular, or not positive definite.",
    "Add a small multiple of the identity: `a + 1e-6 * keras.ops.eye(n)`.",
)
_SEGMENTS = (
    """
    segmentmax segmentmin unsortedsegmentmax unsortedsegmentmin scattermax
    scattermin scatterreduce indexreduce segmentmean sparsesegmentmean
    """,
    "An empty segment has no largest or smallest member: the result is "
    "infinite, or the lowest number there is.",
    "Count the members, and replace the result where there are none: "
    "`keras.ops.where(count > 0, result, 0.0)`, before it is computed with.",
)
_EXTREMES = (
    "max min amax amin reducemax reducemin cummax cummin",
    "The largest of nothing, or of what is masked throughout, is infinite.",
    "Make sure that there is something to choose from, and mask with a large "
    "finite number, such as -1e9, in the place of infinity.",
)
_SOFTMAXES = (
    """
    softmax logsoftmax logsumexp reducelogsumexp logaddexp sparsesoftmax
    softmaxbackwarddata scaleddotproductattention
    """,
    "A softmax over a row that is masked throughout with minus infinity is "
    "NaN.",
    "Mask with a large finite number, such as -1e9 (-3e4 in float16), or "
    "leave one entry of each row unmasked.",
)
_LABELS = (
    "ctc ctcloss ctclosscalculation cudnnctcloss",
    "Labels that are longer than the time axis cannot be matched: the loss "
    "is infinite.",
    "Keep more time steps than there are labels, counting one more between "
    "two equal ones in a row, or drop those examples.",
)
_CHOICES = (
    "where select selectn",
    "Zero times infinity is NaN: the gradient of the branch that is not "
    "taken is multiplied by zero and not left out.",
    "Guard what goes into that branch: put a harmless number there with a "
    "`where` of its own, before the operation that is not finite.",
)
_PRODUCTS = (
    "prod reduceprod cumprod nanprod segmentprod unsortedsegmentprod",
    "A product overflows, and its derivative divides by its entries.",
    "Add up logarithms, and keep the entries away from zero.",
)
_NARROWING = (
    "cast convertelementtype to tocopy half type astype reduceprecision",
    "The number is too large for the type it is cast to: float16 ends at "
    "65504.",
    "Compute it in float32, or use `mixed_bfloat16` in the place of "
    "`mixed_float16`.",
)
_LARGE = (
    """
    matmul batchmatmul mm bmm addmm baddbmm linear dotgeneral dot tensordot
    einsum conv conv1d conv2d conv3d convgeneraldilated depthwiseconv2d
    depthwiseconv2dnative convolution mul multiply rmul square squareddifference
    add addn radd sub subtract rsub sum reducesum cumsum
    addany l2loss matrixmultiply
    """,
    "The numbers are too large for their type, or infinite times zero.",
    "Look at what goes in. Scale inputs and targets to a size near 1, lower "
    "the learning rate, clip the gradients (`clipnorm=1.0`), and compute "
    "large sums in float32.",
)
FAMILIES = (
    *(_ROOTS, _LOGARITHMS, _DIVISIONS, _MEANS, _POWERS, _EXPONENTIALS),
    *(_ENDS, _ANGLES, _POLES, _EIGENVALUES, _INVERSES, _SEGMENTS, _EXTREMES),
    *(_SOFTMAXES, _LABELS, _CHOICES, _PRODUCTS, _NARROWING, _LARGE),
)
UNKNOWN = (
    "Its result or its slope is not finite for what goes in here.",
    "Look at the smallest and the largest number that goes in, and keep it "
    "away from where that happens, with a small epsilon or `keras.ops.clip`.",
)
_RISKS = by_name(FAMILIES)


def find_risk(operation: str, function: str = "") -> tuple[str, str]:
    """Returns what makes an operation not finite and the usual mend.

    Args:
        operation: What the backend calls it, such as `"Sqrt"`.
        function: The public function that it belongs to, such as
            `"keras.ops.sqrt"`, or `""`.

    Returns:
        Two sentences.
    """
    return look_up(_RISKS, function, operation) or UNKNOWN
