"""Losses between two batches of images."""
