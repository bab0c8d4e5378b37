"""Training steps on small arrays of NumPy, which write their own replay."""

import contextlib
import dataclasses
import types

import numpy as np

from keras_perceptual.gradients.replay import (
    Derivative,
    Numbers,
    Operation,
    Replay,
)


def frame(line, name="call", filename="user.py"):
    return types.SimpleNamespace(
        filename=filename, lineno=line, name=name, line=""
    )


def numbers(array):
    finite = array[np.isfinite(array)]
    return Numbers(
        size=float(np.abs(finite).max(initial=0)),
        nan=bool(np.isnan(array).any()),
        infinite=bool(np.isinf(array).any()),
    )


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _put(part, whole, place):
    """Returns zeros in the shape of the whole with a part in its place."""
    array = np.zeros_like(whole)
    array[place] = part
    return array


def _softmax_gradient(g, s, x):
    return (s * (g - (g * s).sum(-1, keepdims=True)),)


# What each kind computes, and the gradients of its inputs from that of the
# result, the result and the inputs; `None` where it has no gradient.
KINDS = {
    "MatMul": (np.matmul, lambda g, y, a, b: (g @ b.T, a.T @ g)),
    "AddV2": (np.add, lambda g, y, a, b: (g, g)),
    "Sub": (np.subtract, lambda g, y, a, b: (g, -g)),
    "Mul": (np.multiply, lambda g, y, a, b: (g * b, g * a)),
    "RealDiv": (np.divide, lambda g, y, a, b: (g / b, -g * a / b**2)),
    "Relu": (lambda x: np.maximum(x, 0), lambda g, y, x: (g * (x > 0),)),
    "ReluGrad": (
        lambda g, x: g * (x > 0),
        lambda u, y, g, x: (u * (x > 0), np.zeros_like(x)),
    ),
    "Tanh": (np.tanh, lambda g, y, x: (g * (1 - y * y),)),
    "Maximum": (
        np.maximum,
        lambda g, y, a, b: (g * (a > b), g * (a <= b)),
    ),
    "Softmax": (softmax, _softmax_gradient),
    "LogSoftmax": (
        lambda x: np.log(softmax(x)),
        lambda g, y, x: (g - np.exp(y) * g.sum(-1, keepdims=True),),
    ),
    "Square": (np.square, lambda g, y, x: (2 * g * x,)),
    "Pow": (np.power, lambda g, y, a, b: (g * b * a ** (b - 1), None)),
    "Sqrt": (np.sqrt, lambda g, y, x: (g / (2 * y),)),
    "Log": (np.log, lambda g, y, x: (g / x,)),
    "Exp": (np.exp, lambda g, y, x: (g * y,)),
    "Identity": (np.copy, lambda g, y, x: (g,)),
    "ReadVariableOp": (np.copy, lambda g, y, x: (g,)),
    "Reshape": (
        lambda x, shape: np.reshape(x, shape.astype(int)),
        lambda g, y, x, shape: (g.reshape(x.shape), None),
    ),
    "Mean": (
        lambda x: np.mean(x),
        lambda g, y, x: (np.full_like(x, g / x.size),),
    ),
    "RowMean": (
        lambda x: x.mean(-1, keepdims=True),
        lambda g, y, x: (np.broadcast_to(g / x.shape[-1], x.shape),),
    ),
    "SelectV2": (
        lambda c, a, b: np.where(c > 0, a, b),
        lambda g, y, c, a, b: (None, g * (c > 0), g * (c <= 0)),
    ),
    "Pack": (
        lambda *parts: np.stack(parts),
        lambda g, y, *parts: tuple(g),
    ),
    "GetItem": (
        lambda x, place: x[int(place)],
        lambda g, y, x, place: (_put(g, x, int(place)), None),
    ),
    "IdentityN": (np.copy, lambda g, y, x: (None,)),
    "GatherV2": (
        lambda table, place: table[place.astype(int)],
        lambda g, y, table, place: (np.ones_like(table), None),
    ),
    "TopKV2": (
        lambda x: (np.sort(x)[..., ::-1], np.argsort(x)[..., ::-1]),
        lambda g, y, x: (g,),
    ),
    # As PyTorch has it: zeros.
    "round": (np.round, lambda g, y, x: (np.zeros_like(g),)),
    "Round": (np.round, None),
    "ArgMax": (lambda x: x.argmax(-1), None),
    "OneHot": (lambda x: np.eye(3)[x], None),
    "Cast": (lambda x: x.astype(float), lambda g, y, x: (g,)),
    "Greater": (np.greater, None),
    "StopGradient": (np.copy, None),
    "Shape": (lambda x: np.array(x.shape), None),
    "ZerosLike": (np.zeros_like, None),
    "OnesLike": (np.ones_like, None),
    "RandomUniform": (lambda: np.full((2, 3), 0.5), None),
    # What was chosen comes last, after the condition.
    "If": (lambda c, x: np.copy(x), lambda g, y, c, x: (None, g)),
    "EagerPyFunc": (np.copy, None),
    "item": (np.copy, None),
    "grad": (np.zeros_like, None),
    "gradient": (lambda y, x: np.zeros_like(x), None),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    key: int
    array: np.ndarray


class Step:
    """A step that is written down while it is taken.

    A variable has its name for its key.
    """

    def __init__(self):
        self._operations, self._taken, self._derivatives = [], [], []
        self._holders, self._values, self._data = {}, {}, {}
        self._changeable = set()
        self._scope, self._line, self._function = (), 1, "call"
        self._conditional = False

    def value(self, array):
        value = Value(len(self._values), np.asarray(array))
        self._values[value.key] = value
        return value

    def variable(self, name, array):
        value = self.value(np.asarray(array, float))
        self._holders[value.key] = name
        return value

    def data(self, name, array):
        value = self.value(np.asarray(array, float))
        self._data[value.key] = name
        return value

    def changeable(self, array):
        value = self.value(np.asarray(array, float))
        self._changeable.add(value.key)
        return value

    def constant(self, array):
        return self.value(np.asarray(array, float))

    @contextlib.contextmanager
    def at(self, *scope, line=None, function=None, conditional=None):
        """Says where what is computed inside is computed."""
        former = self._scope, self._line, self._function, self._conditional
        self._scope += scope
        self._line = self._line if line is None else line
        self._function = function or self._function
        if conditional is not None:
            self._conditional = conditional
        yield
        self._scope, self._line, self._function, self._conditional = former

    def do(self, kind, *inputs, **arguments):
        """Computes with values, and returns what comes out."""
        compute, gradient = KINDS[kind]
        with np.errstate(all="ignore"):
            results = compute(*(value.array for value in inputs))
        several = isinstance(results, tuple)
        outputs = [self.value(r) for r in (results if several else (results,))]
        frames = (frame(self._line, self._function),) if self._line else ()
        options = dict(
            scope=self._scope,
            frames=frames,
            differentiable=gradient is not None,
            varies=kind.startswith("Random"),
            conditional=self._conditional,
        )
        operation = Operation(
            kind,
            tuple(value.key for value in inputs),
            tuple(value.key for value in outputs),
            **options | arguments,
        )
        self._operations.append(operation)
        self._taken.append((operation, gradient))
        return tuple(outputs) if several else outputs[0]

    def differentiate(self, target, variables, line=99):
        """Asks for the gradients of variables, given by their names."""
        gradients, contributions = {target.key: np.ones(target.array.shape)}, {}
        for operation, gradient in reversed(self._taken):
            above = gradients.get(operation.outputs[0])
            if above is None or gradient is None:
                continue
            arrays = [self._values[k].array for k in operation.inputs]
            result = self._values[operation.outputs[0]].array
            with np.errstate(all="ignore"):
                found = gradient(above, result, *arrays)
                for place, more in enumerate(found):
                    array, key = arrays[place], operation.inputs[place]
                    if more is None or array.dtype.kind in "ib":
                        continue
                    if more.shape == array.shape:
                        contributions[operation, place] = np.abs(more).max()
                    more = _without_broadcasting(more, array.shape)
                    gradients[key] = gradients.get(key, 0) + more
        self._derivatives.append(
            Derivative(
                targets=(target.key,),
                variables=frozenset(variables),
                gradients={k: numbers(g) for k, g in gradients.items()},
                contributions=contributions,
                frames=(frame(line, "train_step"),),
            )
        )

    def replay(self):
        return Replay(
            operations=tuple(self._operations),
            holders=self._holders,
            derivatives=tuple(self._derivatives),
            values={k: numbers(v.array) for k, v in self._values.items()},
            data=self._data,
            changeable=frozenset(self._changeable),
        )


def _without_broadcasting(array, shape):
    """Returns a gradient of the shape of what was broadcast."""
    extra = array.ndim - len(shape)
    array = array.sum(tuple(range(extra))) if extra else array
    for axis, size in enumerate(shape):
        if size == 1:
            array = array.sum(axis, keepdims=True)
    return array
