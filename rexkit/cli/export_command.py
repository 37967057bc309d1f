"""``rexkit export CHECKPOINT FOLDER``: a training checkpoint as a plain folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from rexkit.cli.options import start_logging
from rexkit.cli.terminal import Terminal

EPILOG = """
CHECKPOINT holds whole weights, DeepSpeed ZeRO shards, FSDP shards or a LoRA adapter, or is a work
directory, of which final/ is taken, or the last checkpoint if training did not end. It may also be
an actor folder of verl, with model_world_size_N_rank_R.pt, or the folder of its steps. DeepSpeed's
shards are pickles that can run code: export only your own. Those of verl are read without.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and export."""
    parser = argparse.ArgumentParser(prog="rexkit export", description=__doc__, epilog=EPILOG)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="where the model goes")
    parser.add_argument("--base", help="the model a LoRA adapter was trained on")
    args = parser.parse_args(argv)
    return _export(args.checkpoint, args.folder, args.base)


def merge_main(argv: list[str] | None = None) -> int:
    """Run the same under the flags of the public reinforcement-learning scripts."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=EPILOG)
    parser.add_argument("--local_dir", type=Path, required=True, help="the checkpoint")
    parser.add_argument("--base", help="the model a LoRA adapter was trained on")
    parser.add_argument(
        "--hf_upload_path",
        metavar="OWNER/NAME",
        help="upload the model to this repository of the Hugging Face Hub, which is created if "
        "needed; the account is that of `hf auth login`",
    )
    args = parser.parse_args(argv)
    folder = args.local_dir / "huggingface"
    code = _export(args.local_dir, folder, args.base)
    if args.hf_upload_path:
        _upload(folder, args.hf_upload_path)
    return code


def _export(checkpoint: Path, folder: Path, base: str | None) -> int:
    from rexkit.models.export import export

    start_logging()
    kind = export(checkpoint, folder, base)
    Terminal().print(f"{checkpoint} ({kind}) is now a plain model in {folder}", soft_wrap=True)
    return 0


def _upload(folder: Path, repository: str) -> None:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

    from rexkit.errors import UserError

    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repo_id=repository, repo_type="model", exist_ok=True)
        api.upload_folder(repo_id=repository, repo_type="model", folder_path=folder)
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OSError) as error:
        raise UserError(
            f"--hf_upload_path {repository}: {error}; the model is in {folder}"
        ) from error
    Terminal().print(f"{folder} is uploaded to {repository}", soft_wrap=True)
