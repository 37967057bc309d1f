"""Turn JSON annotations and images into TSV files, with the options of the public Rex-Omni tool."""

from rexkit.cli import run
from rexkit.cli.json_to_tsv_command import main

if __name__ == "__main__":
    raise SystemExit(run(main))
