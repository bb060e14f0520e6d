"""The authorization server's routes, joined."""

from __future__ import annotations

from starlette.routing import BaseRoute

from jittrust.api.oauth.authorize import authorize_routes
from jittrust.api.oauth.metadata import metadata_routes
from jittrust.api.oauth.status import status_routes
from jittrust.api.oauth.token import token_routes
from jittrust.ports.driving import InProcess


def oauth_routes(
    inner: InProcess, issuer: str, origin: str, servers: tuple[str, ...], *, registration: bool
) -> list[BaseRoute]:
    """Every route of the authorization server; the consent page itself is one of the console's (`api.console.consent`).

    Args:
        inner: the ports behind them.
        issuer: URL of the authorization server, as its tokens say it.
        origin: web origin of the pages for people.
        servers: names of the MCP servers behind the broker.
        registration: whether clients may register themselves.
    """
    return [
        *metadata_routes(issuer, origin, servers, registration=registration),
        *token_routes(inner.authorization, issuer, servers),
        *status_routes(inner.tokens),
        *authorize_routes(inner.consents, origin),
    ]
