"""`OpenAIBackend` against a server on loopback that does what a test says."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rexkit.backends import OpenAIBackend, Request, ServerError
from rexkit.cli import main
from rexkit.config import load_config
from rexkit.datasets import ShapesDataset
from rexkit.errors import ConfigError
from rexkit.examples import ExampleDataset, Source
from rexkit.inference.predictor import Predictor
from rexkit.run import Run
from rexkit.tasks import GroundingTask

Reply = tuple[int, dict[str, str], Any]


class Server(ThreadingHTTPServer):
    """Count concurrent requests, keep the bodies, and reply by a function of the body."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply: Callable[[dict[str, Any]], Reply] = lambda body: completion("<1>")
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        self.now = self.most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with server.lock:
            server.now += 1
            server.most = max(server.most, server.now)
            server.bodies.append(body)
            server.headers.append({k.lower(): v for k, v in self.headers.items()})
            server.paths.append(self.path)
        try:
            status, headers, reply = server.reply(body)
        finally:
            with server.lock:
                server.now -= 1
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def completion(text: str | None, finish: str = "stop", **choice: Any) -> Reply:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    message = {"role": "assistant", "content": text}
    choices = [{"index": 0, "message": message, "finish_reason": finish, **choice}]
    return 200, {}, {"choices": choices, "usage": usage}


def refusal(status: int, **headers: str) -> Reply:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, names, {"error": {"message": "not now"}}


def in_turn(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    left = iter(replies)
    return lambda body: next(left)


def backend(server: Server, **options: Any) -> OpenAIBackend:
    return OpenAIBackend("m", server.url, **{"backoff": 0.01, "timeout": 10, **options})


def requests(number: int = 1) -> list[Request]:
    return [Request(Image.new("RGB", (8, 6), (i, 0, 0)), f"question {i}") for i in range(number)]


def prompt_of(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"][1]["text"]


def test_order_is_kept_and_no_more_than_so_many_are_under_way(server):
    def late(body: dict[str, Any]) -> Reply:
        number = int(prompt_of(body).split()[1])
        time.sleep(0.03 if number % 3 else 0.09)
        return completion(f"reply {number}")

    server.reply = late
    generations = backend(server, concurrency=4).generate(requests(20))
    assert [g.text for g in generations] == [f"reply {i}" for i in range(20)]
    assert server.most == 4
    assert all(0 < g.seconds < 1 for g in generations)
    assert backend(server).generate([]) == []


def test_what_is_asked(server):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8))
    options = dict(max_new_tokens=33, temperature=0.5, seed=4, checkpoint=None, system_prompt="Hi")
    backend(server, **options).generate([Request(image, "Detect cup.")])
    [body] = server.bodies
    assert server.paths == ["/v1/chat/completions"]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("m", 33, 0.5)
    assert (body["seed"], "logprobs" in body) == (4, False)
    assert body["skip_special_tokens"] is body["spaces_between_special_tokens"] is False
    assert body["messages"][0] == {"role": "system", "content": "Hi"}
    content, text = body["messages"][1]["content"]
    assert text == {"type": "text", "text": "Detect cup."}
    start, data = content["image_url"]["url"].split(",")
    assert start == "data:image/png;base64"
    sent = Image.open(io.BytesIO(base64.b64decode(data)))
    assert np.array_equal(np.asarray(sent), np.asarray(image))
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize(
    ("system_prompt", "messages"),
    [
        (None, [{"role": "system", "content": "You are a helpful assistant"}]),
        ("Hi", [{"role": "system", "content": "Hi"}]),
        ("", []),  # the server's chat template decides
    ],
)
def test_the_system_prompt(server, system_prompt, messages):
    backend(server, system_prompt=system_prompt).generate(requests())
    [body] = server.bodies
    assert body["messages"][:-1] == messages
    assert body["messages"][-1]["role"] == "user"


def test_jpeg_and_no_extra_fields(server):
    backend(server, image_format="jpeg", extra_body={}).generate(requests())
    [body] = server.bodies
    assert "skip_special_tokens" not in body
    start, data = body["messages"][-1]["content"][0]["image_url"]["url"].split(",")
    assert start == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).format == "JPEG"


def test_what_is_answered(server):
    server.reply = in_turn(
        completion("<1><2><|im_end|>", token_ids=[5, 6, 9]),
        completion("<1>", "length"),
        completion(None),
    )
    ended, cut, empty = backend(server, concurrency=1).generate(requests(3))
    assert (ended.text, ended.token_ids, ended.truncated) == ("<1><2>", [5, 6, 9], False)
    assert ended.prompt_tokens == 7
    assert (cut.text, cut.token_ids, cut.truncated) == ("<1>", [-1, -1, -1], True)
    assert empty.text == ""


@pytest.mark.parametrize("status", [429, 408, 500, 503])
def test_a_busy_server_is_asked_again(server, status):
    server.reply = in_turn(refusal(status), refusal(status), completion("done"))
    assert backend(server).generate(requests())[0].text == "done"
    assert len(server.bodies) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(server, form):
    # A date has whole seconds: two ahead are more than one away.
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    value, least = ("0.4", 0.4) if form == "seconds" else (date, 0.9)
    server.reply = in_turn(refusal(429, retry_after=value), completion("done"))
    started = time.perf_counter()
    assert backend(server).generate(requests())[0].text == "done"
    assert least < time.perf_counter() - started < 8


def test_a_server_that_asks_for_an_hour_is_not_waited_for(server):
    server.reply = in_turn(refusal(429, retry_after="3600"))
    with pytest.raises(ServerError, match="3600 s"):
        backend(server).generate(requests())


