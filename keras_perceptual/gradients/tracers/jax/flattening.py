"""Taking a traced computation apart, into a flat list of operations."""

import dataclasses
import functools
import itertools

import jax
import numpy as np

from keras_perceptual.gradients.replay import Derivative, Operation, Replay
from keras_perceptual.gradients.tracers.jax import (
    jaxprs,
    marks,
    rules,
    sources,
)
from keras_perceptual.gradients.tracers.jax.tape import Tape, add_to

# A loop that would make the list longer than this stays one operation.
_LONGEST = 50_000
# They tell the user something, which the step has done already.
_SILENT = ("debug_callback", "debug_print")


@dataclasses.dataclass(frozen=True)
class Where:
    """Where in the program and in the computation something stands.

    Attributes:
        scope: Names of the scopes it is called in.
        frames: The Python frames it is called in.
        called: Whether it is in something that is held by an equation.
        conditional: Whether it is in a branch that a condition chose.
    """

    scope: tuple[str, ...] = ()
    frames: tuple = ()
    called: bool = False
    conditional: bool = False

    def at(self, equation):
        """Returns where an equation stands that stands in here."""
        return dataclasses.replace(
            self,
            scope=(*self.scope, *sources.scope_of(equation)),
            frames=(*self.frames, *sources.frames_of(equation, self.called)),
        )


@dataclasses.dataclass
class _Region:
    """A part of the step that is differentiated.

    Attributes:
        start: Where on the tape it starts.
        first: No key that is made in it is smaller.
        asked: The bits of the variables it is differentiated by.
        closed_over: The keys, inside, of values from outside that depend on
            these variables, by the keys outside.
        end: Where on the tape it ends.
        targets: Keys of what comes out.
    """

    start: int
    first: int
    asked: int = 0
    closed_over: dict = dataclasses.field(default_factory=dict)
    end: int = 0
    targets: tuple = ()


