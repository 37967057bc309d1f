"""The same as ``rexkit convert``, by its public name."""

from rexkit.cli import run
from rexkit.cli.convert_command import main

if __name__ == "__main__":
    raise SystemExit(run(main))
