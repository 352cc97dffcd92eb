"""Figures: one file for each, all in one style."""
