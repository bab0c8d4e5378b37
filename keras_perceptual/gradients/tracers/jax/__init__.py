"""What the gradient check asks of JAX."""
