"""What a directory's users and groups do to people, and what the wire of SCIM takes and gives."""

from __future__ import annotations

import time

import pytest
from tests.model.world import World, world
from tests.scim import GROUP, PATCH, TOKEN, USER, Provider, provider

from jittrust.core.errors import ConflictError, NotFoundError, RefusedError
from jittrust.core.identity.directory import DirectoryGroup, DirectoryUser, emails_of, path_segment, role_of
from jittrust.core.identity.identity import IdentityState, Role
from jittrust.core.model import Json, SubjectKind
from jittrust.ports.commit import Keep
from jittrust.ports.identities import IdentityChange, NewIdentity

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


async def test_a_new_user_is_a_person_known_by_address_and_directory_id() -> None:
    async with provider(await world()) as corp:
        made = await corp.user("Ana@example.org", displayName="Ana", externalId="e-1")

        person = corp.person("ana@example.org")
        assert person.state is IdentityState.ACTIVE
        assert person.source == "scim"
        assert set(person.names) == {f"scim:{made['id']}", "email:ana@example.org"}
        assert (made["active"], made["meta"]["version"], made["externalId"]) == (True, 'W/"1"', "e-1")


async def test_a_deactivated_user_is_a_leaver_whose_agents_stop_and_stay_stopped_when_the_person_comes_back() -> None:
    async with provider(await world()) as corp:
        made = await corp.user("ana@example.org")
        agent = await corp.world.broker.driving.identities.enrol(
            NewIdentity(SubjectKind.AGENT, "/agent/a", owner="email:ana@example.org", by="cli")
        )

        gone = await corp.patch(f"/Users/{made['id']}", {"op": "Replace", "path": "active", "value": "False"})
        assert (gone.status_code, gone.json()["active"]) == (200, False)
        assert corp.person("ana@example.org").state is IdentityState.SUSPENDED
        assert corp.person("ana@example.org").why == "owner_left"
        left = (await corp.world.broker.driving.identities.show(agent.id)).identity
        assert (left.state, left.why) == (IdentityState.SUSPENDED, "owner_left")

        back = await corp.patch(f"/Users/{made['id']}", {"op": "Replace", "value": {"active": "True"}})
        assert back.json()["active"] is True
        assert corp.person("ana@example.org").state is IdentityState.ACTIVE
        still = (await corp.world.broker.driving.identities.show(agent.id)).identity
        assert still.state is IdentityState.SUSPENDED


async def test_a_deleted_user_is_a_leaver_without_role_and_out_of_every_group() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        group = await corp.group("jittrust-responder", ana)
        assert corp.person("ana@example.org").role is Role.RESPONDER

        assert (await corp.send("DELETE", f"/Users/{ana['id']}")).status_code == 204

        person = corp.person("ana@example.org")
        assert (person.state, person.role) == (IdentityState.SUSPENDED, Role.NONE)
        assert not any(name.startswith("scim:") for name in person.names)
        assert "members" not in (await corp.send("GET", f"/Groups/{group['id']}")).json()
        assert (await corp.send("GET", f"/Users/{ana['id']}")).status_code == 404


async def test_who_was_deleted_and_comes_again_is_the_same_person_and_starts_without_a_role() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        await corp.group("jittrust-admin", ana)
        await corp.admin("root")
        await corp.send("DELETE", f"/Users/{ana['id']}")

        again = await corp.user("ana@example.org")

        person = corp.person("ana@example.org")
        assert again["id"] != ana["id"]
        assert (person.state, person.role) == (IdentityState.ACTIVE, Role.NONE)


async def test_a_user_adopts_the_person_of_the_same_address_and_never_of_the_same_display() -> None:
    async with provider(await world()) as corp:
        root = await corp.admin("root")
        await corp.user("root@example.org", displayName="Root")
        await corp.user("other@example.org", displayName=root.display or "Root")

        assert len(corp.persons()) == 2
        assert corp.person("root@example.org").id == root.id
        assert corp.person("root@example.org").role is Role.ADMIN


async def test_only_the_user_name_and_the_primary_address_say_who_somebody_is() -> None:
    def user(document: str) -> DirectoryUser:
        return DirectoryUser("u", "", "Ana@Example.org", "", active=True, document=document)

    assert emails_of(user('{"emails":[{"value":"x@a.org"},{"value":"y@a.org"}]}')) == ("ana@example.org",)
    primary = user('{"emails":[{"value":"x@a.org"},{"value":"Y@a.org","primary":true}]}')
    assert emails_of(primary) == ("ana@example.org", "y@a.org")
    assert emails_of(user('{"emails":[{"value":"z@a.org"}]}')) == ("ana@example.org", "z@a.org")


