"""The statistics of answers over HTTP: what a server that rexkit starts has besides vLLM's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rexkit.backends.vllm_request import RECORDS_PATH


async def hand_over_records(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Answers ``POST /v1/rexkit/records`` by what the workers kept; all else is passed on.

    The names of records are drawn by who asks for an answer, so nobody else can guess them.
    """
    if request.url.path != f"/v1/{RECORDS_PATH}" or request.method != "POST":
        return await call_next(request)
    wanted = await request.json()
    engine = request.app.state.engine_client
    return JSONResponse(await engine.collective_rpc("take_records", args=(wanted,)))
