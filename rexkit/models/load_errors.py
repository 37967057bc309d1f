"""Files of a checkpoint that cannot be loaded, as an error that names the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rexkit.errors import UserError, shortened


@contextmanager
def loading(path: str | Path, what: str) -> Iterator[None]:
    """Turn whatever a loader of transformers or peft raises into a user error.

    Args:
        path: the checkpoint, a folder or a hub id.
        what: is loaded, such as "tokenizer".

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # tokenizers and safetensors have exceptions of their own
        reason = shortened(" ".join(str(error).split()), 300)
        raise UserError(
            f"{path}: its {what} cannot be loaded ({type(error).__name__}: {reason}); a file of it "
            "may be missing or cut off: copy the checkpoint again, or use another"
        ) from error