async def test_two_users_never_stand_for_one_person() -> None:
    async with provider(await world()) as corp:
        await corp.user("ana@example.org")
        other: Json = {
            "schemas": [USER],
            "userName": "impostor",
            "emails": [{"value": "ana@example.org", "primary": True}],
        }

        answer = await corp.send("POST", "/Users", other)

        assert (answer.status_code, answer.json()["scimType"]) == (409, "uniqueness")
        assert len(corp.persons()) == 1


async def test_user_names_are_unique_in_any_case_and_external_ids_as_written() -> None:
    async with provider(await world()) as corp:
        await corp.user("ana@example.org", externalId="e1")
        for body in (
            {"userName": "ANA@example.org"},
            {"userName": "new@example.org", "externalId": "e1"},
        ):
            answer = await corp.send("POST", "/Users", {"schemas": [USER], **body})
            assert (answer.status_code, answer.json()["scimType"], answer.json()["status"]) == (
                409,
                "uniqueness",
                "409",
            )
        await corp.user("new@example.org", externalId="E1")


async def test_the_groups_of_roles_give_and_take_them() -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        ana, bea = await corp.user("ana@example.org"), await corp.user("bea@example.org")
        admins = await corp.group("JitTrust-Admin", ana)
        viewers = await corp.group("jittrust-viewer", ana, bea)
        assert corp.person("ana@example.org").role is Role.ADMIN
        assert corp.person("bea@example.org").role is Role.VIEWER

        path = f'members[value eq "{ana["id"]}"]'
        assert (await corp.patch(f"/Groups/{admins['id']}", {"op": "remove", "path": path})).status_code == 200
        assert corp.person("ana@example.org").role is Role.VIEWER
        assert (await corp.send("DELETE", f"/Groups/{viewers['id']}")).status_code == 204
        assert corp.person("ana@example.org").role is Role.NONE
        assert corp.person("root@example.org").role is Role.ADMIN


async def test_a_group_that_gets_or_loses_a_role_s_name_gives_or_takes_the_role() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        group = await corp.group("plain", ana)
        for name, role in (
            ("jittrust-responder", Role.RESPONDER),
            ("jittrust-viewer", Role.VIEWER),
            ("plain", Role.NONE),
        ):
            operation: dict[str, Json] = {"op": "replace", "path": "displayName", "value": name}
            assert (await corp.patch(f"/Groups/{group['id']}", operation)).status_code == 200
            assert corp.person("ana@example.org").role is role


async def test_what_is_not_possible_says_what_is() -> None:
    async with provider(await world()) as corp:
        for method, path, allow in (
            ("PUT", "/Users", "GET, POST"),
            ("POST", "/Users/x", "GET, PUT, PATCH, DELETE"),
            ("PUT", "/Schemas", "GET"),
        ):
            answer = await corp.send(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, allow)
        for path in ("/Bulk", "/Me", "/Users/.search", "/.search"):
            assert (await corp.send("POST", path, {})).status_code == 501
        config = (await corp.send("GET", "/ServiceProviderConfig")).json()
        assert (config["bulk"]["supported"], config["patch"]["supported"], config["filter"]["maxResults"]) == (
            False,
            True,
            200,
        )


async def test_a_role_given_here_stays_with_whoever_is_in_no_group_of_roles() -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        root = await corp.user("root@example.org")
        group = await corp.group("everybody", root)
        await corp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"})

        assert corp.person("root@example.org").role is Role.ADMIN


async def test_the_last_admin_can_neither_be_put_out_of_the_group_nor_deactivated() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        group = await corp.group("jittrust-admin", ana)

        for answer in (
            await corp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"}),
            await corp.send("DELETE", f"/Groups/{group['id']}"),
            await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "path": "active", "value": False}),
            await corp.send("DELETE", f"/Users/{ana['id']}"),
        ):
            assert answer.status_code == 409, answer.text
            assert "scimType" not in answer.json()
        assert corp.person("ana@example.org").role is Role.ADMIN
        assert (await corp.send("GET", f"/Users/{ana['id']}")).json()["active"] is True
        assert len((await corp.send("GET", f"/Groups/{group['id']}")).json()["members"]) == 1


