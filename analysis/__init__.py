"""Figures of the tables of a run: one script, one figure."""
