"""Measurements of the codec. Each writes records to results/; tables and plots are made from those alone."""