async def test_a_group_that_would_lose_its_last_admin_loses_nobody() -> None:
    async with provider(await world()) as corp:
        ana, bea = await corp.user("ana@example.org"), await corp.user("bea@example.org")
        group = await corp.group("jittrust-admin", ana, bea)

        assert (await corp.patch(f"/Groups/{group['id']}", {"op": "remove", "path": "members"})).status_code == 409

        assert {one.role for one in corp.persons()} == {Role.ADMIN}


async def test_whom_an_admin_suspended_no_directory_brings_back() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        await corp.world.broker.driving.identities.change(
            "email:ana@example.org", IdentityChange(to=IdentityState.SUSPENDED, why="incident", by="root")
        )
        for active in (False, True):
            operation: dict[str, Json] = {"op": "replace", "path": "active", "value": active}
            assert (await corp.patch(f"/Users/{ana['id']}", operation)).status_code == 200
        await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "path": "displayName", "value": "A."})
        await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "path": "active", "value": True})

        person = corp.person("ana@example.org")
        assert (person.state, person.why) == (IdentityState.SUSPENDED, "incident")


async def test_a_new_user_brings_nobody_back_whom_an_admin_suspended() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        await corp.world.broker.driving.identities.change(
            "email:ana@example.org", IdentityChange(to=IdentityState.SUSPENDED, why="incident", by="root")
        )
        assert (await corp.send("DELETE", f"/Users/{ana['id']}")).status_code == 204

        again = await corp.send("POST", "/Users", {"schemas": [USER], "userName": "ana@example.org"})

        assert again.status_code == 409
        assert corp.person("ana@example.org").state is IdentityState.SUSPENDED


async def test_a_group_entered_while_away_gives_its_role_on_the_way_back() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org", active=False)
        await corp.group("jittrust-viewer", ana)
        assert corp.person("ana@example.org").role is Role.NONE

        await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "path": "active", "value": True})

        assert corp.person("ana@example.org").role is Role.VIEWER


async def test_whoever_leaves_a_group_as_it_becomes_one_of_roles_loses_nothing() -> None:
    async with provider(await world()) as corp:
        await corp.admin("root")
        root, ana = await corp.user("root@example.org"), await corp.user("ana@example.org")
        group = await corp.group("plain", root)
        body: Json = {"schemas": [GROUP], "displayName": "jittrust-viewer", "members": [{"value": ana["id"]}]}

        assert (await corp.send("PUT", f"/Groups/{group['id']}", body)).status_code == 200

        assert (corp.person("root@example.org").role, corp.person("ana@example.org").role) == (Role.ADMIN, Role.VIEWER)


async def test_saying_nothing_about_active_brings_no_leaver_back() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org", active=False)
        assert corp.person("ana@example.org").state is IdentityState.SUSPENDED

        put = await corp.send(
            "PUT", f"/Users/{ana['id']}", {"schemas": [USER], "userName": "ana@example.org", "title": "x"}
        )
        removed = await corp.patch(f"/Users/{ana['id']}", {"op": "remove", "path": "active"})

        assert (put.status_code, put.json()["active"], removed.status_code) == (200, False, 200)
        assert corp.person("ana@example.org").state is IdentityState.SUSPENDED


async def test_a_new_address_takes_the_place_of_the_old_one() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org", displayName="Ana")
        await corp.patch(
            f"/Users/{ana['id']}",
            {"op": "replace", "value": {"userName": "ana.b@example.org", "displayName": "Ana B."}},
        )

        person = corp.person("ana.b@example.org")
        assert "email:ana@example.org" not in person.names
        assert person.display == "Ana B."


