"""Fitting a model to a video."""
