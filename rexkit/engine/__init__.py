"""The jobs: train, test, predict; each a short script of the rooms above.

Nothing is imported here: what reads and writes results needs no torch, and starts at once.
"""
