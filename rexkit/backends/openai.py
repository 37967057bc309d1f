"""Generation by a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal

import httpx2

from rexkit.backends.base import Backend, Generation, Request
from rexkit.errors import ConfigError, UserError
from rexkit.grammar.tokens import END_OF_TURN
from rexkit.registry import BACKENDS

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

PictureFormat = Literal["png", "jpeg"]

KEEP_SPECIAL_TOKENS = {
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "return_token_ids": True,
}
"""What vLLM and SGLang want to hear to leave the coordinate tokens in the text."""

_BUSY = {408, 425, 429}  # with every 5xx: worth another try
_LONGEST_BACKOFF = 30.0  # seconds
_LONGEST_ASKED = 300.0  # seconds; a server that asks for more is not waited for
_CONNECT = 10.0  # seconds; no server that is there takes longer to pick up


class ServerError(UserError):
    """A server did not answer, or not as it should; the message names it and the request."""


@BACKENDS.register_module()
class OpenAIBackend(Backend):
    """Answers by an OpenAI-compatible server, such as vLLM or SGLang.

    Many requests are under way at once. Refusals for load (408, 425, 429), errors of the server
    (5xx), broken connections and timeouts are tried again, each time after about twice as long, or
    when the server's ``Retry-After`` says. Everything else is an error at once.

    The server must leave special tokens in its answers, or no box can be read from them: vLLM and
    SGLang do so when asked, as ``extra_body`` asks by default. ``transformers serve`` always
    removes them (5.19), so only models whose markup is plain text can be used there.

    Pictures are sent as they are asked about; the server resizes them by the model's own settings.

    Args:
        model: the name under which the server knows the model.
        base_url: of the server, with its ``/v1``.
        api_key_env: the environment variable that holds the key; read at each call and sent
            nowhere but to the server. Unset is no key, as local servers want it.
        concurrency: how many requests are under way at most.
        timeout: seconds for one try, from connecting to the last byte.
        retries: how often a request is tried again.
        backoff: seconds before the first retry; drawn from half to the whole of it.
        max_new_tokens: the longest answer; longer ones are cut off and marked so.
        temperature: 0 takes the likeliest token each time, above 0 samples.
        top_p: share of the probability that sampling draws from.
        seed: of sampling.
        logprobs: whether the server is asked for the log-probability of each token.
        system_prompt: what the chat starts with; None leaves it to the server's chat template.
        picture_format: "png" keeps every pixel, "jpeg" (quality 95) sends about a tenth.
        extra_body: further fields of each request, by the server's own names; ``{}`` for servers
            that refuse those of vLLM.
    """

    def __init__(
        self,
        model: str,
        base_url: str = "http://127.0.0.1:8000/v1",
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout: float = 600.0,
        retries: int = 5,
        backoff: float = 0.5,
        max_new_tokens: int = 1024,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        logprobs: bool = False,
        system_prompt: str | None = None,
        picture_format: PictureFormat = "png",
        extra_body: Mapping[str, Any] = KEEP_SPECIAL_TOKENS,
    ):
        url = httpx2.URL(base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ConfigError(f"base_url: {base_url!r} is no http:// or https:// address")
        if concurrency < 1:
            raise ConfigError(f"concurrency must be at least 1, got {concurrency}")
        if picture_format not in ("png", "jpeg"):
            raise ConfigError(f"picture_format: {picture_format!r}; known are png, jpeg")
        self.url = url.copy_with(path=url.path.rstrip("/") + "/chat/completions")
        self.server = f"{url.scheme}://{url.netloc.decode()}"  # without a password in it
        self.api_key_env = api_key_env
        self.concurrency = self.batch_size = concurrency
        self.timeout = timeout
        self.retries = retries
        self.backoff = backoff
        self.system_prompt = system_prompt
        self.picture_format = picture_format
        self.body: dict[str, Any] = {
            "model": model,
            "max_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "seed": seed,
            **({"logprobs": True} if logprobs else {}),
            **extra_body,
        }

    def generate(self, requests: Sequence[Request]) -> list[Generation]:
        """Answer every request, in order.

        Raises:
            ServerError: one was refused, or not answered after every retry.
        """
        started = time.perf_counter()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            generations = asyncio.run(self._ask_all(requests))
        else:  # a notebook: its loop cannot wait for ours, another thread can
            with ThreadPoolExecutor(1) as pool:
                generations = pool.submit(asyncio.run, self._ask_all(requests)).result()
        for generation in generations:
            generation.seconds = (time.perf_counter() - started) / len(requests)
        return generations

    async def _ask_all(self, requests: Sequence[Request]) -> list[Generation]:
        key = os.environ.get(self.api_key_env)
        turns = asyncio.Semaphore(self.concurrency)
        client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx2.Limits(max_connections=self.concurrency),
            timeout=httpx2.Timeout(self.timeout, connect=min(self.timeout, _CONNECT)),
        )

        async def ask(number: int, request: Request) -> Generation:
            async with turns:
                # The picture is encoded only now, so that few are held, and beside the others.
                body = await asyncio.to_thread(self._body_of, request)
                try:
                    return _read(await self._post(client, body))
                except ServerError as error:
                    reason = str(error).replace(key, "***") if key else str(error)
                    raise ServerError(f"{self.server}, request {number}: {reason}") from None

        try:
            async with client, asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(*numbered)) for numbered in enumerate(requests)]
        except ExceptionGroup as failed:
            # The first failure ended the others.
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _post(self, client: httpx2.AsyncClient, body: Mapping[str, Any]) -> Any:
        """The answer of the server, tried again as long as that may help."""
        for attempt in range(self.retries + 1):
            asked_to_wait = 0.0
            try:
                # The client's own timeout is for silence; a trickle would never end.
                async with asyncio.timeout(self.timeout):
                    response = await client.post(self.url, json=body)
            except (TimeoutError, httpx2.TimeoutException):
                reason = f"no answer within {self.timeout:g} seconds"
            except httpx2.TransportError as error:
                reason = f"{type(error).__name__}: {error}; is the server running there?"
            else:
                if response.is_success:
                    try:
                        return response.json()
                    except ValueError:
                        raise ServerError(f"no JSON: {_excerpt(response)}") from None
                reason = f"status {response.status_code}: {_excerpt(response)}"
                if response.status_code not in _BUSY and not response.is_server_error:
                    raise ServerError(reason + self._hint(response.status_code))
                asked_to_wait = _retry_after(response)
                if asked_to_wait > _LONGEST_ASKED:
                    raise ServerError(f"{reason}; it asks to come back in {asked_to_wait:.0f} s")
            if attempt < self.retries:
                # Drawn anew in every process, so that many do not come back at the same moment.
                most = min(_LONGEST_BACKOFF, self.backoff * 2**attempt)
                wait = max(asked_to_wait, random.uniform(most / 2, most))
                logger.info("%s: trying again in %.1f s", self.server, wait)
                await asyncio.sleep(wait)
        raise ServerError(f"{reason} (tried {self.retries + 1} times)")

    def _hint(self, status: int) -> str:
        if status in (401, 403):
            held = "holds no" if not os.environ.get(self.api_key_env) else "holds another"
            return f"; the server wants a key, and {self.api_key_env} {held} one"
        if status == 404:
            return f"; does {self.url.path} exist there, and the model {self.body['model']!r}?"
        if status in (400, 422):
            return "; a server that refuses a field takes extra_body={}"
        return ""

    def _body_of(self, request: Request) -> dict[str, Any]:
        content = [
            {"type": "image_url", "image_url": {"url": self._data_uri(request.image)}},
            {"type": "text", "text": request.prompt},
        ]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if self.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self.system_prompt})
        return {**self.body, "messages": messages}

    def _data_uri(self, image: Image) -> str:
        file = io.BytesIO()
        if self.picture_format == "png":
            image.save(file, "png", compress_level=1)  # the network is faster than level 6
        else:
            image.save(file, "jpeg", quality=95, subsampling=0)
        return (
            f"data:image/{self.picture_format};base64,{base64.b64encode(file.getvalue()).decode()}"
        )


def _read(answer: Any) -> Generation:
    """The generation that a chat completion holds; its time is not known yet."""
    try:
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        text = choice["message"]["content"] or ""
        ids = choice.get("token_ids")
        if ids is None:
            ids = [-1] * usage.get("completion_tokens", 0)
        truncated = choice["finish_reason"] == "length"
        prompt_tokens = usage.get("prompt_tokens", 0)
    except (KeyError, IndexError, TypeError, AttributeError):
        raise ServerError(f"no chat completion: {str(answer)[:200]}") from None
    return Generation(text.removesuffix(END_OF_TURN), list(ids), prompt_tokens, 0.0, truncated)


def _excerpt(response: httpx2.Response) -> str:
    return " ".join(response.text[:500].split())


def _retry_after(response: httpx2.Response) -> float:
    """Seconds that the server asks to wait, given as such or as a date (RFC 9110, 10.2.3)."""
    told = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(told)
    except ValueError:
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
