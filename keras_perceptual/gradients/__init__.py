"""What is known about the gradients of a training step."""
