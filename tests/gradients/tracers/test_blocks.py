import keras
import numpy as np
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.replay import Operation

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="is about JAX alone"
)


@pytest.fixture
def jax():
    import jax

    return jax


@pytest.fixture
def module():
    return tracers.load("blocks")


def calls_of(jax, module, function, *inputs):
    """Returns the calls in a function, and the values that go in."""
    jaxpr = jax.make_jaxpr(function)(*inputs).jaxpr
    arrays = dict(zip(map(str, range(len(inputs))), inputs, strict=True))
    keys = dict(zip(jaxpr.invars, arrays, strict=True))
    calls = []
    for equation in jaxpr.eqns:
        taken = []
        for atom in equation.invars:
            if hasattr(atom, "val"):
                taken.append(f"{len(arrays)}")
                arrays[taken[-1]] = np.asarray(atom.val, atom.aval.dtype)
            else:
                taken.append(keys[atom])
        for variable in equation.outvars:
            keys[variable] = f"{equation.primitive.name} {len(keys)}"
        outputs = tuple(keys[variable] for variable in equation.outvars)
        name = equation.primitive.name
        operation = Operation(name, tuple(taken), outputs)
        calls.append(module.Call(equation, operation))
    return calls, arrays


def computed(module, calls, arrays):
    blocks = module.Blocks()
    block = blocks.make(calls)
    return blocks, block, {**arrays, **blocks.run(block, arrays)}


def test_all_values_in_a_block(jax, module):
    calls, arrays = calls_of(
        jax, module, lambda x, y: jax.lax.sin(x * y) + 1, 2.0, 3.0
    )
    _, block, values = computed(module, calls, arrays)
    assert set(block.keys) == set(values)
    assert block.given == 3
    found = {key.split()[0]: float(value) for key, value in values.items()}
    assert found["mul"] == 6
    np.testing.assert_allclose(found["sin"], np.sin(6), rtol=1e-6)
    np.testing.assert_allclose(found["add"], np.sin(6) + 1, rtol=1e-6)


def test_gradients_and_what_each_operation_adds_to_them(jax, module):
    """Two operations add to the gradient of x, and both inputs of one."""
    calls, arrays = calls_of(
        jax, module, lambda x, y: x * x + 5 * jax.lax.round(y) * x, 2.0, 3.0
    )
    blocks, block, values = computed(module, calls, arrays)
    square, rounded, five, product, total = (c.operation for c in calls)
    gradients, parts = blocks.pull(
        block, values, {total.outputs[0]: np.float32(10)}
    )
    assert {key: float(g) for key, g in gradients.items()} == {
        "0": 190,
        square.outputs[0]: 10,
        rounded.outputs[0]: 100,
        five.outputs[0]: 20,
        product.outputs[0]: 10,
        total.outputs[0]: 10,
    }
    assert {where: float(part) for where, part in parts.items()} == {
        (square, 0): 20,
        (square, 1): 20,
        (five, five.inputs.index(rounded.outputs[0])): 100,
        (product, 0): 20,
        (product, 1): 150,
        (total, 0): 10,
        (total, 1): 10,
    }


def test_gradients_that_come_from_behind_a_block(jax, module):
    calls, arrays = calls_of(jax, module, lambda x: (x * 2) * 3, 1.0)
    blocks, block, values = computed(module, calls, arrays)
    double, triple = (call.operation.outputs[0] for call in calls)
    gradients, parts = blocks.pull(
        block, values, {double: np.float32(1), triple: np.float32(1)}
    )
    assert float(gradients[double]) == 4
    assert float(gradients["0"]) == 8
    assert float(parts[calls[1].operation, 0]) == 3
    # One of them may be missing.
    gradients, _ = blocks.pull(block, values, {double: np.float32(1)})
    assert {key: float(g) for key, g in gradients.items()} == {
        "0": 2,
        double: 1,
    }


def test_blocks_that_are_alike_are_compiled_once(jax, module, monkeypatch):
    compiled = []
    monkeypatch.setattr(
        module, "compile_fast", lambda f: compiled.append(f) or jax.jit(f)
    )
    blocks = module.Blocks()
    for function, number in [
        (lambda x: jax.lax.sin(x * 2), 1),
        (lambda x: jax.lax.sin(x * 3), 1),
        (lambda x: jax.lax.sin(x * x), 2),
    ]:
        calls, arrays = calls_of(jax, module, function, 1.0)
        blocks.run(blocks.make(calls), arrays)
        assert len(compiled) == number
