"""The faces of the identity layer that `jittrust serve` opens beside the gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from jittrust.api.bundle import bundle_routes
from jittrust.api.console.app import console_routes
from jittrust.api.scim.app import scim_routes
from jittrust.api.workload.attest_http import attest_routes
from jittrust.api.workload.face import WorkloadFace
from jittrust.apps.bundle_endpoint import spiffe_bundle_endpoint
from jittrust.apps.wiring import Wired
from jittrust.ports.wire import workload_socket_path

if TYPE_CHECKING:
    from jittrust.apps.settings import Settings

FIRST_PAGE = "/console/"
ENROL_PAGE = "/console/enrol"


def identity_routes(wired: Wired, settings: Settings) -> list[BaseRoute]:
    """Bundle, attestation, directory and pages for people, on the main address."""
    driving, inner = wired.driving, wired.inner
    return [
        *bundle_routes(driving.bundles),
        *attest_routes(inner.issuance),
        *scim_routes(inner.directory, driving.identities),
        *console_routes(
            driving.people,
            inner.passkeys,
            driving.approvals,
            driving.identities,
            wired.origin,
            provider=bool(settings.people.oidc_issuer),
        ),
    ]


async def first_page(wired: Wired) -> str:
    """Where people begin: the first admin's one-time link while there is none, then the console. The link is a secret."""
    link = await wired.driving.people.bootstrap()
    return f"{wired.origin}{FIRST_PAGE}" if link is None else f"{wired.origin}{ENROL_PAGE}#{link.secret}"


@contextlib.asynccontextmanager
async def identity_faces(wired: Wired, settings: Settings) -> AsyncIterator[Path]:
    """Open the Workload API and, where configured, the https_spiffe bundle endpoint; gives the Workload API's socket.

    Raises:
        UnavailableError: a socket or address cannot be used.
    """
    async with contextlib.AsyncExitStack() as stack:
        path = workload_socket_path(wired.state)
        workload = WorkloadFace(wired.inner.issuance, wired.driving.bundles)
        await workload.open(path)
        stack.push_async_callback(workload.close)
        if settings.identity.bundle_listen:
            await stack.enter_async_context(spiffe_bundle_endpoint(wired, settings.identity.bundle_listen))
        yield path
