"""Well-known documents: who the authorization server is (RFC 8414) and who lets callers in to each MCP server (RFC 9728)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from jittrust.core.model import Json
from jittrust.core.oauth.server_metadata import path_of, resource_metadata, server_metadata, well_known

_HEADERS = {
    # Public, the same for everybody and read by browsers' clients; nothing here takes a credential.
    "access-control-allow-origin": "*",
    "cache-control": "public, max-age=300",
    "x-content-type-options": "nosniff",
}


def metadata_routes(issuer: str, origin: str, servers: tuple[str, ...], *, registration: bool) -> list[BaseRoute]:
    """`/.well-known/oauth-authorization-server` and `/.well-known/oauth-protected-resource{/mcp/SERVER}`.

    An issuer with a path has its documents where RFC 8414 §3.1 and RFC 9728 §3.1 put them: the path comes after the name.
    """
    path = path_of(issuer)
    documents: dict[str, Mapping[str, Json]] = {
        well_known(path, "oauth-authorization-server"): server_metadata(issuer, origin, registration=registration),
        well_known(path, "oauth-protected-resource"): resource_metadata(issuer, ""),
    }
    for server in servers:
        documents[well_known(path, "oauth-protected-resource", f"/mcp/{server}")] = resource_metadata(issuer, server)
    return [
        Route(place, _Document(document).answer, methods=["GET", "OPTIONS"]) for place, document in documents.items()
    ]


class _Document:
    """One document, written once."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self._text = json.dumps(document, ensure_ascii=True, separators=(",", ":"))

    async def answer(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            allowed = {"access-control-allow-methods": "GET", "access-control-allow-headers": "mcp-protocol-version"}
            return Response(None, 204, {**_HEADERS, **allowed})
        return Response(self._text, 200, _HEADERS, "application/json")
