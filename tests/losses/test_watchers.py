import keras

import keras_perceptual as kp
from keras_perceptual.losses.watchers import (
    find_watcher,
    models_around,
    parts_of,
)


def sum_of_losses(name="pixels"):
    return kp.WeightedSumLoss({name: keras.losses.MeanSquaredError()})


class Model(keras.Model):
    def ask(self, function):
        return function()


def test_models_around():
    inner, outer = Model(), Model()
    found = outer.ask(lambda: inner.ask(lambda: list(models_around())))
    assert [id(model) for model in found] == [id(inner), id(outer)]
    assert not list(models_around())


def test_parts_of_a_compiled_model():
    loss, terms = sum_of_losses(), kp.LossTerms(sum_of_losses())
    model = Model()
    model.compile("sgd", loss, metrics=["mse", terms])
    assert parts_of(model, kp.WeightedSumLoss) == [loss]
    assert parts_of(model, kp.LossTerms) == [terms]


def test_finds_a_metric_that_has_lost_its_loss():
    loss, terms = sum_of_losses(), kp.LossTerms(sum_of_losses())
    model = Model()
    model.compile("sgd", loss, metrics=[terms])
    assert find_watcher(loss) is None
    assert model.ask(lambda: find_watcher(loss)) is terms
    assert model.ask(lambda: find_watcher(sum_of_losses("edges"))) is None


def test_leaves_metrics_of_other_losses_of_the_model():
    first, second = sum_of_losses(), sum_of_losses()
    terms = kp.LossTerms(second)
    model = Model()
    model.compile("sgd", [first, second], metrics=[terms])
    assert model.ask(lambda: find_watcher(first)) is None


def test_a_watcher_of_the_user_does_not_follow():
    """It need not have a loss, nor be able to change it."""

    class Counting(keras.metrics.Mean):
        def record(self, values, batch_size):
            self.seen = values

    inner, counting = sum_of_losses(), Counting()
    outer = kp.WeightedSumLoss({"inner": inner})
    outer.watch(counting)
    model = Model()
    model.compile("sgd", outer, metrics=[counting])
    images = keras.ops.ones((1, 4, 4, 3))
    model.ask(lambda: outer(images, images))
    assert list(counting.seen) == ["inner"]


def test_of_several_that_have_lost_theirs_the_most_similar_one():
    def sum_of(weight):
        return kp.WeightedSumLoss({"pixels": ("mse", weight)})

    lost = [kp.LossTerms(sum_of(weight)) for weight in (1.0, 2.0, 3.0)]
    for index, weight in enumerate((1.0, 2.0, 3.0)):
        loss, model = sum_of(weight), Model()
        model.compile("sgd", loss, metrics=lost)
        assert model.ask(lambda loss=loss: find_watcher(loss)) is lost[index]
