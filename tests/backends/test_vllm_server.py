"""The additional endpoints of a vLLM server: who may ask, without an engine behind them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("starlette", reason="it comes with vLLM: see README")

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.testclient import TestClient

from rexkit.backends.vllm_request import TAKES_WEIGHTS
from rexkit.backends.vllm_server import extra_endpoints


@pytest.mark.parametrize(("takes", "host"), [("0", "127.0.0.1"), ("1", "10.0.0.9")])
def test_weights_are_refused(monkeypatch, takes, host):
    """Unless the server was started to take them, and by other machines."""
    loaded: list[Any] = []

    async def collective_rpc(*words: Any, **named: Any) -> list[Any]:
        loaded.append(words)
        return []

    monkeypatch.setenv(TAKES_WEIGHTS, takes)
    app = Starlette()
    app.state.engine_client = SimpleNamespace(collective_rpc=collective_rpc)
    app.add_middleware(BaseHTTPMiddleware, dispatch=extra_endpoints)
    response = TestClient(app, client=(host, 1)).post("/v1/rexkit/weights", json={"file": "x"})
    assert response.status_code == 403
    assert not loaded


@pytest.mark.parametrize("path", ["records", "weights"])
def test_the_key_is_asked_for_first_and_browsers_are_refused(monkeypatch, path):
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    app = Starlette()
    app.state.engine_client = None  # nothing may reach it
    app.state.args = SimpleNamespace(api_key=["first", "second"])
    app.add_middleware(BaseHTTPMiddleware, dispatch=extra_endpoints)
    client = TestClient(app, client=("127.0.0.1", 1))

    def status(**headers: str) -> int:
        named = {"content-type": "application/json", **headers}
        return client.post(f"/v1/rexkit/{path}", content="{not json", headers=named).status_code

    for wrong in ({}, {"authorization": "Bearer third"}, {"authorization": "Basic first"}):
        assert status(**wrong) == 401
    assert status(authorization="Bearer second", origin="http://page") == 403
    assert status(**{"authorization": "Bearer first", "sec-fetch-site": "cross-site"}) == 403
    assert status(**{"authorization": "Bearer first", "content-type": "text/plain"}) == 415
    app.state.args = SimpleNamespace(api_key=None)
    monkeypatch.setenv("VLLM_API_KEY", "third")
    assert status() == 401
    monkeypatch.delenv("VLLM_API_KEY")
    assert status(origin="http://page") == 403
