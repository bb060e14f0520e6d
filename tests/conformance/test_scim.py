"""The directory against an independent peer: scim2-tester's checks, sent by scim2-client, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import uvicorn
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import SearchRequest
from scim2_tester import check_server
from starlette.applications import Starlette
from tests.model.world import world
from tests.scim import TOKEN, provider

CHECKS = 125
"""As many as scim2-tester makes of users and groups as we describe them; fewer would mean that it did not understand the description."""


@contextlib.asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """The app on a port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/scim/v2"
    finally:
        server.should_exit = True
        await serving


def client(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=30)


async def test_every_check_of_scim2_tester_passes_but_the_one_for_what_is_said_not_to_be_there() -> None:
    async with provider(await world()) as corp, listening(corp.app) as url:

        def checks() -> list[tuple[str, str, str]]:
            with client(url) as http:
                results = check_server(SyncSCIMClient(http))
            return [(one.status.name, f"{one.resource_type or ''} {one.title}", one.reason or "") for one in results]

        results = await asyncio.to_thread(checks)

    assert [one for one in results if one[0] not in {"SUCCESS", "SKIPPED"}] == []
    assert [one[1] for one in results if one[0] == "SKIPPED"] == [
        "User search_with_attributes",
        "Group search_with_attributes",
    ]
    assert Counter(one[0] for one in results)["SUCCESS"] >= CHECKS


async def test_scim2_client_discovers_finds_and_changes_a_user() -> None:
    async with provider(await world()) as corp, listening(corp.app) as url:
        await corp.user("bea@example.org", displayName="Bea")

        def talk() -> tuple[list[str], str, list[str]]:
            with client(url) as http:
                scim: Any = SyncSCIMClient(http)
                scim.discover()
                kind = scim.get_resource_model("User")
                made = scim.create(kind(user_name="Ada@example.org", display_name="Ada"))
                made.display_name = "Ada L."
                changed = scim.replace(made)
                found = scim.query(
                    kind, query_parameters=SearchRequest.model_validate({"filter": 'userName eq "ADA@EXAMPLE.ORG"'})
                )
                scim.delete(kind, made.id)
                left = scim.query(kind)
                return (
                    [one.user_name for one in found.resources],
                    changed.display_name,
                    [one.user_name for one in left.resources],
                )

        found, display, left = await asyncio.to_thread(talk)

    assert (found, display, left) == (["Ada@example.org"], "Ada L.", ["bea@example.org"])
