"""A file of a size or of a quality: what was asked for, how training is steered to it, and how packing meets it."""
