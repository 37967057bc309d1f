"""The protocol between backends and the extensions inside a vLLM engine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from rexkit.backends.backend import BinStatistics
from rexkit.errors import ConfigError
from rexkit.grammar.forms import AnswerForm, to_dict

if TYPE_CHECKING:
    import torch

FORM, LIMIT = "rexkit_form", "rexkit_max_tokens"
PRESENCE = "rexkit_marginal_presence"
RECORD = "rexkit_record"

DECODING = "rexkit.backends.vllm_engine:Decoding"
WORKER = "rexkit.backends.vllm_engine.Worker"
MIDDLEWARE = "rexkit.backends.vllm_server.extra_endpoints"
RECORDS_PATH = "rexkit/records"
"""The path, below ``/v1``, at which a server started by rexkit returns bin statistics."""
WEIGHTS_PATH = "rexkit/weights"
"""The path, below ``/v1``, to which the name of a file with new weights is posted."""
TAKES_WEIGHTS = "REXKIT_TAKES_WEIGHTS"
"""The environment variable that is 1 in the processes of a server that takes new weights."""


def check_folder(model: str) -> None:
    """Raise a `ConfigError` for the embedded model, which engines cannot load by its name."""
    if model == "tiny":
        raise ConfigError(
            'vLLM loads models from folders: save the model by TinyVLM().save("tiny-model"), then '
            'use "tiny-model"'
        )


@contextmanager
def passed_in_memory(weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[str]:
    """Write weights to a temporary safetensors file for another process of this machine.

    The file is in shared memory where the system has it, else in a temporary folder.
    """
    from safetensors.torch import save_file

    shared = Path("/dev/shm")
    with TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        file = str(Path(folder) / "weights.safetensors")
        save_file({name: weight.cpu().contiguous() for name, weight in weights}, file)
        yield file


def extra_args(
    max_tokens: int,
    form: AnswerForm | None = None,
    record: str | None = None,
    marginal: bool = False,
) -> dict[str, Any]:
    """Return the extra arguments of a request: plain strings and numbers, as HTTP allows.

    Args:
        max_tokens: the maximum length of the completion.
        form: the answer format of the completion; None does not constrain it.
        record: the name under which bin statistics are kept; None keeps none.
        marginal: whether ``None`` is compared with all coordinates (see `MarginalPresence`).
    """
    args: dict[str, Any] = {}
    if form is not None:
        args |= {FORM: json.dumps(to_dict(form)), LIMIT: max_tokens}
    if record is not None:
        args[RECORD] = record
    if marginal:
        args[PRESENCE] = 1
    return args


def statistics_of(
    replies: Sequence[Mapping[str, Sequence[Sequence[float]]]], record: str, length: int
) -> BinStatistics | None:
    """Return the bin statistics of a completion, or None if no worker has them.

    Args:
        replies: the result of `rexkit.backends.vllm_engine.Worker.take_records` of each worker.
        record: name of the record.
        length: number of tokens of the completion.
    """
    for found in replies:
        if len(found.get(record, ())) >= length:
            return BinStatistics(*np.array(found[record][:length], np.float32).T)
    return None
