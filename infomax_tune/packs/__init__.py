"""Packs of trials: which seeds train together, and their training into the store. No Ray."""
