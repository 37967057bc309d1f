"""``rexkit serve CHECKPOINT``: serve a model over HTTP, as OpenAI's chat completions."""

from __future__ import annotations

import argparse

EPILOG = """
Runs vLLM's server with rexkit's decoding, so that OpenAIBackend(checkpoint=…) gets constrained
completions and scores like a model in its own process. Other options are passed on to
"vllm serve", such as --dtype float32, --tensor-parallel-size 2, --quantization awq or
--api-key KEY.
"""


def main(argv: list[str] | None = None) -> int:
    """Parse the arguments and serve until the process is stopped."""
    parser = argparse.ArgumentParser(prog="rexkit serve", description=__doc__, epilog=EPILOG)
    parser.add_argument("model", help="folder or hub id")
    parser.add_argument("--host", default="127.0.0.1", help="address (this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port (8000)")
    parser.add_argument(
        "--take-weights", action="store_true", help="from trainers on this machine (GRPO)"
    )
    args, options = parser.parse_known_args(argv)

    from rexkit.cli.options import start_logging
    from rexkit.inference.server import serve

    start_logging()
    serve(args.model, args.host, args.port, options, args.take_weights)
    return 0
