"""Figures of the tables of a run, which simulate nothing, and of single networks, which do: one script, one figure."""
