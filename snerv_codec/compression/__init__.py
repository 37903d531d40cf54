"""From fitted weights to the tensors of the file, and back."""
