"""The mathematics: numpy and scipy only, nothing of Hydra, files or metrics."""
