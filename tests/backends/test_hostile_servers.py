"""Responses that are no chat completions, too large, too deep, or refuse one image."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from PIL import Image

from rexkit.backends import OpenAIBackend, Request, ServerError
from rexkit.errors import DataError
from rexkit.formats.image_sources import fetch
from rexkit.inference.predictor import Predictor

SPAN = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><9><9><|box_end|>"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        status, headers, content = self.server.reply(body)  # type: ignore[attr-defined]
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("location", self.server.location)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Any]:
    found: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.handle_error = lambda *words: None
    found.daemon_threads = True
    threading.Thread(target=found.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{found.server_address[1]}"
    yield found
    found.shutdown()


def completion(**changes: Any) -> bytes:
    choice = {"message": {"content": SPAN}, "finish_reason": "stop", "token_ids": [1, 2]}
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    for name, value in changes.items():
        if name == "content":
            choice["message"] = {"content": value}
        else:
            (usage if name in usage else choice)[name] = value
    return json.dumps({"choices": [choice], "usage": usage}).encode()


REQUEST = Request(Image.new("RGB", (32, 32)), "Detect cup.")
HOSTILE: dict[str, bytes] = {
    "tokens": completion(completion_tokens=10**9, token_ids=None),
    "negative tokens": completion(completion_tokens=-1, token_ids=None),
    "prompt tokens": completion(prompt_tokens="5"),
    "content": completion(content=5),
    "parts": completion(content=[1, 2]),
    "ids": completion(token_ids=5),
    "ids of texts": completion(token_ids=["1", "2"]),
    "logprob": completion(logprobs={"content": [{"logprob": "x"}, {"logprob": 0}]}),
    "list": b"[]",
    "number": b"5",
    "deep": b"[" * 200_000,
    "deep object": b'{"choices":' * 100_000,
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_are_one_error(server: Any, name: str) -> None:
    server.reply = lambda body: (200, {}, HOSTILE[name])
    with pytest.raises(ServerError, match=r"not a chat completion|no JSON"):
        OpenAIBackend("m", f"{server.url}/v1", retries=0).generate([REQUEST])


def test_parts_of_text_are_joined(server: Any) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    server.reply = lambda body: (200, {}, completion(content=parts))
    [generation] = OpenAIBackend("m", f"{server.url}/v1").generate([REQUEST])
    assert generation.text == "ab"


@pytest.mark.parametrize("packed", [False, True])
def test_bodies_are_bounded(server: Any, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rexkit.backends.http_client.MAX_BODY", 10_000)
    content = b" " * 20_000
    headers = {"content-encoding": "gzip"} if packed else {}
    server.reply = lambda body: (200, headers, gzip.compress(content) if packed else content)
    with pytest.raises(ServerError, match="more than 10000 bytes"):
        OpenAIBackend("m", f"{server.url}/v1", retries=0).generate([REQUEST])


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_image_costs_itself_alone(server: Any, status: int) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        refused = "dog" in json.dumps(body["messages"])
        return (status, {}, b"no dogs") if refused else (200, {}, completion())

    server.reply = reply
    predictor = Predictor("m", "openai", base_url=f"{server.url}/v1")
    images = [Image.new("RGB", (32, 32))] * 4
    categories = [["cup"], ["dog"], ["cup"], ["cup"]]
    results = predictor.predict(images, categories=categories)
    assert [result.success for result in results] == [True, False, True, True]
    assert f"status {status}: no dogs" in str(results[1].error)
    [alone] = predictor.predict(images[:1], categories="dog")
    assert f"status {status}: no dogs" in str(alone.error)
    with pytest.raises(ServerError, match=f"status {status}"):
        predictor.predict(images[:1], categories="dog", on_error="raise")
    with pytest.raises(ServerError, match=f"status {status}"):  # all of them: it is the setup
        predictor.predict(images[:2], categories="dog")


def test_redirects_to_internal_addresses_are_not_followed(server: Any) -> None:
    for location in (
        f"{server.url}/b.jpg",
        "http://169.254.169.254/x",
        "http://[::1]/",
        "ftp://a/b",
    ):
        server.location = location
        with pytest.raises(DataError, match=r"redirects to .*, which is no public address"):
            fetch(f"{server.url}/a.jpg")
