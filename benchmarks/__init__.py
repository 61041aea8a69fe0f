"""Measurements of speed: the engine, its rivals, and what bounds them."""
