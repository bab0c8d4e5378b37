"""Taking a traced computation apart, into a flat list of operations.

Functions, the branches that are taken and the turns of loops are taken apart.
What has a gradient of its own is one operation, and so is a `while` loop:
no gradient of JAX comes back through it.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from keras_perceptual.gradients.tracers.jax import (
    derivatives,
    jaxprs,
    marks,
    rules,
)
from keras_perceptual.gradients.tracers.jax.record import Record, Where

# A loop that would make the list longer than this stays one operation.
_LONGEST = 50_000
# They tell the user something, which the step has done already.
_SILENT = ("debug_callback", "debug_print")


class Flattening:
    """Reads traced computations into a record.

    Args:
        record: The `Record`.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        self._tape = record.tape
        self._regions: dict[Any, Any] = {}
        self._special = {
            marks.ENTER: self._enter,
            marks.LEAVE: self._leave,
            marks.PULL: self._pull,
            "cond": self._read_cond,
            "scan": self._read_scan,
        }

    def read(
        self, jaxpr: Any, constants: Any, inputs: Any, where: Where
    ) -> Any:
        """Reads a computation and returns the keys of its outputs.

        Args:
            jaxpr: The computation.
            constants: The constants in it.
            inputs: Keys of the values that go in.
            where: Where it stands.
        """
        values = dict(zip(jaxpr.invars, inputs, strict=True))
        constants = dict(zip(jaxpr.constvars, constants, strict=True))

        def look_up(atom: Any, where: Where) -> Any:
            if jaxprs.is_literal(atom):
                return self._record.literal(atom)
            if atom in constants:
                return self._record.constant(constants[atom], where)
            return values[atom]

        for equation in jaxpr.eqns:
            here = where.at(equation)
            taken = [look_up(atom, here) for atom in equation.invars]
            given = self._read_equation(equation, taken, here)
            values.update(zip(equation.outvars, given, strict=True))
        return [look_up(atom, where) for atom in jaxpr.outvars]

    def _read_equation(self, equation: Any, inputs: Any, where: Where) -> Any:
        """Reads an equation and returns the keys of its outputs."""
        name = equation.primitive.name
        if name in _SILENT:
            return ()
        if name in self._special and self._is_short(equation):
            return self._special[name](equation, inputs, where)
        inner, constants = jaxprs.called_jaxpr(equation)
        if inner is not None and not name.startswith("custom_"):
            where = dataclasses.replace(where, called=True)
            return self.read(inner, constants, inputs, where)
        known = self._tape.rules
        operation = self._record.add(
            _own_name(equation),
            inputs,
            len(equation.outvars),
            where,
            differentiable=known.is_differentiable(equation),
            varies=rules.varies(equation),
            own_gradient=name.startswith("custom_"),
        )
        self._tape.call(operation, equation)
        return operation.outputs

    def _enter(self, equation: Any, inputs: Any, where: Where) -> Any:
        region = derivatives.enter(self._record, inputs)
        self._regions[equation.params["region"]] = region
        return region.inputs

    def _leave(self, equation: Any, inputs: Any, where: Where) -> Any:
        return derivatives.leave(self._record, inputs, where)

    def _pull(self, equation: Any, inputs: Any, where: Where) -> Any:
        region = self._regions[equation.params["region"]]
        cotangents = inputs[: equation.params["targets"]]
        return derivatives.pull(
            self._record,
            region,
            map(self._tape.read, cotangents),
            where,
            [atom.aval.shape for atom in equation.outvars],
        )

    def _read_cond(self, equation: Any, inputs: Any, where: Where) -> Any:
        """Reads the branch that is taken."""
        branches = equation.params["branches"]
        index = int(self._tape.read(inputs[0]))
        index = min(max(index, 0), len(branches) - 1)
        others = [b for b in branches if b is not branches[index]]
        found = self._find_open(equation, others, inputs)
        where = dataclasses.replace(
            where,
            called=True,
            conditional=True,
            alternatives=found.union(where.alternatives or ()),
        )
        branch = branches[index]
        return self.read(branch.jaxpr, branch.consts, inputs[1:], where)

    def _find_open(self, equation: Any, branches: Any, inputs: Any) -> Any:
        """Returns the inputs that some branches would hand a gradient to."""
        count = len(equation.params["branches"])
        outputs = rules.inexact(equation.outvars)
        found: set[Any] = set()
        for branch in branches:
            params = {**equation.params, "branches": (branch,) * count}
            other = equation.replace(params=params)
            known = self._tape.rules
            pull = known.pull(other, known.signature(other), outputs)
            found.update(inputs[place] for place in pull.places)
        return frozenset(found)

    def _is_short(self, equation: Any) -> Any:
        return equation.primitive.name != "scan" or (
            self._record.length + jaxprs.count_calls(equation) < _LONGEST
            and equation.params["length"] > 0
        )

    def _read_scan(self, equation: Any, inputs: Any, where: Where) -> Any:
        """Reads each turn of a loop."""
        params = equation.params
        body, length = params["jaxpr"], params["length"]
        start = params["num_consts"]
        end = start + params["num_carry"]
        constants, carry = inputs[:start], inputs[start:end]
        pieces = [self._unstack(key, length, where) for key in inputs[end:]]
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

    def _unstack(self, key: Any, length: int, where: Where) -> Any:
        """Takes a value apart along its first axis."""
        operation = self._record.add("unstack", [key], length, where)

        def pull(gradients: Any) -> Any:
            rows = map(self._tape.read, operation.outputs)
            return [
                np.stack(
                    [
                        np.zeros_like(row) if gradient is None else gradient
                        for row, gradient in zip(rows, gradients, strict=True)
                    ]
                )
            ]

        self._tape.route(operation, lambda arrays: _rows(arrays[0]), pull)
        return operation.outputs

    def _stack(self, keys: Any, where: Where) -> Any:
        """Puts values together along a new first axis."""
        operation = self._record.add("stack", keys, 1, where)
        self._tape.route(
            operation,
            lambda arrays: [jax.numpy.stack(arrays)],
            lambda gradients: list(np.asarray(gradients[0])),
        )
        return operation.outputs[0]


def _own_name(equation: Any) -> str:
    """Returns the name of the function that an equation is, if it has one."""
    name = equation.primitive.name
    if not name.startswith("custom_"):
        return name
    called = equation.params.get("call_jaxpr")
    info = getattr(getattr(called, "jaxpr", called), "debug_info", None)
    return getattr(info, "func_name", None) or name


def _rows(array: Any) -> Any:
    """Returns the parts of an array along its first axis."""
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.extended):
        return list(array)
    return list(np.asarray(array))
