"""The same as ``rexkit export``, under the name and flag of the public scripts.

The model goes to ``LOCAL_DIR/huggingface``.
"""

from rexkit.cli import run
from rexkit.cli.export_command import merge_main

if __name__ == "__main__":
    raise SystemExit(run(merge_main))
