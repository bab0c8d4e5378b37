import traceback

import pytest

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def graph_frames():
    from keras_perceptual.gradients.tracers.tensorflow import graph_frames

    return graph_frames


def frame(filename, line=1, name="f"):
    return traceback.FrameSummary(filename, line, name, lookup_line=False)


def test_an_operation_was_created_in_its_line(graph_frames):
    import tensorflow as tf

    def function(x):
        return tf.abs(x)

    graph = tf.function(function).get_concrete_function(tf.TensorSpec(())).graph
    (op,) = [op for op in graph.get_operations() if op.type == "Abs"]
    own = [
        f
        for f in graph_frames.GraphFrames(op)
        if f.filename == __file__ and f.name == "function"
    ]
    assert [f.line for f in own] == ["return tf.abs(x)"]


def test_what_was_vectorized_has_the_lines_of_the_loop(graph_frames):
    import tensorflow as tf

    def each(x):
        return tf.round(x)

    graph = (
        tf.function(lambda x: tf.vectorized_map(each, x))
        .get_concrete_function(tf.TensorSpec((3,)))
        .graph
    )
    ops = [op for op in graph.get_operations() if op.type == "Round"]
    assert len(ops) == 2
    for op in ops:
        assert any(f.name == "each" for f in graph_frames.GraphFrames(op))


def test_frames_of_a_call_come_first_and_once(graph_frames):
    call, inner = frame("a.py", 1), frame("b.py", 2)
    frames = graph_frames.CalledFrames([call], [call, inner])
    assert list(frames) == [call, inner]
    assert len(frames) == 2
    assert frames[-1] is inner


def test_what_is_outside_the_step(graph_frames):
    ours = frame(graph_frames.OURS + "tracers/tensorflow/replay.py")
    user = frame("step.py")
    assert graph_frames.within_step([user, ours, user]) == [user]
    assert graph_frames.within_step([user]) == [user]


def test_frames_of_the_moment(graph_frames):
    frames = graph_frames.current_frames()
    assert frames[-1].name == "test_frames_of_the_moment"
