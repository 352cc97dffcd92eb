"""The options of a run: their schema, how Hydra composes them, and messages for what does not fit."""
