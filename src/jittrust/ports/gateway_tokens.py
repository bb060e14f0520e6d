"""What the gateway in the broker's own process shows to others for a mission: never the caller's token."""

from __future__ import annotations

from typing import Protocol


class GatewayTokens(Protocol):
    """Gives transaction tokens to the gateway. In process only: it takes the gateway's word for the call."""

    async def transaction(self, grant: str, server: str) -> str:
        """A fresh transaction token (a secret) for the mission of a grant, scoped to one MCP server; recorded before it is returned.

        Raises:
            RefusedError: code `grant_not_active`.
            UnavailableError: the store.
        """
        ...
