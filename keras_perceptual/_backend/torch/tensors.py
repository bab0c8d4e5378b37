"""Looking at tensors without computing."""


def has_values(x):
    """Whether the numbers of `x` can be read now, outside any trace."""
    return getattr(x, "device", None) is None or x.device.type != "meta"
