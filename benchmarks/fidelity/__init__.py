"""Comparisons with the public Rex-Omni code, run beside it."""
