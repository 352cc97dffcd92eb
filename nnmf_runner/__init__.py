"""Experiments in multilayer nonnegative matrix factorisation."""