async def test_entras_ways_of_patching_are_understood() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org", emails=[{"type": "work", "value": "ana@example.org", "primary": True}])
        at = f"/Users/{ana['id']}"

        hidden = 'emails[type eq "work"].value'
        answer = await corp.patch(
            at,
            {
                "op": "Add",
                "value": {"name.givenName": "Ana", hidden: "ana.b@example.org", f"{ENTERPRISE}:department": "R"},
            },
        )
        assert answer.status_code == 200, answer.text
        seen = answer.json()
        assert seen["name"] == {"givenName": "Ana"}
        assert seen["emails"][0]["value"] == "ana.b@example.org"
        assert seen[ENTERPRISE] == {"department": "R"}
        answer = await corp.patch(at, {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+1"})
        assert answer.json()["phoneNumbers"] == [{"type": "mobile", "value": "+1"}]

        group = await corp.group("g")
        answer = await corp.patch(
            f"/Groups/{group['id']}", {"op": "Add", "path": "members", "value": [{"value": ana["id"]}]}
        )
        assert [one["value"] for one in answer.json()["members"]] == [ana["id"]]
        answer = await corp.patch(
            f"/Groups/{group['id']}", {"op": "Remove", "path": "members", "value": [{"value": ana["id"]}]}
        )
        assert "members" not in answer.json()


async def test_oktas_ways_of_patching_are_understood() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        answer = await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "value": {"active": False}})
        assert answer.json()["active"] is False
        group = await corp.group("g")
        answer = await corp.patch(
            f"/Groups/{group['id']}",
            {"op": "replace", "value": {"id": group["id"], "displayName": "h", "members": [{"value": ana["id"]}]}},
        )
        assert (answer.status_code, answer.json()["displayName"]) == (200, "h"), answer.text
        assert [one["value"] for one in answer.json()["members"]] == [ana["id"]]
        answer = await corp.patch(
            f"/Groups/{group['id']}", {"op": "replace", "value": {"id": "another", "displayName": "i"}}
        )
        assert (answer.status_code, answer.json()["scimType"]) == (400, "mutability")


@pytest.mark.parametrize(
    ("operation", "status", "scim_type"),
    [
        ({"op": "remove"}, 400, "noTarget"),
        ({"op": "jump", "path": "title", "value": "x"}, 400, "invalidSyntax"),
        ({"op": "replace", "path": "id", "value": "x"}, 400, "mutability"),
        ({"op": "remove", "path": "userName"}, 400, "mutability"),
        ({"op": "replace", "path": "emails[type eq", "value": "x"}, 400, "invalidPath"),
        ({"op": "replace", "value": "x"}, 400, "invalidValue"),
        ({"op": "replace", "path": "active", "value": "perhaps"}, 400, "invalidValue"),
        ({"op": "replace", "path": ["title"], "value": "x"}, 400, None),
        ({"op": "replace", "path": "groups", "value": [{"value": "group-1"}]}, 400, "mutability"),
    ],
)
async def test_a_patch_that_cannot_be_carried_out_says_why_and_changes_nothing(
    operation: dict[str, Json], status: int, scim_type: str | None
) -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        answer = await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "path": "title", "value": "boss"}, operation)

        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/scim+json"
        assert answer.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
        assert scim_type is None or answer.json().get("scimType") == scim_type, answer.text
        assert (await corp.send("GET", f"/Users/{ana['id']}")).json()["meta"]["version"] == 'W/"1"'


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('userName eq "ANA@example.org"', ["ana@example.org"]),
        ('externalId eq "E1"', []),
        ('externalId eq "e1"', ["ana@example.org"]),
        ("active eq false", ["bea@example.org"]),
        ('userName sw "a" and active eq true', ["ana@example.org"]),
        ('userName eq "ana@example.org" or userName eq "bea@example.org"', ["ana@example.org", "bea@example.org"]),
        ('emails[type eq "work" and value co "bea"]', ["bea@example.org"]),
        ('not (userName sw "a")', ["bea@example.org", "cleo"]),
        ("title pr", ["cleo"]),
        ('groups.value eq "nobody"', []),
        ('displayName eq "Cleo"', ["cleo"]),
        ('meta.created gt "2020-01-01T00:00:00Z" and title pr', ["cleo"]),
        (f'{USER}:userName eq "cleo"', ["cleo"]),
        (f'{ENTERPRISE}:department eq "R"', ["bea@example.org"]),
    ],
)
async def test_filters_choose_users(text: str, names: list[str]) -> None:
    async with provider(await world()) as corp:
        await corp.user("ana@example.org", externalId="e1")
        await corp.user(
            "bea@example.org",
            active=False,
            emails=[{"type": "work", "value": "bea@example.org"}],
            **{ENTERPRISE: {"department": "R"}},
        )
        await corp.user("cleo", displayName="Cleo", title="x")

        answer = await corp.http.get("http://localhost/scim/v2/Users", params={"filter": text})

        assert answer.status_code == 200, answer.text
        assert [one["userName"] for one in answer.json()["Resources"]] == names
        assert answer.json()["totalResults"] == len(names)


@pytest.mark.parametrize(
    "text", ["userName", 'userName xx "a"', "(" * 100, 'nothing eq "a"', "active gt true", "x" * 3000]
)
async def test_a_filter_that_cannot_be_read_is_refused_as_one(text: str) -> None:
    async with provider(await world()) as corp:
        answer = await corp.http.get("http://localhost/scim/v2/Users", params={"filter": text})
        assert (answer.status_code, answer.json()["scimType"]) == (400, "invalidFilter")


