"""Reading the computations that JAX has traced."""

import jax
import jax.extend

# They run what they hold not just once, from the first line to the last.
_CONTROL_FLOW = ("scan", "while", "cond")


def dependent_outputs(jaxpr, dependent_inputs):
    """Tells for each output of `jaxpr` whether it depends on those inputs."""
    dependent = {
        variable
        for variable, flag in zip(jaxpr.invars, dependent_inputs, strict=True)
        if flag
    }

    def flags(atoms):
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


def _equation_outputs(equation, inputs):
    """Looks into functions called with all inputs, and assumes the rest."""
    inner, _ = called_jaxpr(equation)
    if inner is not None:
        return dependent_outputs(inner, inputs)
    return [True] * len(equation.outvars)


def called_jaxpr(equation):
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


def holds_jaxpr(equation):
    """Whether what an equation does depends on computations it holds."""
    return any(
        hasattr(part, "eqns")
        for value in equation.params.values()
        for part in (value if isinstance(value, tuple) else (value,))
    )


def is_literal(atom):
    """Whether an input or an output is a number, and not a variable."""
    return isinstance(atom, jax.extend.core.Literal)


def shapes_of(atoms):
    """Returns the shapes and data types of inputs or outputs."""
    return [
        jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in atoms
    ]


def as_function(equation, output):
    """Returns the function by which an equation computes an output."""
    # Its inputs need not differ from each other, those of a function do.
    plain = jax.make_jaxpr(lambda *inputs: inputs[:1])(
        *shapes_of(equation.invars)
    ).jaxpr
    jaxpr = plain.replace(
        eqns=[equation.replace(invars=list(plain.invars))],
        outvars=[equation.outvars[output]],
        effects=equation.effects,
    )
    run = jax.extend.core.jaxpr_as_fun(jax.extend.core.ClosedJaxpr(jaxpr, ()))
    return lambda *inputs: run(*inputs)[0]
