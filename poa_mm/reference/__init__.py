"""Figures of the paper, as data."""
