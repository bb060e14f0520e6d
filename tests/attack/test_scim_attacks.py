"""Hostile input to the directory: each attack ends in SCIM's own error, nobody gains anything, nothing of it is kept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import pytest
from tests.model.world import SIGNER, World, world
from tests.scim import BASE, GROUP, PATCH, TOKEN, USER, provider

from jittrust.adapters.memory.commit import MemoryCommit
from jittrust.core.errors import UnavailableError
from jittrust.core.identity.directory import DirectoryGroup, DirectoryUser
from jittrust.core.identity.identity import IdentityState, Role
from jittrust.core.model import Json, SubjectKind
from jittrust.ports.commit import Change, Committed, Keep
from jittrust.ports.identities import NewIdentity

MEBIBYTE = 1024 * 1024
ADDRESSES = (
    "/Users",
    "/Users/user-1",
    "/Groups",
    "/Groups/x",
    "/ServiceProviderConfig",
    "/Schemas",
    "/ResourceTypes",
    "/Bulk",
    "/Me",
    "",
    "/x",
)


@pytest.mark.parametrize(
    "sent",
    [
        [],
        ["Bearer"],
        ["Bearer "],
        [f"Basic {TOKEN}"],
        [f"Bearer {TOKEN}x"],
        [f"Bearer  {TOKEN}"],
        [f"Bearer {TOKEN} {TOKEN}"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        [f"Bearer {TOKEN}", "Bearer x"],
        [TOKEN],
        [f"Token {TOKEN}"],
        [f"Bearer {TOKEN.upper()}"],
        ["Bearer " + "x" * 10_000],
        [f"Bearer scim:{TOKEN}"],
        [f"Bearer, {TOKEN}"],
    ],
)
async def test_without_the_one_good_token_nothing_is_answered_at_any_address(sent: list[str]) -> None:
    async with provider(await world()) as corp:
        transport = httpx2.ASGITransport(app=corp.app)
        async with httpx2.AsyncClient(transport=transport) as stranger:
            for address in ADDRESSES:
                for method in ("GET", "POST", "PATCH", "DELETE"):
                    answer = await stranger.request(
                        method, BASE + address, content=b"{", headers=[("authorization", one) for one in sent]
                    )
                    assert answer.status_code == 401, (method, address)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    assert answer.json()["status"] == "401"
                    assert TOKEN not in answer.text


async def test_a_token_in_the_address_or_in_a_cookie_counts_for_nothing() -> None:
    async with provider(await world()) as corp:
        transport = httpx2.ASGITransport(app=corp.app)
        async with httpx2.AsyncClient(transport=transport) as stranger:
            assert (await stranger.get(f"{BASE}/Users?access_token={TOKEN}")).status_code == 401
            assert (await stranger.get(f"{BASE}/Users", headers={"cookie": f"token={TOKEN}"})).status_code == 401


BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"[]", 400),
    (b'"x"', 400),
    (b"null", 400),
    (b'{"userName":"a","userName":"b"}', 400),
    (b'{"userName":"a","USERNAME":"b"}', 400),
    (b'{"userName":"a","name":{"givenName":"x","GIVENNAME":"y"}}', 400),
    (b'\xef\xbb\xbf{"userName":"a"}', 400),
    (b'{"userName":"a\\u0000"}', 400),
    (b'{"userName":"\\ud800"}', 400),
    (b'{"userName":"\xff"}', 400),
    (b'{"userName":NaN}', 400),
    (b'{"userName":' + b"[" * 200 + b"]" * 200 + b"}", 400),
    (b'{"userName":{"a":{"a":{"a":1}}}}', 400),
    (b'{"userName":7}', 400),
    (b'{"userName":null}', 400),
    (b'{"userName":""}', 400),
    (b'{"userName":"   "}', 400),
    (b'{"userName":"a\\nb"}', 400),
    (b'{"userName":"a\\u202eb"}', 400),
    (b'{"userName":"' + b"a" * 300 + b'"}', 400),
    (b'{"userName":"a","active":"perhaps"}', 400),
    (b'{"userName":"a","active":[true]}', 400),
    (b'{"userName":"a","emails":"x"}', 400),
    (b'{"userName":"a","emails":[{"value":{"x":1}}]}', 400),
    (b'{"userName":"a","emails":[7]}', 400),
    (b'{"userName":"a","externalId":["x"]}', 400),
    (b'{"userName":"a","externalId":"' + b"e" * 300 + b'"}', 400),
    (b'{"userName":"a","title":"' + b"t" * 70_000 + b'"}', 400),
    (b'{"schemas":["urn:x"],"userName":"a"}', 400),
    (b'{"schemas":"x","userName":"a"}', 400),
    (b'{"userName":"a","x":"' + b"y" * MEBIBYTE + b'"}', 413),
]


@pytest.mark.parametrize(("body", "status"), BODIES)
async def test_a_body_that_readers_could_read_two_ways_is_refused_and_makes_nobody(body: bytes, status: int) -> None:
    async with provider(await world()) as corp:
        answer = await corp.http.post(f"{BASE}/Users", content=body, headers={"content-type": "application/scim+json"})
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/scim+json"
        assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert corp.persons() == []


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json5"]
)
async def test_another_media_type_is_refused(kind: str) -> None:
    async with provider(await world()) as corp:
        answer = await corp.http.post(f"{BASE}/Users", content=b'{"userName":"a"}', headers={"content-type": kind})
        assert answer.status_code == 415
        assert corp.persons() == []


async def test_a_body_without_an_end_is_cut_off_at_its_limit() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65_536
            assert sent <= 4 * MEBIBYTE
            yield b" " * 65_536

    async with provider(await world()) as corp:
        answer = await corp.http.post(
            f"{BASE}/Users", content=endless(), headers={"content-type": "application/scim+json"}
        )
        assert answer.status_code == 413


async def test_a_user_chooses_neither_its_id_nor_its_person_nor_its_groups() -> None:
    async with provider(await world()) as corp:
        root = await corp.admin("root")
        group = await corp.group("jittrust-admin")
        made = await corp.user(
            "eve@example.org",
            id="user-0",
            person=root.id,
            meta={"version": 'W/"9"', "location": "http://evil.example"},
            revision=9,
            groups=[{"value": group["id"]}],
            roles=[{"value": "admin"}],
            entitlements=[{"value": "admin"}],
        )
        assert made["id"] != "user-0"
        assert made["meta"]["version"] == 'W/"1"'
        assert "groups" not in made
        eve = corp.person("eve@example.org")
        assert (eve.id == root.id, eve.role) == (False, Role.NONE)


@pytest.mark.parametrize(
    "body",
    [
        {"userName": "root"},
        {"userName": "ROOT"},
        {"userName": "mallory", "displayName": "root"},
        {"userName": "mallory", "name": {"formatted": "root@example.org"}},
        {"userName": "mallory", "nickName": "root@example.org"},
        {"userName": "mallory", "emails": [{"value": "m@example.org", "primary": True}, {"value": "root@example.org"}]},
        {"userName": "mallory", "emails": [{"value": "m@example.org"}, {"value": "root@example.org"}]},
        {"userName": "r\u03bf\u03bft@example.org"},
        {"userName": "root@example.org.evil.example"},
        {"userName": "root@example.org@evil.example"},
        {"userName": "\uff52oot@example.org"},
        {"userName": "mallory", "externalId": "root@example.org"},
        {"userName": "mallory", "externalId": "/person/root"},
        {"userName": "/person/root"},
        {"userName": "spiffe://jittrust.test/person/root"},
        {"userName": "email:root@example.org"},
        {"userName": "../root"},
        {"userName": "person/root"},
        {"userName": "root%40example.org"},
    ],
)
async def test_an_admin_is_not_taken_over_by_a_user_who_only_looks_alike(body: dict[str, Json]) -> None:
    async with provider(await world()) as corp:
        root = await corp.admin("root")
        answer = await corp.send("POST", "/Users", {"schemas": [USER], **body})
        assert answer.status_code in {201, 400, 409}
        after = (await corp.world.broker.driving.identities.show(root.id)).identity
        assert after == root
        assert all(one.role is Role.NONE for one in corp.persons() if one.id != root.id)


async def test_a_user_cannot_take_another_s_address_by_a_change() -> None:
    async with provider(await world()) as corp:
        await corp.user("ana@example.org")
        eve = await corp.user("eve@example.org")
        taken: list[Json] = [
            {"userName": "ANA@example.org"},
            {"emails": [{"value": "ana@example.org", "primary": True}]},
        ]
        for value in taken:
            answer = await corp.patch(f"/Users/{eve['id']}", {"op": "replace", "value": value})
            assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")
        assert corp.person("eve@example.org").id != corp.person("ana@example.org").id


@pytest.mark.parametrize("name", ["ana@example.org", "ana"])
@pytest.mark.parametrize("gone", [True, False])
async def test_whoever_gets_a_name_that_was_another_s_before_does_not_become_that_person(
    name: str, *, gone: bool
) -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        first = await corp.user(name)
        await corp.group("jittrust-responder", first)
        await corp.patch(f"/Users/{first['id']}", {"op": "replace", "path": "userName", "value": "married@example.org"})
        before = corp.person("married@example.org")
        if gone:
            await corp.send("DELETE", f"/Users/{first['id']}")

        await corp.user(name)

        assert len(corp.persons()) == 3
        newest = next(one for one in corp.persons() if one.source == "scim" and one.id != before.id)
        assert (newest.role, newest.state) == (Role.NONE, IdentityState.ACTIVE)
        assert corp.person("married@example.org").id == before.id


async def test_a_user_never_stands_for_an_agent() -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        await corp.world.broker.driving.identities.enrol(
            NewIdentity(
                SubjectKind.AGENT,
                "/agent/a",
                owner="email:root@example.org",
                names=("email:bot@example.org",),
                by="cli",
            )
        )
        answer = await corp.send("POST", "/Users", {"schemas": [USER], "userName": "bot@example.org"})
        assert answer.status_code == 409


@pytest.mark.parametrize(
    "name",
    [
        "jittrust-adm\u0131n",
        "jittrust-admin\u200b",
        "jittrust\u2010admin",
        "jittrust-admins",
        "x-jittrust-admin",
        "admin",
        "jittrust_admin",
    ],
)
async def test_a_group_that_only_looks_like_the_admins_gives_nothing(name: str) -> None:
    async with provider(await world()) as corp:
        eve = await corp.user("eve@example.org")
        answer = await corp.send(
            "POST", "/Groups", {"schemas": [GROUP], "displayName": name, "members": [{"value": eve["id"]}]}
        )
        assert answer.status_code in {201, 400}
        assert corp.person("eve@example.org").role is Role.NONE


@pytest.mark.parametrize(
    "member", ["nobody", "group-1", "../user-1", "", "/person/root", "spiffe://jittrust.test/person/root"]
)
async def test_only_users_who_are_there_are_members(member: str) -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        answer = await corp.send(
            "POST", "/Groups", {"schemas": [GROUP], "displayName": "jittrust-admin", "members": [{"value": member}]}
        )
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidValue")


@pytest.mark.parametrize(
    "address",
    [
        "/Users/../Groups/group-1",
        "/Users/%2e%2e/Groups",
        "/Users//",
        "/Users/a/b",
        "/users",
        "/Users/%00",
        "/Users/\u202e",
        "/Schemas/../Users",
        "/Users/" + "x" * 5000,
    ],
)
async def test_an_address_is_taken_as_it_is_written(address: str) -> None:
    async with provider(await world()) as corp:
        await corp.user("ana@example.org")
        answer = await corp.send("GET", address)
        assert answer.status_code in {200, 404}
        if answer.status_code == 200:
            assert "//" in address or ".." in address


@pytest.mark.parametrize(
    "text",
    [
        " or ".join(f'title eq "{n}"' for n in range(90)),
        "not (" * 60 + 'title eq "a"' + ")" * 60,
        'title co "' + "a" * 1900 + '"',
        " and ".join('emails[value co "a" or value co "b"]' for _ in range(40)),
        'userName eq "\\ud800"',
        'userName eq "a',
        "userName eq a",
        'password eq "x"',
        'password sw "a"',
        "urn:x:y eq 1",
        'a.b.c.d eq "x"',
        'userName eq "a" or',
        "",
        " ",
    ],
)
async def test_a_filter_never_brings_the_directory_down_nor_tells_a_password(text: str) -> None:
    async with provider(await world()) as corp:
        kept = [
            DirectoryUser(
                f"u{i}",
                f"spiffe://x/{i}",
                f"u{i}",
                "",
                active=True,
                document=f'{{"userName":"u{i}","title":"{"a" * 500}"}}',
            )
            for i in range(300)
        ]
        await corp.world.broker.state.change([Keep(one) for one in kept], [])
        start = time.perf_counter()
        answer = await corp.http.get(f"{BASE}/Users", params={"filter": text})
        assert answer.status_code in {200, 400}
        assert time.perf_counter() - start < 5
        if "password" in text:
            assert answer.status_code == 400 or answer.json()["totalResults"] == 0


async def test_of_a_hundred_who_take_one_name_at_once_one_gets_it() -> None:
    async with provider(await world()) as corp:
        body: Json = {"schemas": [USER], "userName": "ana@example.org"}
        answers = await asyncio.gather(*(corp.send("POST", "/Users", body) for _ in range(100)))
        assert sorted(one.status_code for one in answers) == [201, *[409] * 99]
        assert len(corp.persons()) == 1


async def test_of_many_changes_to_a_group_at_once_none_is_lost() -> None:
    async with provider(await world()) as corp:
        users = [await corp.user(f"u{n}@example.org") for n in range(12)]
        group = await corp.group("g")
        add: list[dict[str, Json]] = [
            {"op": "add", "path": "members", "value": [{"value": one["id"]}]} for one in users
        ]
        tagged = (await corp.send("GET", f"/Groups/{group['id']}")).headers["etag"]

        async def until_taken(operation: dict[str, Json]) -> None:
            while (await corp.patch(f"/Groups/{group['id']}", operation)).status_code != 200:
                pass

        await asyncio.gather(*(until_taken(one) for one in add))
        assert len((await corp.send("GET", f"/Groups/{group['id']}")).json()["members"]) == 12
        late = await corp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"}, if_match=tagged)
        assert late.status_code == 412


async def test_t39_who_is_deleted_and_made_again_gets_neither_role_nor_agents_back() -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        eve = await corp.user("eve@example.org")
        await corp.group("jittrust-admin", eve)
        await corp.world.broker.driving.identities.enrol(
            NewIdentity(SubjectKind.AGENT, "/agent/e", owner="email:eve@example.org", by="cli")
        )
        for _ in range(5):
            await corp.send("DELETE", f"/Users/{eve['id']}")
            eve = await corp.user("eve@example.org")
        person = corp.person("eve@example.org")
        agent = (await corp.world.broker.driving.identities.show("/agent/e")).identity
        assert (person.state, person.role, agent.state) == (IdentityState.ACTIVE, Role.NONE, IdentityState.SUSPENDED)
        assert sum(name.startswith("scim:") for name in person.names) == 1


@dataclass
class Breaking(MemoryCommit):
    """A store that fails at one commit, as when the disk is full or the process dies there."""

    breaks_at: int = -1
    commits: int = field(default=0)

    def __init__(self) -> None:
        super().__init__(signer=SIGNER, origin="jittrust.test/world")
        self.breaks_at, self.commits = -1, 0

    async def commit(self, change: Change) -> Committed:
        self.commits += 1
        if self.commits == self.breaks_at:
            raise UnavailableError("store_unavailable", "The disk is full.")
        return await super().commit(change)


@pytest.mark.parametrize("step", ["deactivate", "delete", "activate", "leave group", "enter group"])
@pytest.mark.parametrize("broken", [1, 2, 3, 4])
async def test_t20_a_crash_between_two_steps_leaves_nobody_with_more_and_the_same_request_ends_it(
    step: str, broken: int
) -> None:
    store = Breaking()
    async with provider(await World(store, store).open()) as corp:
        await corp.admin("root")
        eve = await corp.user("eve@example.org")
        group = await corp.group("jittrust-admin", *([eve] if step == "leave group" else []))
        at, members = f"/Users/{eve['id']}", f"/Groups/{group['id']}"
        if step == "activate":
            await corp.patch(at, {"op": "replace", "path": "active", "value": False})

        async def send() -> httpx2.Response:
            if step == "delete":
                return await corp.send("DELETE", at)
            if step.endswith("group"):
                op = "add" if step == "enter group" else "remove"
                value: Json = [{"value": eve["id"]}]
                return await corp.patch(members, {"op": op, "path": "members", "value": value})
            return await corp.patch(at, {"op": "replace", "path": "active", "value": step == "activate"})

        store.breaks_at = store.commits + broken
        first = await send()
        person = corp.person("eve@example.org")
        groups = corp.world.broker.state.of_kind(DirectoryGroup)
        user = corp.world.broker.state.of_kind(DirectoryUser).get(eve["id"])
        if user is None or not user.active:
            assert person.state is IdentityState.SUSPENDED
        if eve["id"] not in groups[group["id"]].members:
            assert person.role is Role.NONE
        if first.status_code == 503:
            assert first.headers["retry-after"]
            assert (await send()).status_code in {200, 204, 404}
        person = corp.person("eve@example.org")
        assert person.state is (IdentityState.SUSPENDED if step in {"deactivate", "delete"} else IdentityState.ACTIVE)
        assert person.role is (Role.ADMIN if step == "enter group" else Role.NONE)


async def test_a_group_that_could_not_be_stored_takes_no_role_away() -> None:
    store = Breaking()
    async with provider(await World(store, store).open()) as corp:
        await corp.admin("root")
        eve = await corp.user("eve@example.org")
        group = await corp.group("jittrust-admin", eve)
        store.breaks_at = store.commits + 2

        answer = await corp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"})

        assert answer.status_code == 503
        assert corp.person("eve@example.org").role is Role.ADMIN


async def test_a_crash_while_a_user_is_made_leaves_a_person_whom_the_next_request_takes_up() -> None:
    for broken, name in [(1, "eve@example.org"), (2, "eve@example.org"), (2, "eve")]:
        store = Breaking()
        async with provider(await World(store, store).open()) as corp:
            store.breaks_at = store.commits + broken
            body: Json = {"schemas": [USER], "userName": name}
            assert (await corp.send("POST", "/Users", body)).status_code == 503
            assert (await corp.send("POST", "/Users", body)).status_code == 201
            assert len(corp.persons()) == 1
            assert sum(one.startswith("scim:") for one in corp.persons()[0].names) == 1


async def test_no_error_says_what_a_secret_attribute_held() -> None:
    async with provider(await world()) as corp:
        bad: list[Json] = [
            {"schemas": [USER], "userName": "a", "password": {"x": "canary-1"}},
            {"schemas": [USER], "userName": "a", "password": ["canary-1"]},
            {"schemas": [PATCH], "Operations": [{"op": "add", "path": "password", "value": {"x": "canary-1"}}]},
        ]
        for body in bad:
            answer = await corp.send("POST", "/Users", body)
            assert answer.status_code == 400
            assert "canary" not in answer.text
    assert "canary" not in json.dumps(await corp.world.records())


def test_the_models_of_scim_are_not_imported_before_the_first_request() -> None:
    code = "import sys, jittrust.api.scim.app; sys.exit(any(name.startswith('scim2') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
