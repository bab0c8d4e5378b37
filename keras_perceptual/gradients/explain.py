"""Looking for the causes of what a gradient check found."""

import contextlib
import functools
import traceback
import warnings

import keras

from keras_perceptual.gradients import causes, reasons, tracers, zeros
from keras_perceptual.gradients.attributes import replaced
from keras_perceptual.gradients.causes import Cause
from keras_perceptual.gradients.model_parts import (
    find_optimizers,
    variables_of,
    walk_parts,
)
from keras_perceptual.gradients.places import locate_frames


def unless_it_fails(answer):
    """Has a method answer that nothing was found where it fails.

    The verdict on a model must not depend on whether it can be explained.
    """

    def decorate(method):
        @functools.wraps(method)
        def careful(*args):
            try:
                return method(*args)
            except Exception as error:
                warnings.warn(
                    "The gradient check could not find out where a gradient "
                    f"is lost. Received: {error!r}",
                    stacklevel=2,
                )
                return answer()

        return careful

    return decorate


def explain_leaving(error, keys):
    """Returns the `Cause` of a step that leaves the backend, if it does.

    Args:
        error: What was raised when the step was traced.
        keys: Keys of the variables to explain.
    """
    if not tracers.load("dataflow").says_it_left(error):
        return {}
    place = locate_frames("", traceback.extract_tb(error.__traceback__))
    return dict.fromkeys(keys, Cause(reasons.LEFT, (place,)))


class StepExplainer:
    """Explains gradients by the operations of a training step.

    The step is traced, not run: no variable changes, and no data are needed.

    Args:
        model: The model being trained.
        recorder: What has seen the step and its data.
    """

    def __init__(self, model, recorder):
        self._model = model
        self._recorder = recorder
        self._backend = tracers.load("dataflow")
        self._flow = None
        self._error = None
        self._layers = {}

    @unless_it_fails(dict)
    def explain_missing(self, variables):
        """Returns the `Cause` of missing gradients by the `id` of variables."""
        flow = self._trace()
        keys = [id(variable) for variable in variables]
        if flow is not None:
            return causes.find_causes(
                flow, keys, self._layers, self._backend.public_functions()
            )
        return explain_leaving(self._error, keys)

    @unless_it_fails(dict)
    def explain_failure(self, error):
        """Returns the `Cause` by variable of an error in the gradients."""
        if not self._backend.says_gradient_failed(error):
            return {}
        flow = self._trace()
        if flow is None:
            return {}
        return causes.find_failing_gradients(
            flow,
            [id(variable) for variable in self._model.trainable_variables],
            self._layers,
            self._backend.public_functions(),
        )

    @unless_it_fails(tuple)
    def suspect_operations(self, variables):
        """Returns where NaN in the gradients of variables may come from."""
        flow = self._trace()
        if flow is None:
            return ()
        return causes.find_suspects(
            flow,
            [id(variable) for variable in variables],
            self._layers,
            self._backend.public_functions(),
        )

    @unless_it_fails(dict)
    def explain_zeros(self, variables):
        """Returns the `Cause` of zeros that stay by the `id` of variables."""
        found, layers = {}, self._find_layers()
        for flow, readings in self._recorder.read_zeros(variables):
            found |= zeros.find_causes(
                flow,
                [id(variable) for variable in variables],
                readings,
                layers,
                self._backend.public_functions(),
            )
        return found

    @unless_it_fails(dict)
    def find_penalized_only(self, variables):
        """Returns the `Cause` of variables that nothing but a penalty reaches.

        Args:
            variables: Variables with a gradient.
        """
        if all(v.regularizer is None for v in variables):
            return {}
        flow = self._trace()
        if flow is None:
            return {}
        found = causes.find_causes(
            causes.without_penalties(flow),
            [id(variable) for variable in variables],
            self._layers,
            self._backend.public_functions(),
        )
        return {
            key: Cause(reasons.PENALTY, cause.places)
            for key, cause in found.items()
            if cause.reason not in reasons.UNCERTAIN
        }

    @unless_it_fails(list)
    def find_untracked(self):
        """Returns variables that are computed with but not the model's.

        Returns:
            A list of pairs: the variable, and the `Place` where it is used.
        """
        known = [*self._model.variables, *self._model.metrics_variables]
        for optimizer in find_optimizers(self._model):
            known += [*optimizer.variables, *variables_of(optimizer)]
        strangers = self._recorder.find_untracked(known)
        if not strangers or self._trace(strangers) is None:
            return []
        places = causes.find_uses(
            self._flow,
            [id(variable) for variable in strangers],
            self._layers,
            self._backend.public_functions(),
        )
        return [(v, places[id(v)]) for v in strangers if id(v) in places]

    def _find_layers(self):
        return {
            part.name: part
            for part in walk_parts(self._model)
            if isinstance(part, keras.Layer)
        }

    def _trace(self, strangers=()):
        """Returns the dataflow of the step, or `None` if it cannot be had."""
        if strangers or (self._flow is None and self._error is None):
            self._layers = self._find_layers()
            try:
                with _idle_optimizers(self._model), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self._flow = self._recorder.trace_step(
                        [*self._model.trainable_variables, *strangers]
                    )
            except Exception as error:
                self._error = error
        return self._flow


@contextlib.contextmanager
def _idle_optimizers(model):
    """Has the optimizers of a model do nothing."""
    with contextlib.ExitStack() as stack:
        for optimizer in find_optimizers(model):
            for name in tracers.load("gradients").APPLY_METHODS:
                stack.enter_context(replaced(optimizer, name, _IDLE[name]))
        yield


def _stay(optimizer_variables, grads, trainable_variables):
    return trainable_variables, optimizer_variables


_IDLE = {
    "apply": lambda *args, **kwargs: None,
    "stateless_apply": _stay,
}
