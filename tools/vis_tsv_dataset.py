"""Run ``rexkit vis-tsv``, under the name and flags of the public Rex-Omni tool."""

from rexkit.cli import run
from rexkit.cli.vis_tsv_command import main

if __name__ == "__main__":
    raise SystemExit(run(main))
