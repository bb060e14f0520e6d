"""`GET /.well-known/spiffe-bundle`: the trust domain's bundle, for everybody (SPIFFE Federation §5)."""

from __future__ import annotations

import hashlib

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jittrust.core.errors import JitError
from jittrust.core.problem import PROBLEM_TYPE, problem_of
from jittrust.ports.bundles import Bundles

BUNDLE_PATH = "/.well-known/spiffe-bundle"
FRESH_SECONDS = 30
"""How long a cache in between may keep the bundle: half of the refresh hint, so that a revocation is not delayed by much."""


def bundle_routes(bundles: Bundles) -> list[Route]:
    """The one route. It needs no credential: a bundle holds public keys only."""

    async def answer(request: Request) -> Response:
        try:
            body = (await bundles.own()).encode("utf-8")
        except JitError as error:
            return Response(
                problem_of(error), error.http_status, {"cache-control": "no-store"}, media_type=PROBLEM_TYPE
            )
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        headers = {"cache-control": f"max-age={FRESH_SECONDS}", "etag": tag, "x-content-type-options": "nosniff"}
        if tag in [part.strip() for part in request.headers.get("if-none-match", "").split(",")]:
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, media_type="application/json")

    return [Route(BUNDLE_PATH, answer, methods=["GET", "HEAD"])]
