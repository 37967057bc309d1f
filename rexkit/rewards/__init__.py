"""Rewards: a prediction and its target to a score in [0, 1]."""
