"""Datasets that are computed from a seed."""
