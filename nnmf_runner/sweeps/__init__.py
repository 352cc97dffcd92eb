"""Sweeps: many runs, where they are done, and what came of them."""