async def test_groups_are_found_by_name_and_by_member() -> None:
    async with provider(await world()) as corp:
        ana, bea = await corp.user("ana@example.org"), await corp.user("bea@example.org")
        one, two = await corp.group("One", ana, bea), await corp.group("Two", bea)
        for text, ids in (
            ('displayName eq "one"', [one["id"]]),
            (f'members[value eq "{ana["id"]}"]', [one["id"]]),
            (f'members.value eq "{bea["id"]}"', [one["id"], two["id"]]),
            (f'id eq "{two["id"]}" and members eq "{bea["id"]}"', [two["id"]]),
        ):
            answer = await corp.http.get("http://localhost/scim/v2/Groups", params={"filter": text})
            assert [found["id"] for found in answer.json()["Resources"]] == ids, text
        shown = (await corp.send("GET", f"/Users/{bea['id']}")).json()["groups"]
        assert [group["display"] for group in shown] == ["One", "Two"]
        without = await corp.send("GET", f"/Groups/{one['id']}?excludedAttributes=members")
        assert "members" not in without.json()
        alone = await corp.send("GET", f"/Groups/{one['id']}?attributes=displayName")
        assert set(alone.json()) == {"schemas", "id", "displayName"}


async def test_pages_go_through_all_users_once() -> None:
    async with provider(await world()) as corp:
        for number in range(7):
            await corp.user(f"u{number}@example.org")
        seen: list[str] = []
        for start in (1, 4, 7, 10):
            page = (await corp.send("GET", f"/Users?startIndex={start}&count=3")).json()
            assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (
                7,
                start,
                len(page["Resources"]),
            )
            seen += [one["userName"] for one in page["Resources"]]
        assert seen == [f"u{number}@example.org" for number in range(7)]
        assert (await corp.send("GET", "/Users?count=0")).json()["Resources"] == []
        assert (await corp.send("GET", "/Users?startIndex=-5&count=100000")).json()["itemsPerPage"] == 7
        assert (await corp.send("GET", "/Users?count=x")).status_code == 400


async def test_entity_tags_say_whether_something_changed() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org")
        at, title = f"/Users/{ana['id']}", {"op": "replace", "path": "title", "value": "x"}
        assert (await corp.send("GET", at, if_none_match='W/"1"')).status_code == 304
        assert (await corp.patch(at, title, if_match='W/"7"')).status_code == 412
        changed = await corp.patch(at, title, if_match='W/"1"')
        assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')
        again = await corp.patch(at, title, if_match='W/"2"')
        assert again.headers["etag"] == 'W/"2"', "nothing changed, so nothing was written"
        assert (await corp.send("GET", at, if_none_match='W/"1"')).status_code == 200
        assert (await corp.send("DELETE", at, if_match='W/"1"')).status_code == 412
        assert (await corp.send("DELETE", at, if_match="*")).status_code == 204


async def test_what_changed_meanwhile_is_told_and_what_is_not_there_is_not_found() -> None:
    async with provider(await world()) as corp:
        await corp.user("ana@example.org")
        directory = corp.world.broker.inner.directory
        user = (await directory.users())[0]
        await corp.patch(f"/Users/{user.id}", {"op": "replace", "path": "title", "value": "x"})
        with pytest.raises(ConflictError) as stale:
            await directory.put(user, "corp")
        assert stale.value.code == "stale_revision"
        with pytest.raises(NotFoundError) as unknown:
            await directory.put(DirectoryGroup("group-9", "g", "", (), "{}"), "corp")
        assert unknown.value.code == "directory_unknown"


async def test_a_token_is_known_by_its_keyed_hash_alone() -> None:
    async with provider(await world()) as corp:
        directory = corp.world.broker.inner.directory
        assert await directory.authorised(TOKEN) == "corp"
        for wrong in ("", "x", TOKEN + " ", TOKEN[:-1], "x" * 5000, "\udc80"):
            with pytest.raises(RefusedError) as refused:
                await directory.authorised(wrong)
            assert refused.value.code == "scim_unauthorised"


async def test_the_token_that_a_person_prints_opens_the_directory_until_the_next_one_is_printed() -> None:
    w = await world()
    sources, directory = w.broker.driving.sources, w.broker.inner.directory
    first = await sources.directory_token("corp", "root")
    assert await directory.authorised(first) == "corp"

    second = await sources.directory_token("corp", "root")

    assert await directory.authorised(second) == "corp"
    with pytest.raises(RefusedError):
        await directory.authorised(first)