class Flattening:
    """Reads traced computations and writes down the operations in them.

    Functions, the branches that are taken and the turns of loops are taken
    apart; functions with a gradient of their own are not. No gradient comes
    back through a `while` loop of JAX: it is one operation, too.

    Attributes:
        holders: As in `Replay`.
        data: As in `Replay`.
        changeable: A set of keys, as in `Replay`.
    """

    def __init__(self):
        self.holders = {}
        self.data = {}
        self.changeable = set()
        self._tape = Tape()
        self._operations = []
        self._derivatives = []
        self._new_key = itertools.count().__next__
        self._constants = {}
        self._stored = {}
        self._changing = set()
        self._literals = {}
        # Which variables a value depends on, as bits.
        self._roots = {}
        self._variables = []
        self._state = []
        self._regions = {}
        self._region = None
        # What is told apart by its address stays where it is.
        self._kept = []

    def add_value(self, array):
        """Returns a key for a value that is there at the beginning."""
        key = self._new_key()
        self._tape.put(key, array)
        return key

    def add_variable(self, variable, array, in_state=True):
        """Returns a key for a value that stands for a variable.

        Args:
            variable: The key of the variable.
            array: Its value.
            in_state: Whether it is among what the step is given to train.
        """
        key = self.add_value(array)
        self._hold(key, variable)
        if in_state:
            self._state.append(key)
        return key

    def _hold(self, key, variable):
        if variable not in self._variables:
            self._variables.append(variable)
        self.holders[key] = variable
        self._roots[key] = 1 << self._variables.index(variable)

    def add_constant(self, array, key):
        """Has an array that occurs as a constant be a known value."""
        self._constants[id(array)] = key
        self._kept.append(array)

    def add_stored(self, array, key):
        """Has an array be known as what is stored in a variable.

        Args:
            array: The array.
            key: The key of the value that stands for the variable.
        """
        self._stored[id(array)] = key
        self._kept.append(array)

    def add_changeable(self, array):
        """Has an array be known as one that may be different next time."""
        self._changing.add(id(array))
        self._kept.append(array)

    def finish(self):
        """Returns the `Replay` of what has been read."""
        self._tape.position()
        return Replay(
            operations=tuple(self._operations),
            holders=self.holders,
            derivatives=tuple(self._derivatives),
            values=self._tape.numbers,
            data=self.data,
            changeable=frozenset(self.changeable),
        )

    def read(self, jaxpr, constants, inputs, where):
        """Reads a computation and returns the keys of its outputs.

        Args:
            jaxpr: The computation.
            constants: The constants in it.
            inputs: Keys of the values that go in.
            where: Where it stands.
        """
        values = dict(zip(jaxpr.invars, inputs, strict=True))
        constants = dict(zip(jaxpr.constvars, constants, strict=True))

        def look_up(atom, where):
            if jaxprs.is_literal(atom):
                return self._literal(atom)
            if atom in constants:
                return self._constant(constants[atom], where)
            return values[atom]

        for equation in jaxpr.eqns:
            here = where.at(equation)
            taken = [look_up(atom, here) for atom in equation.invars]
            given = self._read_equation(equation, taken, here)
            values.update(zip(equation.outvars, given, strict=True))
        return [look_up(atom, where) for atom in jaxpr.outvars]

    def value(self, key):
        """Returns a value by its key."""
        return self._tape.read(key)

    def _constant(self, constant, where):
        key = self._constants.get(id(constant))
        if key is None:
            key = self.add_value(constant)
            stored = self._stored.get(id(constant))
            if stored is not None:
                key = self._cut("stored_value", stored, where)
            if id(constant) in self._changing:
                self.changeable.add(key)
            self.add_constant(constant, key)
        return key

    def _literal(self, atom):
        if id(atom) not in self._literals:
            dtype = getattr(atom.aval, "dtype", None)
            self._literals[id(atom)] = self.add_value(
                np.asarray(atom.val, dtype)
            )
            self._kept.append(atom)
        return self._literals[id(atom)]

    def _read_equation(self, equation, inputs, where):
        """Reads an equation and returns the keys of its outputs."""
        name = equation.primitive.name
        if name in _SILENT:
            return ()
        special = {
            marks.ENTER: self._enter,
            marks.LEAVE: self._leave,
            marks.PULL: self._pull,
            "cond": self._read_cond,
        }
        if name == "scan" and self._is_short(equation):
            special["scan"] = self._read_scan
        if name in special:
            return special[name](equation, inputs, where)
        inner, constants = jaxprs.called_jaxpr(equation)
        if inner is not None and not name.startswith("custom_"):
            where = dataclasses.replace(where, called=True)
            return self.read(inner, constants, inputs, where)
        signature = self._tape.rules.signature(equation)
        operation = self._add(
            _own_name(equation),
            inputs,
            len(equation.outvars),
            where,
            differentiable=self._tape.rules.is_differentiable(
                equation, signature
            ),
            varies=rules.varies(equation),
        )
        self._tape.call(operation, equation)
        return operation.outputs

    def _add(self, kind, inputs, count, where, cross=True, **options):
        """Writes down an operation and returns it."""
        if cross:
            inputs = [self._inside(key, where) for key in inputs]
        operation = Operation(
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(self._new_key() for _ in range(count)),
            scope=where.scope,
            frames=where.frames,
            conditional=where.conditional,
            **options,
        )
        roots = functools.reduce(
            lambda bits, key: bits | self._roots.get(key, 0), inputs, 0
        )
        if roots:
            self._roots.update(dict.fromkeys(operation.outputs, roots))
        self._operations.append(operation)
        return operation

    def _cut(self, kind, key, where):
        """Has a value go on without a gradient; returns its new key."""
        operation = self._add(
            kind, [key], 1, where, cross=False, differentiable=False
        )
        self._tape.route(operation, list, lambda gradients: [None])
        return operation.outputs[0]

    def _inside(self, key, where):
        """Returns the key of a value inside the region that is being read.

        What has been computed from a variable before is a constant to the
        function that is differentiated by this variable.
        """
        region = self._region
        if (
            region is None
            or key >= region.first
            or not self._roots.get(key, 0) & region.asked
        ):
            return key
        if key not in region.closed_over:
            region.closed_over[key] = self._cut("closed_over", key, where)
        return region.closed_over[key]

    def _enter(self, equation, inputs, where):
        region = _Region(self._tape.position(), self._new_key())
        held = self._held_by(inputs)
        outputs = []
        for key, variable in zip(inputs, held, strict=True):
            inner = self.add_value(self._tape.read(key))
            outputs.append(inner)
            if variable is not None:
                self._hold(inner, variable)
                region.asked |= self._roots[inner]
            elif key in self.data:
                self.data[inner] = self.data[key]
            else:
                self.changeable.add(inner)
        self._region = self._regions[equation.params["region"]] = region
        return outputs

    def _held_by(self, keys):
        """Returns which variable each of some values stands for, if any."""
        held = [self._variable_of(key) for key in keys]
        if None in held and self._shapes(keys) == self._shapes(self._state):
            # What has become of all of them in a step of its own.
            return [self.holders[key] for key in self._state]
        return held

    def _variable_of(self, key):
        """Returns the only variable of its shape that a value comes from."""
        roots = self._roots.get(key, 0)
        if key in self.holders or roots.bit_count() != 1:
            return self.holders.get(key)
        variable = self._variables[roots.bit_length() - 1]
        shapes = self._shapes([key]), self._shapes(
            k for k, v in self.holders.items() if v == variable
        )
        return variable if shapes[0][0] == shapes[1][0] else None

    def _shapes(self, keys):
        return [np.shape(self._tape.read(key)) for key in keys]

    def _leave(self, equation, inputs, where):
        region = self._region
        region.targets = tuple(self._inside(key, where) for key in inputs)
        region.end = self._tape.position()
        self._region = None
        return region.targets

    def _pull(self, equation, inputs, where):
        region = self._regions[equation.params["region"]]
        count = equation.params["targets"]
        sources = inputs[count:]
        cotangents = {}
        for target, key in zip(region.targets, inputs[:count], strict=True):
            add_to(cotangents, target, self._tape.read(key))
        found = self._tape.gradients(region.start, region.end, cotangents)
        self._derivatives.append(
            Derivative(
                targets=region.targets,
                variables=frozenset(
                    self.holders[key] for key in sources if key in self.holders
                ),
                gradients=found.numbers,
                contributions=found.contributions,
                frames=where.frames,
            )
        )
        operation = self._add(
            "gradient",
            [*region.targets, *sources],
            len(sources),
            where,
            differentiable=False,
        )
        gradients = [
            found.arrays[key]
            if key in found.arrays
            else np.zeros_like(self._tape.read(key))
            for key in sources
        ]
        self._tape.route(
            operation, lambda arrays: gradients, lambda above: [None]
        )
        return operation.outputs

    def _read_cond(self, equation, inputs, where):
        index, *inputs = inputs
        branches = equation.params["branches"]
        index = min(max(int(self._tape.read(index)), 0), len(branches) - 1)
        where = dataclasses.replace(where, called=True, conditional=True)
        branch = branches[index]
        return self.read(branch.jaxpr, branch.consts, inputs, where)

    def _is_short(self, equation):
        return (
            len(self._operations) + jaxprs.count_calls(equation) < _LONGEST
        )

    def _read_scan(self, equation, inputs, where):
        """Reads each turn of a loop."""
        params = equation.params
        body, length = params["jaxpr"], params["length"]
        start = params["num_consts"]
        end = start + params["num_carry"]
        constants, carry = inputs[:start], inputs[start:end]
        pieces = [
            self._unstack(key, length, where) for key in inputs[end:]
        ]
        results = [[None] * length for _ in equation.outvars[len(carry) :]]
        inside = dataclasses.replace(where, called=True)
        turns = range(length)
        for turn in reversed(turns) if params["reverse"] else turns:
            # Turns that are alike are compiled once.
            self._tape.position()
            outputs = self.read(
                body.jaxpr,
                body.consts,
                [*constants, *carry, *(piece[turn] for piece in pieces)],
                inside,
            )
            carry, rows = outputs[: len(carry)], outputs[len(carry) :]
            for result, row in zip(results, rows, strict=True):
                result[turn] = row
        self._tape.position()
        return [*carry, *(self._stack(keys, where) for keys in results)]

    def _unstack(self, key, length, where):
        """Takes a value apart along its first axis."""
        operation = self._add("unstack", [key], length, where)

        def pull(gradients):
            rows = [self._tape.read(key) for key in operation.outputs]
            return [
                np.stack(
                    [
                        np.zeros_like(row) if gradient is None else gradient
                        for row, gradient in zip(rows, gradients, strict=True)
                    ]
                )
            ]

        self._tape.route(operation, lambda arrays: list(arrays[0]), pull)
        return operation.outputs

    def _stack(self, keys, where):
        """Puts values together along a new first axis."""
        operation = self._add("stack", keys, 1, where)
        self._tape.route(
            operation,
            lambda arrays: [jax.numpy.stack(arrays)],
            lambda gradients: list(np.asarray(gradients[0])),
        )
        return operation.outputs[0]


def _own_name(equation):
    """Returns the name of the function that an equation is, if it has one."""
    name = equation.primitive.name
    if not name.startswith("custom_"):
        return name
    called = equation.params.get("call_jaxpr")
    info = getattr(getattr(called, "jaxpr", called), "debug_info", None)
    return getattr(info, "func_name", None) or name
