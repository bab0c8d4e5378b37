import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture
def read():
    """Returns a function that traces another one, and reads its graph."""
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow import graph_steps

    def read(function, *shapes):
        specs = [tf.TensorSpec(shape) for shape in shapes]
        graph = (
            tf.function(function, autograph=False)
            .get_concrete_function(*specs)
            .graph
        )
        steps = graph_steps.GraphSteps()
        coming = {
            tensor.name: place for place, tensor in enumerate(graph.inputs)
        }
        steps.returned = steps.read(graph, coming)
        return steps

    return read


def kinds(steps):
    return [o.kind for o in steps.operations if o.kind != "Const"]


def connected(steps, place=0):
    """Whether a gradient gets from what is returned to an input."""
    return place in steps.spread(steps.returned)


def test_operations(read):
    import tensorflow as tf

    steps = read(lambda x: tf.sin(x) * 2.0, ())
    sine, product = (o for o in steps.operations if o.kind in ("Sin", "Mul"))
    assert sine.inputs == (0,)
    assert product.inputs[0] == sine.outputs[0]
    assert sine.differentiable
    assert not sine.conditional
    assert connected(steps)


def test_functions(read):
    import tensorflow as tf

    inner = tf.function(lambda x: tf.round(x))

    def outer(x):
        with tf.name_scope("outside"):
            return inner(x) + inner(x)

    steps = read(outer, ())
    rounds = [o for o in steps.operations if o.kind == "Round"]
    assert len(rounds) == 2
    assert len({o.outputs for o in rounds}) == 2
    assert rounds[0].scope[0] == "outside"
    assert not rounds[0].differentiable
    assert not connected(steps)


def test_branches(read):
    import tensorflow as tf

    def choose(yes, no):
        return lambda x: tf.cond(x > 0.0, lambda: yes(x), lambda: no(x))

    steps = read(choose(tf.round, tf.sin), ())
    assert {"Round", "Sin", "If"} <= set(kinds(steps))
    assert [o.conditional for o in steps.operations if o.kind == "Sin"] == [1]
    assert connected(steps)
    assert not connected(read(choose(tf.round, tf.zeros_like), ()))


def test_the_choice_itself_has_no_gradient(read):
    import tensorflow as tf

    steps = read(
        lambda x, y: tf.switch_case(
            tf.cast(x, "int32"), [lambda: y, lambda: y * 2.0]
        ),
        (),
        (),
    )
    assert "Case" in kinds(steps)
    assert not connected(steps, 0)
    assert connected(steps, 1)


def test_loops(read):
    import tensorflow as tf

    def loop(body):
        return lambda x: tf.while_loop(
            lambda i, a, b: i < 3, body, (0, x, tf.constant(0.0))
        )[2]

    # It takes two turns for the one to get to the other.
    steps = read(loop(lambda i, a, b: (i + 1, a * 2.0, a)), ())
    assert "While" in kinds(steps)
    assert connected(steps)
    assert not connected(read(loop(lambda i, a, b: (i + 1, a, b)), ()))
    steps = read(loop(lambda i, a, b: (i + 1, a, tf.round(a))), ())
    assert not connected(steps)


def test_writing(read):
    import tensorflow as tf

    canvas = tf.Variable(1.0)

    def step(x):
        canvas.assign(x)
        return canvas * 1.0

    steps = read(step, ())
    (write,) = [o for o in steps.operations if o.kind == "AssignVariableOp"]
    (read_,) = [o for o in steps.operations if o.kind == "ReadVariableOp"]
    assert read_.inputs[1:] == write.outputs
    assert read_.varies
    found = steps.spread(steps.returned)
    assert write.outputs[0] in found
    assert 0 not in found


def test_own_gradients_are_asked_one_by_one(read):
    import tensorflow as tf

    @tf.custom_gradient
    def straight(x):
        return tf.round(x), lambda upstream: upstream

    @tf.custom_gradient
    def nothing(x):
        return tf.round(x), lambda upstream: None

    assert connected(read(straight, ()))
    assert not connected(read(nothing, ()))


def test_what_kinds_of_operations_have_a_gradient(read):
    import tensorflow as tf

    def step(x):
        return tf.raw_ops.Round(x=x), tf.stop_gradient(x), tf.argmax([x]), -x

    steps = read(step, ())
    expected = {
        "Round": False,
        "StopGradient": False,
        "Pack": True,
        "ArgMax": False,
        "Neg": True,
    }
    found = [o for o in steps.operations if o.kind in expected]
    assert {o.kind: o.differentiable for o in found} == expected
    assert {o.kind: steps.passes(o, 0, 0) for o in found} == expected


def test_no_gradient_passes_where_there_is_no_place(read):
    steps = read(lambda x: x * 2.0, ())
    (product,) = (o for o in steps.operations if o.kind == "Mul")
    assert steps.passes(product, 0, 0)
    assert not steps.passes(product, 2, 0)
    assert not steps.passes(product, 0, 1)


def test_a_call_that_cannot_be_looked_into_is_one_operation(read, monkeypatch):
    import tensorflow as tf

    from keras_perceptual.gradients.tracers.tensorflow import graph_steps

    def fail(op):
        raise KeyError

    monkeypatch.setattr(graph_steps, "_graphs_called", fail)
    inner = tf.function(lambda x: x * 2.0)
    steps = read(lambda x: inner(x) + 1.0, ())
    assert "Mul" not in kinds(steps)
    assert any(kind.endswith("PartitionedCall") for kind in kinds(steps))
    assert connected(steps)
