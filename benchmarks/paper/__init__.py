"""What reproduces the paper: its tables on Bunny, its tasks, and what its claims about the models come to here."""
