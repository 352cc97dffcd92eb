"""Datasets that are counted from texts."""
