"""Reading the computations that JAX has traced."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.extend

# They run what they hold not just once, from the first line to the last.
_CONTROL_FLOW = ("scan", "while", "cond", "shard_map", "xla_pmap")


def dependent_outputs(jaxpr: Any, dependent_inputs: Sequence[bool]) -> Any:
    """Tells for each output of `jaxpr` whether it depends on those inputs."""
    dependent = {
        variable
        for variable, flag in zip(jaxpr.invars, dependent_inputs, strict=True)
        if flag
    }

    def flags(atoms: Any) -> Any:
        return [not is_literal(atom) and atom in dependent for atom in atoms]

    for equation in jaxpr.eqns:
        inputs = flags(equation.invars)
        if any(inputs):
            outputs = _equation_outputs(equation, inputs)
            dependent.update(
                variable
                for variable, flag in zip(
                    equation.outvars, outputs, strict=True
                )
                if flag
            )
    return flags(jaxpr.outvars)


def _equation_outputs(equation: Any, inputs: Any) -> Any:
    """Looks into what an equation holds, and assumes the rest."""
    inner, _ = called_jaxpr(equation)
    if inner is not None:
        return dependent_outputs(inner, inputs)
    look = _LOOKS.get(equation.primitive.name)
    return (
        look(equation.params, inputs)
        if look
        else ([True] * len(equation.outvars))
    )


def _outputs_of_cond(params: Mapping[str, Any], inputs: Any) -> Any:
    index, *inputs = inputs
    branches = [
        dependent_outputs(branch.jaxpr, inputs) for branch in params["branches"]
    ]
    return [index or any(flags) for flags in zip(*branches, strict=True)]


def _outputs_of_scan(params: Mapping[str, Any], inputs: Any) -> Any:
    start, end = params["num_consts"], params["num_carry"]
    end += start
    constants, carry, rest = inputs[:start], inputs[start:end], inputs[end:]

    def turn(carry: Any) -> Any:
        return dependent_outputs(
            params["jaxpr"].jaxpr, [*constants, *carry, *rest]
        )

    carry = _after_all_turns(lambda carry: turn(carry)[: len(carry)], carry)
    return [*carry, *turn(carry)[len(carry) :]]


def _outputs_of_while(params: Mapping[str, Any], inputs: Any) -> Any:
    start = params["cond_nconsts"]
    end = start + params["body_nconsts"]
    carry = _after_all_turns(
        lambda carry: dependent_outputs(
            params["body_jaxpr"].jaxpr, [*inputs[start:end], *carry]
        ),
        inputs[end:],
    )
    if any(
        dependent_outputs(params["cond_jaxpr"].jaxpr, [*inputs[:start], *carry])
    ):
        return [True] * len(carry)
    return carry


def _after_all_turns(turn: Any, carry: Any) -> Any:
    """Tells what depends on the inputs of a loop after any number of turns."""
    while True:
        following = [a or b for a, b in zip(carry, turn(carry), strict=True)]
        if following == carry:
            return carry
        carry = following


_LOOKS = {
    "cond": _outputs_of_cond,
    "scan": _outputs_of_scan,
    "while": _outputs_of_while,
}


def called_jaxpr(equation: Any) -> Any:
    """Returns what an equation calls with its inputs, and the constants of it.

    Where it does something else, that is `None` and no constants.
    """
    called = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
    inner = getattr(called, "jaxpr", called)
    if (
        equation.primitive.name not in _CONTROL_FLOW
        and hasattr(inner, "eqns")
        and len(inner.invars) == len(equation.invars)
        and len(inner.outvars) == len(equation.outvars)
    ):
        return inner, getattr(called, "consts", ())
    return None, ()


def holds_jaxpr(equation: Any) -> bool:
    """Whether what an equation does depends on computations it holds."""
    return any(
        hasattr(part, "eqns")
        for value in equation.params.values()
        for part in (value if isinstance(value, tuple) else (value,))
    )


def count_calls(equation: Any) -> int:
    """Returns how many operations an equation is when loops are taken apart."""
    times = equation.params.get("length", 1)
    parts: list[Any] = [
        getattr(part, "jaxpr", part)
        for value in equation.params.values()
        for part in (value if isinstance(value, tuple) else (value,))
    ]
    held = [
        sum(map(count_calls, part.eqns))
        for part in parts
        if hasattr(part, "eqns")
    ]
    return times * max(held, default=1)


def is_literal(atom: Any) -> bool:
    """Whether an input or an output is a number, and not a variable."""
    return isinstance(atom, jax.extend.core.Literal)


def shapes_of(atoms: Any) -> Any:
    """Returns the shapes and data types of inputs or outputs."""
    return [
        jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms
    ]


def function_of(equation: Any, outputs: Any) -> Any:
    """Returns the function by which an equation computes some outputs.

    Args:
        equation: The equation.
        outputs: Places of the outputs.

    Returns:
        A function of the inputs that returns a list.
    """
    # Its inputs need not differ from each other, those of a function do.
    plain = jax.make_jaxpr(lambda *inputs: inputs[:1])(
        *shapes_of(equation.invars)
    ).jaxpr
    jaxpr = plain.replace(
        eqns=[equation.replace(invars=list(plain.invars))],
        outvars=[equation.outvars[output] for output in outputs],
        effects=equation.effects,
    )
    return jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(jaxpr, ()))
