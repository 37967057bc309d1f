"""A client that posts JSON to a server and retries what may succeed later."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from rexkit.errors import ConfigError, UserError

logger = logging.getLogger(__name__)

_BUSY = {408, 425, 429}  # with every 5xx: worth another try
REFUSED = (400, 413, 422)
"""The statuses by which a server refuses one request for what is in it."""

MAX_BODY = 64 * 2**20
"""The most bytes of a response that are read."""

_LONGEST_BACKOFF = 30.0  # seconds
_LONGEST_RETRY_AFTER = 300.0  # seconds; a longer Retry-After is an error
_CONNECT = 10.0  # seconds, to open a connection


class ServerError(UserError):
    """A server did not respond as expected; the message names it and the request.

    Attributes:
        status: HTTP status of the response, if there was one.
    """

    def __init__(self, reason: str, status: int | None = None):
        super().__init__(reason)
        self.status = status


class Server:
    """A server with its key, retries and timeouts.

    Status 408, 425, 429 and 5xx, broken connections and timeouts are retried. The delay doubles
    with each retry, and is at least the server's ``Retry-After``. Every other failure is an error
    at once.

    Args:
        base_url: its address.
        key_env: the environment variable that holds the API key; read at each call and sent only
            to the server. If it is unset, no key is sent.
        connections: the maximum number of concurrent connections.
        timeout: seconds for one attempt, from connecting to the last byte.
        retries: how often a request is retried.
        backoff: seconds before the first retry; drawn at random between half of it and all of it.

    Attributes:
        url: the address.
        name: the address in messages, without a password.

    Raises:
        ConfigError: the address is not valid.
    """

    def __init__(
        self,
        base_url: str,
        key_env: str,
        connections: int,
        timeout: float,
        retries: int,
        backoff: float,
    ):
        self.url = httpx2.URL(base_url)
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise ConfigError(f"base_url: {base_url!r} is not an http:// or https:// address")
        self.name = f"{self.url.scheme}://{self.url.netloc.decode()}"
        self.key_env = key_env
        self.connections = connections
        self.timeout = timeout
        self.retries = retries
        self.backoff = backoff

    @property
    def key(self) -> str | None:
        """The key, read from the environment; None if it is unset."""
        return os.environ.get(self.key_env)

    def client(self) -> httpx2.AsyncClient:
        """Return a client for one batch of requests; the caller closes it."""
        return httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {self.key}"} if self.key else {},
            limits=httpx2.Limits(max_connections=self.connections),
            timeout=httpx2.Timeout(self.timeout, connect=min(self.timeout, _CONNECT)),
        )

    def hide_key(self, text: str) -> str:
        """Return a text with the key replaced by ``***``."""
        return text.replace(self.key, "***") if self.key else text

    async def post(self, client: httpx2.AsyncClient, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON and return the response, parsed from JSON.

        Args:
            client: one of `client`.
            path: relative to the address.
            body: the JSON to send.

        Raises:
            ServerError: the server refuses the request, or every attempt failed.
        """
        url = self.url.copy_with(path=f"{self.url.path.rstrip('/')}/{path}")
        for attempt in range(self.retries + 1):
            retry_after = 0.0
            try:
                # The client's own timeout restarts with every byte; this one limits the whole.
                async with asyncio.timeout(self.timeout):
                    response, content = await _bounded(client, url, body)
            except (TimeoutError, httpx2.TimeoutException):
                reason = f"no response within {self.timeout:g} seconds"
            except httpx2.TransportError as error:
                reason = f"{type(error).__name__}: {error}; is the server running there?"
            else:
                if response.is_success:
                    try:
                        return json.loads(content)
                    except (ValueError, RecursionError):
                        raise ServerError(f"no JSON: {_excerpt(content)}") from None
                reason = f"status {response.status_code}: {_excerpt(content)}"
                if response.status_code not in _BUSY and not response.is_server_error:
                    hint = self._hint(response.status_code, url, body)
                    raise ServerError(reason + hint, response.status_code)
                retry_after = _retry_after(response)
                if retry_after > _LONGEST_RETRY_AFTER:
                    raise ServerError(f"{reason}; its Retry-After is {retry_after:.0f} s")
            if attempt < self.retries:
                # Drawn at random, so that many processes do not retry at the same moment.
                longest = min(_LONGEST_BACKOFF, self.backoff * 2**attempt)
                wait = max(retry_after, random.uniform(longest / 2, longest))
                logger.info("%s: retrying in %.1f s", self.name, wait)
                await asyncio.sleep(wait)
        raise ServerError(f"{reason} (tried {self.retries + 1} times)")

    def _hint(self, status: int, url: httpx2.URL, body: Mapping[str, Any]) -> str:
        if status in (401, 403):
            problem = "holds another one" if self.key else "is not set"
            return f"; the server needs an API key, and the variable {self.key_env} {problem}"
        if status == 404:
            named = f", and the model {body['model']!r}" if "model" in body else ""
            return f"; does {url.path} exist there{named}?"
        if status in (400, 422):
            return "; if the server refuses fields of vLLM, set extra_body={}"
        return ""


async def _bounded(
    client: httpx2.AsyncClient, url: httpx2.URL, body: Mapping[str, Any]
) -> tuple[httpx2.Response, bytes]:
    """Post and return the response with its body, which is read up to `MAX_BODY`, unpacked."""
    content = bytearray()
    async with client.stream("POST", url, json=body) as response:
        async for part in response.aiter_bytes():
            content += part
            if len(content) > MAX_BODY:
                raise ServerError(f"a response of more than {MAX_BODY} bytes")
    return response, bytes(content)


def _excerpt(content: bytes) -> str:
    return " ".join(content[:500].decode("utf-8", "replace").split())


def _retry_after(response: httpx2.Response) -> float:
    """Return the seconds of ``Retry-After``, a number or a date (RFC 9110, 10.2.3); 0 without."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
