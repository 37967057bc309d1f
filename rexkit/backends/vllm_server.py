"""Additional endpoints of a vLLM server started by rexkit: bin statistics and new weights."""

from __future__ import annotations

import hmac
import os
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rexkit.backends.vllm_request import RECORDS_PATH, TAKES_WEIGHTS, WEIGHTS_PATH

_LOOPBACK = {"127.0.0.1", "::1"}


async def extra_endpoints(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Handle two paths below ``/v1`` and pass every other request on.

    ``rexkit/records`` returns the bin statistics of completions by name. The client draws the
    names at random, so that other clients cannot guess them. ``rexkit/weights`` loads a
    safetensors file of this machine. It accepts requests from this machine only, and only if the
    server was started with ``--take-weights``. Both ask for the API key of the server before
    anything else, where it has one, and refuse requests that a browser sends for a page.
    """
    if request.method != "POST":
        return await call_next(request)
    if request.url.path in (f"/v1/{RECORDS_PATH}", f"/v1/{WEIGHTS_PATH}"):
        # This runs before vLLM's own check of the key, so it must make the same check itself.
        if not _has_key(request):
            return JSONResponse({"error": "Unauthorized"}, 401)
        if any(name in request.headers for name in ("origin", "sec-fetch-site", "referer")):
            return JSONResponse({"error": "requests of browsers are refused"}, 403)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return JSONResponse({"error": "the body must be application/json"}, 415)
    engine = request.app.state.engine_client
    if request.url.path == f"/v1/{RECORDS_PATH}":
        wanted = await request.json()
        return JSONResponse(await engine.collective_rpc("take_records", args=(wanted,)))
    if request.url.path == f"/v1/{WEIGHTS_PATH}":
        if os.environ.get(TAKES_WEIGHTS) != "1":
            reason = "this server takes no weights; start it by rexkit serve --take-weights"
            return JSONResponse({"error": reason}, 403)
        if request.client is None or request.client.host not in _LOOPBACK:
            return JSONResponse({"error": "weights are taken from this machine only"}, 403)
        await engine.collective_rpc("take_weights", args=((await request.json())["file"],))
        # These caches hold images and prompts that were computed with the old weights.
        await engine.reset_encoder_cache()
        await engine.reset_prefix_cache()
        return JSONResponse({})
    return await call_next(request)


def _has_key(request: Request) -> bool:
    """Return whether a request has one of the server's keys, where it has any."""
    args = getattr(request.app.state, "args", None)
    # As vLLM takes them: the option before the environment.
    keys = getattr(args, "api_key", None) or [os.environ.get("VLLM_API_KEY")]
    keys = [key for key in ([keys] if isinstance(keys, str) else keys) if key]
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    found = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    return not keys or (scheme.lower() == "bearer" and any(found))