async def test_every_change_is_recorded_with_who_sent_it_and_without_what_the_user_wrote() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org", password="hunter2-canary", title="canary-title")
        await corp.group("g", ana)
        await corp.send("DELETE", f"/Users/{ana['id']}")

        records = await corp.world.records("identity")
        assert [one["what"] for one in records if str(one["what"]).startswith("directory_")] == [
            "directory_user_created",
            "directory_group_created",
            "directory_user_removed",
            "directory_group_changed",
        ]
        assert {one["by"] for one in records} == {"scim:corp"}
        assert "canary" not in str(await corp.world.records())


async def test_a_password_is_neither_kept_nor_shown() -> None:
    async with provider(await world()) as corp:
        ana = await corp.user("ana@example.org", password="hunter2-canary")
        await corp.patch(f"/Users/{ana['id']}", {"op": "replace", "path": "password", "value": "hunter3-canary"})
        assert "canary" not in str(corp.world.broker.state.kept)
        assert "canary" not in (await corp.send("GET", f"/Users/{ana['id']}?attributes=password")).text


async def test_the_directory_is_the_same_after_a_restart() -> None:
    first = await world()
    async with provider(first) as corp:
        ana = await corp.user("ana@example.org")
        await corp.group("jittrust-viewer", ana)
    second = await World(first.store, first.ledger, names=first.names).open()
    async with provider(second) as corp:
        assert (await corp.send("GET", f"/Users/{ana['id']}")).json()["groups"][0]["display"] == "jittrust-viewer"
        answer = await corp.send("POST", "/Users", {"schemas": [USER], "userName": "ANA@example.org"})
        assert answer.status_code == 409


async def many(corp: Provider, count: int) -> list[str]:
    """Users as if they had come one by one."""
    kept = [
        DirectoryUser(
            f"u{i:06}",
            f"spiffe://x/person/{i}",
            f"u{i}@example.org",
            f"e{i}",
            active=True,
            document=f'{{"userName":"u{i}@example.org","title":"t{i}"}}',
        )
        for i in range(count)
    ]
    await corp.world.broker.state.change([Keep(one) for one in kept], [])
    return [one.id for one in kept]


async def test_ten_thousand_users_and_a_group_of_them_are_served_without_a_stall() -> None:
    async with provider(await world()) as corp:
        ids = await many(corp, 10_000)
        body: Json = {"schemas": [GROUP], "displayName": "all", "members": [{"value": one} for one in ids]}

        async def took(method: str, path: str, body: Json = None) -> float:
            start = time.perf_counter()
            answer = await corp.send(method, path, body)
            assert answer.status_code in {200, 201}, answer.text
            return time.perf_counter() - start

        await took("GET", "/Users?count=1")
        times = {
            "page": await took("GET", "/Users?count=200&startIndex=9000"),
            "by name": await took("GET", '/Users?filter=userName eq "U5000@example.org"'),
            "by text": await took("GET", '/Users?filter=title eq "t77"'),
            "group": await took("POST", "/Groups", body),
        }
        group = (await corp.send("GET", "/Groups?count=1")).json()["Resources"][0]["id"]
        remove: Json = {
            "schemas": [PATCH],
            "Operations": [{"op": "remove", "path": f'members[value eq "{one}"]'} for one in ids[:500]],
        }
        times["remove 500 members"] = await took("PATCH", f"/Groups/{group}", remove)
        print(times)
        assert times["by name"] < 1
        assert max(times.values()) < 8


def test_names_of_any_script_give_safe_segments_and_two_names_never_the_same() -> None:
    names = [
        "ana",
        "Ana",
        "ana b",
        "ana_b",
        "ana_20_b",
        "é",
        "e\u0301",
        "_c3a9_",
        "日本",
        ".",
        "..",
        "",
        "a/b",
        "a\x00",
        "x" * 101,
        "x" * 102,
    ]
    made = [path_segment(name) for name in names]
    assert len(set(made)) == len(names)
    assert all(one and one.isascii() and one not in {".", ".."} and "/" not in one and len(one) <= 100 for one in made)
    assert path_segment("ana@example.org") == "ana_40_example.org"


def test_the_greatest_role_of_all_groups_counts() -> None:
    assert role_of(["x", "jittrust-viewer", "JITTRUST-RESPONDER"]) is Role.RESPONDER
    assert role_of(["jittrust-admins"]) is Role.NONE
