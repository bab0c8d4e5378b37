"""What the gradient check asks of TensorFlow."""
