"""The same as ``rexkit test``, as mmengine's users are used to."""

from rexkit.cli import run
from rexkit.cli.test_command import main

if __name__ == "__main__":
    raise SystemExit(run(main))