def test_a_request_that_fails_is_named_and_ends_the_others(server):
    server.reply = lambda body: (
        refusal(503) if prompt_of(body) == "question 2" else completion("fine")
    )
    with pytest.raises(ServerError) as error:
        backend(server, retries=2).generate(requests(4))
    message = str(error.value)
    assert f"http://127.0.0.1:{server.server_address[1]}, request 2: status 503" in message
    assert "tried 3 times" in message
    assert "not now" in message  # the server's own words
    assert sum(prompt_of(body) == "question 2" for body in server.bodies) == 3


def test_a_silent_server_times_out(server):
    stop = threading.Event()

    def silent(body: dict[str, Any]) -> Reply:
        stop.wait(10)
        return completion("late")

    server.reply = silent
    started = time.perf_counter()
    try:
        with pytest.raises(ServerError, match=r"no response within 0\.2 seconds \(tried 2 times\)"):
            backend(server, timeout=0.2, retries=1).generate(requests())
    finally:
        stop.set()
    assert time.perf_counter() - started < 5


def test_nobody_there(server):
    gone = backend(server, retries=1)
    server.server_close()
    with pytest.raises(ServerError, match=r"request 0: .*is the server running"):
        gone.generate(requests())


def test_a_wrong_key_is_not_told(server, monkeypatch):
    monkeypatch.setenv("REX_KEY", "sk-secret-123")
    refused = {"error": {"message": "Incorrect API key provided: sk-secret-123"}}
    server.reply = lambda body: (401, {}, refused)
    wrong = backend(server, api_key_env="REX_KEY")
    with pytest.raises(ServerError, match="REX_KEY") as error:
        wrong.generate(requests())
    assert server.headers[0]["authorization"] == "Bearer sk-secret-123"
    assert len(server.bodies) == 1  # trying again would not help
    shown = f"{error.value!r} {wrong!r} {vars(wrong)}"
    assert "sk-secret" not in shown
    assert error.value.__cause__ is None


def test_a_password_in_the_address_is_not_told(server):
    server.reply = lambda body: refusal(404)
    url = server.url.replace("http://", "http://me:hush@")
    with pytest.raises(ServerError, match="status 404") as error:
        OpenAIBackend("m", url).generate(requests())
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("reply", [b"<html>", {"choices": []}, {"error": "x"}, ["choices"]])
def test_replies_that_are_not_completions(server, reply):
    server.reply = lambda body: (200, {}, reply)
    with pytest.raises(ServerError, match=r"request 0: (no JSON|not a chat completion)"):
        backend(server).generate(requests())


def test_within_a_running_loop(server):
    async def notebook() -> str:
        return backend(server).generate(requests())[0].text

    assert asyncio.run(notebook()) == "<1>"


@pytest.mark.parametrize(
    "options",
    [dict(base_url="localhost:8000"), dict(concurrency=0), dict(image_format="gif")],
)
def test_wrong_options_are_named(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        OpenAIBackend("m", **options)


def test_predictor_needs_no_model(server):
    span = "<|object_ref_start|>cup<|object_ref_end|><|box_start|><0><0><499><999><|box_end|>"
    server.reply = lambda body: completion(span)
    predictor = Predictor("served", backend="openai", base_url=server.url, retries=0)
    assert predictor.vlm is None
    first, second = predictor.predict([Image.new("RGB", (200, 100))] * 2, categories=["cup"])
    assert server.bodies[0]["model"] == "served"
    assert (first.success, first.output_tokens, first.truncated) == (True, 3, False)
    np.testing.assert_allclose(first.instances[0].bbox, [0, 0, 499 / 999 * 200, 100])
    assert second.instances[0].phrase == "cup"


CONFIG = """
backend = dict(type="OpenAIBackend", base_url={url!r}, model="served")
test_data = dict(dataset=dict(type="ShapesDataset", size=6), task=dict(type="GroundingTask"))
num_images = 0
"""


def test_rexkit_test_needs_no_model(server, tmp_path):
    (tmp_path / "job.py").write_text(CONFIG.format(url=server.url))
    examples = ExampleDataset([Source(ShapesDataset(6), GroundingTask())])
    responses = {}
    for example in (examples[i] for i in range(6)):
        responses[example.prompt, example.image.tobytes()] = example.response

    def correct(body: dict[str, Any]) -> Reply:
        uri = body["messages"][-1]["content"][0]["image_url"]["url"]
        image = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
        return completion(responses[prompt_of(body), image.tobytes()])

    server.reply = correct
    words = ["test", str(tmp_path / "job.py"), "--work-dir", str(tmp_path / "work")]
    assert main(words) == 0
    values = json.loads((tmp_path / "work" / "metrics.json").read_text())
    assert values["f1@0.5"] == values["rejection_accuracy"] == 1.0
    assert {body["model"] for body in server.bodies} == {"served"}
    assert main([*words[:2], "another", *words[2:]]) == 0
    assert server.bodies[-1]["model"] == "another"


def test_training_is_not_tested_by_a_server(tmp_path):
    file = tmp_path / "job.py"
    train = "model = dict(type='TinyVLM', weights=None, hidden_size=64, layers=1, heads=1)\n"
    train += "train_data = test_data\ntest_before = True\n"
    train += "trainer = dict(type='SFTTrainer', max_steps=1, save_strategy='no')\n"
    file.write_text(CONFIG.format(url="http://127.0.0.1:9/v1") + train)
    config = load_config(str(file), {"work_dir": str(tmp_path / "work")})
    with pytest.raises(ConfigError, match=r"backend\.type: OpenAIBackend"):
        Run.from_config(config, "train")
