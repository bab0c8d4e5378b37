"""What the gradient check asks of PyTorch."""
