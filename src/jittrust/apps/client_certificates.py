"""Client certificates on the main address: X.509-SVIDs of this trust domain and of federated ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator

from jittrust.apps.tls import take_client_certificates
from jittrust.core.errors import JitError
from jittrust.core.identity.bundle import read_bundle
from jittrust.ports.bundles import Bundles

_LOG = logging.getLogger(__name__)
_EVERY = 5.0  # seconds; a new authority is published long before it signs


@contextlib.asynccontextmanager
async def client_certificates(context: ssl.SSLContext, bundles: Bundles, trust_domain: str) -> AsyncIterator[None]:
    """Take them while the block lasts, also below roots that appear meanwhile.

    The handshake only finds out whether the certificate is below any root we ever published; who it is and whether it is trusted now is checked
    where it is used.
    """
    known: set[bytes] = set()

    async def look() -> None:
        texts = {trust_domain: await bundles.own(), **await bundles.foreign()}
        roots = {root for name, text in texts.items() for root in read_bundle(text, name).x509}
        take_client_certificates(context, roots - known)
        known.update(roots)

    async def forever() -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await look()
            except JitError as error:
                _LOG.warning("bundles cannot be read for client certificates: %s", error)

    await look()
    looking = asyncio.create_task(forever())
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
