"""The bundle endpoint with profile https_spiffe: it proves itself by an X.509-SVID of ours (SPIFFE Federation §5.2.2)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvicorn
from starlette.applications import Starlette

from jittrust.api.bundle import bundle_routes
from jittrust.apps.http_protocol import BoundedHttp
from jittrust.apps.serving import StoppableServer, listen
from jittrust.apps.tls import plain_context
from jittrust.apps.wiring import Wired
from jittrust.core.errors import JitError

_LOOK_SECONDS = 5.0
"""How often it is looked whether a newer document is wanted: after a rotation, or past half of its life."""
_STOP_SECONDS = 2


@contextlib.asynccontextmanager
async def spiffe_bundle_endpoint(wired: Wired, address: str) -> AsyncIterator[str]:
    """Serve the bundle on `host:port`; gives its URL. The document is renewed on the live context, so no connection is dropped.

    Raises:
        UnavailableError: code `port_taken`, `address_unusable`, or no document could be issued.
    """
    host, _, port = address.rpartition(":")
    with listen(host.strip("[]"), int(port)) as listener:
        context = plain_context()
        held = await _renewed(wired, context, "")
        config = uvicorn.Config(
            Starlette(routes=[*bundle_routes(wired.driving.bundles)]),
            http=BoundedHttp,
            loop="none",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=5,
            timeout_graceful_shutdown=_STOP_SECONDS,
            ssl_context_factory=lambda _config, _default: context,
        )
        server = StoppableServer(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        keeping = asyncio.create_task(_keep(wired, context, held))
        try:
            bound, number = listener.getsockname()[:2]
            yield f"https://[{bound}]:{number}" if ":" in bound else f"https://{bound}:{number}"
        finally:
            keeping.cancel()
            server.should_exit = True
            await asyncio.gather(running, keeping, return_exceptions=True)


async def _keep(wired: Wired, context: ssl.SSLContext, held: str) -> None:
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        try:
            held = await _renewed(wired, context, held)
        except JitError as error:
            structlog.get_logger().warning("bundle_endpoint_not_renewed", code=error.code)


async def _renewed(wired: Wired, context: ssl.SSLContext, held: str) -> str:
    """Put the newest document into the context; its name, so that the same is not put there twice."""
    document = await wired.own_document()
    if document.serial == held:
        return held
    # OpenSSL reads them from files only: both live in a folder of ours for as long as that takes.
    with tempfile.TemporaryDirectory(prefix="jittrust-tls-") as folder:
        certificate, key = Path(folder) / "chain.pem", Path(folder) / "key.pem"
        for file, content in ((certificate, document.chain_pem), (key, document.key_pem)):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as out:
                out.write(content)
        context.load_cert_chain(certificate, key)
    return document.serial
