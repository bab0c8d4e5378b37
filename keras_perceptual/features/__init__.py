"""Frozen networks and the features they see in an image."""
