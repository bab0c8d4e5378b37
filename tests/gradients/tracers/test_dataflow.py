import keras
import pytest

from keras_perceptual.gradients import tracers
from keras_perceptual.gradients.dataflow import follow, needed_for, users_of

dataflow = tracers.load("dataflow")


def test_public_functions_are_in_modules():
    for prefix, module in dataflow.public_functions():
        assert prefix.split(".")[-1] in (module.__name__.split(".")[-1], "tf")


def test_other_errors_are_not_taken_for_known_ones():
    assert not dataflow.says_it_left(ValueError("shapes do not match"))
    assert not dataflow.says_gradient_failed(ValueError("gradient"))


@pytest.mark.tensorflow_only
class TestTensorFlow:
    def trace(self, compute, *variables):
        import tensorflow as tf

        def step(data):
            with tf.GradientTape() as tape:
                loss = compute(data)
            return tape.gradient(loss, [v.value for v in variables])

        data = dataflow.describe_data((tf.ones((2, 3)), None))
        return dataflow.trace_step(step, data, variables)

    def test_variables_targets_and_ways(self):
        import tensorflow as tf

        weight = keras.Variable(2.0)
        flow = self.trace(
            lambda data: (
                tf.reduce_sum(data[0] * weight.value) + tf.round(weight.value)
            ),
            weight,
        )
        (target,) = flow.targets_for(id(weight))
        needed = needed_for(flow, {target})
        assert {"ReadVariableOp", "Mul", "Round"} <= {o.kind for o in needed}
        connected = follow(flow, needed, flow.values_of(id(weight)))
        ends = ways_out(needed, connected)
        assert target in connected
        assert [operation.kind for operation in ends] == ["Round"]
        assert ends[0].frames[-1].name != "trace"
        assert any(f.name == "<lambda>" for f in ends[0].frames)

    def test_what_is_written_goes_into_what_is_read(self):
        weight, canvas = keras.Variable(2.0), keras.Variable(0.0)

        def compute(data):
            canvas.assign(weight.value * 3)
            return canvas.value * 2

        flow = self.trace(compute, weight)
        needed = needed_for(flow, flow.targets_for(id(weight)))
        connected = follow(flow, needed, flow.values_of(id(weight)))
        ends = ways_out(needed, connected)
        assert [operation.kind for operation in ends] == ["AssignVariableOp"]
        assert float(canvas.value) == 0.0  # Traced, not run.

    def test_inner_gradients_are_computed(self):
        import tensorflow as tf

        weight = keras.Variable(2.0)

        def compute(data):
            with tf.GradientTape() as tape:
                tape.watch(data[0])
                inner = data[0] * weight.value
            return tf.reduce_sum(tape.gradient(inner, data[0]))

        flow = self.trace(compute, weight)
        targets = flow.targets_for(id(weight))
        needed = needed_for(flow, targets)
        connected = follow(flow, needed, flow.values_of(id(weight)))
        assert connected & targets


def ways_out(operations, connected):
    """Returns the operations at which the ways of some values end."""
    return [
        operation
        for operation in users_of(operations, connected)
        if connected.isdisjoint(operation.outputs)
    ]
