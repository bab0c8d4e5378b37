"""What `keras.ops` does not offer, for TensorFlow."""
