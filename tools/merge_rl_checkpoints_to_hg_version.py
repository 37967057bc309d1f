"""The same as ``rexkit export``, under the name and flags of the public scripts.

The model goes to ``LOCAL_DIR/huggingface``, and with ``--hf_upload_path`` to the hub.
"""

from rexkit.cli import run
from rexkit.cli.export_command import merge_main

if __name__ == "__main__":
    raise SystemExit(run(merge_main))
