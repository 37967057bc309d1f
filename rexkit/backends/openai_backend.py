"""Generation by a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
import time
import uuid
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from rexkit.backends.backend import Backend, Generation, Request
from rexkit.backends.http_client import REFUSED, Server, ServerError
from rexkit.backends.presence import Presence
from rexkit.backends.sampling import SamplingParams, check_stop
from rexkit.backends.vllm_request import (
    RECORDS_PATH,
    WEIGHTS_PATH,
    extra_args,
    passed_in_memory,
    statistics_of,
)
from rexkit.errors import ConfigError
from rexkit.grammar.tokens import END_OF_TURN
from rexkit.registry import BACKENDS

if TYPE_CHECKING:
    import httpx2
    import torch
    from PIL.Image import Image

logger = logging.getLogger(__name__)

T = TypeVar("T")
ImageFormat = Literal["png", "jpeg"]

MAX_TOKENS = 2**22
"""The largest number of tokens that is taken from a response."""

KEEP_SPECIAL_TOKENS = {
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "return_token_ids": True,
}
"""Fields that make vLLM and SGLang keep the coordinate tokens in the text."""


@BACKENDS.register_module()
class OpenAIBackend(Backend):
    """Generates by an OpenAI-compatible server, such as vLLM or SGLang.

    Many requests run concurrently; temporary failures are retried (see `Server`).

    The server must keep special tokens in completions, or no box can be parsed. vLLM and SGLang
    keep them if the request has the fields that ``extra_body`` has by default. ``transformers
    serve`` always removes them (5.19), so only models whose markup is plain text can be used there.

    Images are sent in their original size, and the server resizes them by the model's own
    settings; with ``checkpoint`` they are resized before, to the same size by the same code as in
    training.

    A server started by ``rexkit serve`` also constrains completions, decides presence, returns
    bin statistics, and takes new weights if started with ``--take-weights``.

    Args:
        model: the name of the model on the server.
        base_url: address of the server, including ``/v1``.
        checkpoint: a folder or hub id with the model's tokenizer and image settings; scores need
            it.
        api_key_env: the environment variable that holds the API key; read at each call and sent
            only to the server. If it is unset, no key is sent.
        concurrency: the maximum number of concurrent requests.
        timeout, retries, backoff: as in `Server`.
        presence: as in `TransformersBackend`.
        seed: of sampling; each request of a call has its own seed, derived from this.
        constrain: generate nothing outside a request's ``constraint``.
        scores: with ``checkpoint``, request what `rexkit.backends.scores` computes scores from.
            For a server that rexkit did not start, scores are computed from the log-probabilities
            of the tokens alone.
        min_pixels, max_pixels: with ``checkpoint``, the budget of a resized image, as in
            `PretrainedVLM`. Without, images are sent as they are.
        system_prompt: the system message; None takes that of the checkpoint, or the one of the
            public Rex-Omni code without one, and an empty string leaves it to the server's chat
            template.
        image_format: "png" keeps every pixel, "jpeg" (quality 95) sends about a tenth.
        extra_body: additional fields of each request; ``{}`` for servers that refuse those of
            vLLM.
        sampling: the fields of `SamplingParams`, such as ``max_new_tokens``.

    Raises:
        ConfigError: an argument is out of range, or ``stop`` is given with ``constrain``.
    """

    model_source = "remote"

    def __init__(
        self,
        model: str,
        base_url: str = "http://127.0.0.1:8000/v1",
        checkpoint: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout: float = 600.0,
        retries: int = 5,
        backoff: float = 0.5,
        presence: Presence = "token",
        seed: int = 0,
        constrain: bool = False,
        scores: bool = True,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        system_prompt: str | None = None,
        image_format: ImageFormat = "png",
        extra_body: Mapping[str, Any] = KEEP_SPECIAL_TOKENS,
        **sampling: Any,
    ):
        self.sampling = SamplingParams(**sampling)
        check_stop(self.sampling, constrain)
        if concurrency < 1:
            raise ConfigError(f"concurrency must be at least 1, got {concurrency}")
        if image_format not in ("png", "jpeg"):
            raise ConfigError(f"image_format: {image_format!r}; known are png, jpeg")
        self.server = Server(base_url, api_key_env, concurrency, timeout, retries, backoff)
        self.batch_size = concurrency
        self.image_format = image_format
        self.presence = presence
        self.constrain = constrain
        self.scores = scores and checkpoint is not None
        self.seed = seed
        self.image_processor: Any = None
        self.tokenizer: Any = None
        if checkpoint is None:
            from rexkit.models.checkpoint_settings import PUBLIC_SYSTEM_PROMPT

            self.system_prompt = PUBLIC_SYSTEM_PROMPT if system_prompt is None else system_prompt
        else:
            from rexkit.grammar.vocabulary import Vocabulary
            from rexkit.models.processors import family_of, load_processor

            processor = load_processor(
                checkpoint, family_of(checkpoint), min_pixels, max_pixels, system_prompt
            )
            self.system_prompt = processor.system_prompt
            self.image_processor = processor.image_processor
            self.tokenizer = processor.tokenizer
            self.vocabulary = Vocabulary.from_tokenizer(self.tokenizer)
        self.body: dict[str, Any] = {
            "model": model,
            **self.sampling.for_openai(extended=bool(extra_body)),
            **({"logprobs": True, "top_logprobs": 0} if self.scores else {}),
            **extra_body,
        }

    @classmethod
    def extra_arguments(cls) -> set[str]:
        """Return the names of the sampling parameters."""
        return SamplingParams.names()

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Return one generation for each request, in order.

        A request that the server refuses (status 400, 413 or 422) gives a generation with its
        ``error``.

        Raises:
            ServerError: several requests were all refused, or one failed after every retry; or
                ``constrain`` or ``presence="marginal"`` is set and rexkit did not start the server.
        """
        started = time.perf_counter()
        generations = _run(self._send_all(requests))
        for generation in generations:
            generation.seconds = (time.perf_counter() - started) / len(requests)
        return generations

    def update_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Replace the weights of the server's model.

        The server must run on this machine, started by ``rexkit serve --take-weights``.

        Raises:
            ServerError: the server does not take weights.
            ConfigError: training runs in several processes.
        """
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ConfigError(
                "a server takes weights from one process only; train in one process, or use "
                "VLLMBackend, which has an engine in each process"
            )
        with passed_in_memory(weights) as file:
            _run(self._post_weights(file))

    async def _post_weights(self, file: str) -> None:
        async with self.server.client() as client:
            try:
                await self.server.post(client, WEIGHTS_PATH, {"file": file})
            except ServerError as error:
                reason = self.server.hide_key(str(error))
                raise ServerError(
                    f"{self.server.name} did not take the weights: {reason}; start it on this "
                    "machine by `rexkit serve --take-weights`",
                    error.status,
                ) from None

    async def _send_all(self, requests: Sequence[Request]) -> list[Generation]:
        slots = asyncio.Semaphore(self.server.connections)

        async def send(number: int, request: Request) -> Generation:
            async with slots:
                try:
                    return await self._send(client, number, request, extended)
                except ServerError as error:
                    reason = self.server.hide_key(str(error))
                    named = ServerError(
                        f"{self.server.name}, request {number}: {reason}", error.status
                    )
                    if error.status not in REFUSED:
                        raise named from None
                    return Generation("", [], 0, 0.0, False, error=named)

        try:
            async with self.server.client() as client, asyncio.TaskGroup() as group:
                extended = await self._has_extensions(client)
                tasks = [group.create_task(send(*numbered)) for numbered in enumerate(requests)]
        except ExceptionGroup as failed:
            # The first failure cancelled the other requests.
            raise failed.exceptions[0] from None
        generations = [task.result() for task in tasks]
        refused = [g.error for g in generations if g.error is not None]
        if len(refused) == len(generations) > 1:  # the fault is not that of one image
            raise refused[0]
        for error in refused:
            logger.warning("%s", error)
        return generations

    async def _has_extensions(self, client: httpx2.AsyncClient) -> bool:
        """Return whether rexkit started the server; False without a request if unimportant."""
        needed = self.constrain or self.presence == "marginal"
        if not (needed or self.scores):
            return False
        try:
            await self.server.post(client, RECORDS_PATH, {})
        except ServerError as error:
            if error.status not in (404, 405):
                raise ServerError(
                    f"{self.server.name}: {self.server.hide_key(str(error))}", error.status
                ) from None
            if needed:
                raise ServerError(
                    f"{self.server.name}: only servers started by `rexkit serve` support "
                    'constrain=True and presence="marginal"; start it by `rexkit serve`, or set '
                    'constrain=False and presence="token"'
                ) from None
            return False
        return True

    async def _send(
        self, client: httpx2.AsyncClient, number: int, request: Request, extended: bool
    ) -> Generation:
        record = uuid.uuid4().hex if extended and self.scores else None
        # Encode the image only now, so that few are in memory, and in a thread of its own.
        body = await asyncio.to_thread(self._body_of, number, request, record)
        generation = _read(await self.server.post(client, "chat/completions", body))
        if record is not None and generation.token_ids:
            last = {record: generation.token_ids[-1]}
            replies = await self.server.post(client, RECORDS_PATH, last)
            generation.bins = statistics_of(replies, record, len(generation.token_ids))
        return generation

    def _body_of(self, number: int, request: Request, record: str | None) -> dict[str, Any]:
        content = [
            {"type": "image_url", "image_url": {"url": self._data_uri(request.image)}},
            {"type": "text", "text": request.prompt},
        ]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self.system_prompt:
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        args = extra_args(
            self.sampling.max_new_tokens,
            request.form() if self.constrain else None,
            record,
            self.presence == "marginal",
        )
        body = {**self.body, "seed": self.seed + number, "messages": messages}
        return {**body, "vllm_xargs": args} if args else body

    def _data_uri(self, image: Image) -> str:
        if self.image_processor is not None:
            from rexkit.models.pixels import resize_to_grid

            image = resize_to_grid(image, self.image_processor)
        file = io.BytesIO()
        if self.image_format == "png":
            image.save(file, "png", compress_level=1)  # the network is faster than level 6
        else:
            image.save(file, "jpeg", quality=95, subsampling=0)
        return f"data:image/{self.image_format};base64,{base64.b64encode(file.getvalue()).decode()}"


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, in a thread if this one has a running event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def _read(response: Any) -> Generation:
    """Return the generation of a chat completion, without its time."""
    try:
        choice, usage = response["choices"][0], response.get("usage") or {}
        text = _text_of(choice["message"]["content"])
        ids = choice.get("token_ids")
        if ids is None:
            ids = [-1] * _number(usage.get("completion_tokens") or 0)
        elif not isinstance(ids, list) or not all(type(number) is int for number in ids):
            raise TypeError("token_ids")
        truncated = choice["finish_reason"] == "length"
        prompt_tokens = _number(usage.get("prompt_tokens") or 0)
        tokens = (choice.get("logprobs") or {}).get("content")
        logprobs = None
        if tokens is not None and len(tokens) == len(ids) and -1 not in ids:
            logprobs = np.array([float(token["logprob"]) for token in tokens], np.float32)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        raise ServerError(f"not a chat completion: {str(response)[:200]}") from None
    text = text.removesuffix(END_OF_TURN)
    return Generation(text, list(ids), prompt_tokens, 0.0, truncated, logprobs)


def _text_of(content: Any) -> str:
    """Return the text of a message: a string, null, or a list of parts."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type") == "text")
    if not isinstance(content, str | None):
        raise TypeError("content")
    return content or ""


def _number(value: Any) -> int:
    """Return a number of tokens, if it can be one."""
    if type(value) is not int or not 0 <= value <= MAX_TOKENS:
        raise ValueError("number of tokens")
    return value
