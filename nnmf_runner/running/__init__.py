"""Who runs what where, and what came of it: one run, trials, interruption, sweeps."""
