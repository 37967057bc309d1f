"""Benchmarks of rexkit: each module is a command, such as ``python -m benchmarks.read``."""
