"""What rexkit costs, measured: each module runs by itself, ``python -m benchmarks.read``."""
