"""The maths, as pure functions of tensors that run on every backend."""
