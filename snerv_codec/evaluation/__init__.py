"""How close two videos are: every figure of quality and of rate, defined once."""
