"""Metadata documents of OAuth clients whose id is a URL."""

from __future__ import annotations

from typing import Protocol


class ClientDocuments(Protocol):
    """Fetches Client ID Metadata Documents through the guarded fetcher: public addresses only, resolved once, no redirects, small, soon."""

    async def fetch(self, url: str) -> bytes:
        """The document.

        Raises:
            RefusedError: code `document_url_refused`: not https, an address of ours or of a private network, a redirect, another media type.
            UnavailableError: code `document_unreachable`: no answer in time, too large, or any status but 200.
        """
        ...
