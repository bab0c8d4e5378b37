"""Calling Python from the middle of a computation."""


def call_when(condition, function, values, state=None):
    """Calls `function` with an array of `values` where `condition` holds.

    Args:
        condition: Boolean scalar tensor.
        function: Function of one NumPy array; what it raises stops the step.
        values: Tensor of a few numbers.
        state: Unused here: PyTorch computes step by step.
    """
    if not condition.is_meta and bool(condition):
        function(values.detach().cpu().numpy())
