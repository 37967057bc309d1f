"""Run ``rexkit convert``, under the name of the public Rex-Omni tool."""

from rexkit.cli import run
from rexkit.cli.convert_command import main

if __name__ == "__main__":
    raise SystemExit(run(main))
