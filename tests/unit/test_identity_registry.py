"""The registry says who exists, who answers for whom, and how each stands; and decisions go by it at every call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest
from tests.model.world import MAIL, TOOLS, World, allowing, world

from jittrust.broker.identity.identities import IdentityBook
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import IDENTITY_MOVES, Blueprint, Identity, IdentityState, Role
from jittrust.core.identity.lineage import LINEAGE_MOST, ROOTS_MOST, checked_roots, joined_roots
from jittrust.core.identity.manifest import manifest_digest
from jittrust.core.identity.standing import fits
from jittrust.core.mission.states import MissionState
from jittrust.core.model import SubjectKind
from jittrust.ports.decision_point import Passage
from jittrust.ports.grants import IssuedGrant, NewGrant
from jittrust.ports.identities import IdentityChange, IdentityQuery, IdentityView, NewIdentity
from jittrust.ports.registry import Attachment

DOMAIN = "spiffe://jittrust.test"
CODER = f"{DOMAIN}/agent/coder"
ADA = f"{DOMAIN}/person/ada"
ONE, OTHER = "1" * 64, "2" * 64


async def enrol(there: World, path: str, kind: SubjectKind = SubjectKind.AGENT, **more: object) -> Identity:
    """Somebody is registered; an agent answers to Ada unless told otherwise."""
    if kind is not SubjectKind.PERSON:
        more.setdefault("owner", "/person/ada")
    return await there.broker.driving.identities.enrol(NewIdentity(kind, path, by="root", **more))  # type: ignore[arg-type]


async def change(there: World, name: str, **more: object) -> IdentityView:
    """An admin changes somebody."""
    return await there.broker.driving.identities.change(name, IdentityChange(by="root", **more))  # type: ignore[arg-type]


async def peopled(**more: object) -> World:
    """A world with Ada (whose local user is `ada`), an admin, and Ada's agent."""
    there = await world(**more)
    await enrol(there, "/person/root", SubjectKind.PERSON, role=Role.ADMIN)
    await enrol(there, "/person/ada", SubjectKind.PERSON, names=("os:ada", "email:ada@example.org"))
    await enrol(there, "/agent/coder", names=("client:agent",))
    return there


def book(there: World) -> IdentityBook:
    """The registry as the rest of the broker sees it."""
    found = there.broker.driving.identities
    assert isinstance(found, IdentityBook)
    return found


def most(*tools: str, **more: object) -> Blueprint:
    """A blueprint of Ada's."""
    entries = tuple(AuthorityEntry(f"e-{tool}", f"srv/{tool}") for tool in tools)
    return replace(Blueprint("coder", "os:ada", entries, by="ada"), **more)  # type: ignore[arg-type]


async def draw(there: World, blueprint: Blueprint) -> Blueprint:
    """An admin draws a blueprint."""
    return await there.broker.driving.identities.draw(blueprint)


async def refused(code: str, doing: object) -> None:
    """What is done is refused with exactly this code."""
    with pytest.raises(JitError) as caught:
        await doing  # type: ignore[misc]
    assert caught.value.code == code


async def granted(there: World, agent: str = CODER, **more: object) -> IssuedGrant:
    """A grant for somebody."""
    new = NewGrant("ada", agent, "srv", PassBinding.DPOP, "thumb".ljust(43, "_"), **more)  # type: ignore[arg-type]
    return await there.broker.driving.grants.open(new)


async def called(
    there: World, issued: IssuedGrant, tool: str = "send_mail", text: Mapping[str, object] = MAIL
) -> tuple[Passage, str]:
    """A call with a grant: whether it went out, and the first reason."""
    told = await there.show(issued.grant.id, issued.first_pass, tool, text)  # type: ignore[arg-type]
    return told.passage, told.verdict.codes[0]


# ---- registering --------------------------------------------------------------------------------------------------------------------------


async def test_an_identity_is_found_by_its_id_its_path_and_each_of_its_names() -> None:
    there = await peopled()

    found = [book(there).find(name) for name in (CODER, "/agent/coder", "client:agent")]

    assert [one.id if one else "" for one in found] == [CODER] * 3
    assert book(there).find("agent") is None
    view = await there.broker.driving.identities.show("email:ada@example.org")
    assert (view.identity.id, view.owned) == (ADA, (CODER,))


@pytest.mark.parametrize(
    ("code", "kind", "path", "more"),
    [
        ("spiffe_id_bad", SubjectKind.AGENT, "", {}),
        ("spiffe_id_bad", SubjectKind.AGENT, "agent", {}),
        ("spiffe_id_bad", SubjectKind.AGENT, "/agent/../person/root", {}),
        ("owner_needed", SubjectKind.AGENT, "/a", {"owner": ""}),
        ("owner_needed", SubjectKind.AGENT, "/a", {"owner": "/agent/coder"}),
        ("owner_needed", SubjectKind.PERSON, "/a", {"owner": "/person/ada"}),
        ("identity_unknown", SubjectKind.AGENT, "/a", {"owner": "/person/nobody"}),
        ("blueprint_unknown", SubjectKind.AGENT, "/a", {"blueprint": "none"}),
        ("identity_exists", SubjectKind.AGENT, "/agent/coder", {}),
        ("name_taken", SubjectKind.AGENT, "/a", {"names": ("os:ada",)}),
        ("name_bad", SubjectKind.AGENT, "/a", {"names": ("ada",)}),
        ("name_bad", SubjectKind.AGENT, "/a", {"names": (f"{ADA}",)}),
        ("name_bad", SubjectKind.AGENT, "/a", {"names": ("client:a\nb",)}),
        ("name_bad", SubjectKind.AGENT, "/a", {"names": tuple(f"client:{n}" for n in range(65))}),
        ("name_bad", SubjectKind.AGENT, "/a", {"display": "\x1b[31m"}),
        ("role_bad", SubjectKind.AGENT, "/a", {"role": Role.ADMIN}),
        ("root_bad", SubjectKind.AGENT, "/a", {"roots": ("binary:abc",)}),
    ],
)
async def test_what_cannot_be_registered_is_refused_with_its_code_and_changes_nothing(
    code: str, kind: SubjectKind, path: str, more: dict[str, object]
) -> None:
    there = await peopled()
    before = len(await there.records())

    await refused(code, enrol(there, path, kind, **more))

    assert len(await there.records()) == before
    assert book(there).find("/a") is None


async def test_nobody_answers_for_others_who_is_not_there_any_more() -> None:
    there = await peopled()
    await change(there, ADA, to=IdentityState.SUSPENDED)

    await refused("owner_inactive", enrol(there, "/agent/next"))
    await refused("owner_inactive", change(there, CODER, to=IdentityState.ACTIVE))


async def test_a_retired_id_is_never_given_again_and_its_names_are_free() -> None:
    there = await peopled()
    await change(there, CODER, to=IdentityState.RETIRED)

    await refused("identity_exists", enrol(there, "/agent/coder"))
    await refused("illegal_move", change(there, CODER, to=IdentityState.ACTIVE))
    kept = book(there).find("client:agent")
    assert kept is not None
    assert kept.state is IdentityState.RETIRED
    heir = await enrol(there, "/agent/heir", names=("client:agent",))
    assert book(there).find("client:agent") == heir


async def test_names_can_be_added_and_taken_away_and_move_to_another() -> None:
    there = await peopled()
    await change(there, CODER, names=("client:new",), forget_names=("client:agent",))

    assert book(there).find("client:agent") is None
    other = await enrol(there, "/agent/other", names=("client:agent",))
    assert book(there).find("client:agent") == other
    await refused("name_taken", change(there, CODER, names=("client:agent",)))


async def test_the_list_chooses_by_kind_owner_state_and_text_and_goes_on_after_an_id() -> None:
    there = await peopled()
    await enrol(there, "/agent/other", display="Mail bot")
    ask = there.broker.driving.identities.list

    assert [one.id for one in await ask(IdentityQuery(kind=SubjectKind.AGENT))] == [CODER, f"{DOMAIN}/agent/other"]
    assert [one.id for one in await ask(IdentityQuery(owner="os:ada", limit=1))] == [CODER]
    assert [one.id for one in await ask(IdentityQuery(after=CODER, limit=1))] == [f"{DOMAIN}/agent/other"]
    assert [one.id for one in await ask(IdentityQuery(text="mail B"))] == [f"{DOMAIN}/agent/other"]
    assert await ask(IdentityQuery(state=IdentityState.STALE)) == []


async def test_the_registry_is_the_same_after_a_restart() -> None:
    there = await peopled()
    before = await there.broker.driving.identities.list(IdentityQuery())

    await there.open()

    assert await there.broker.driving.identities.list(IdentityQuery()) == before
    found = book(there).find("client:agent")
    assert found is not None
    assert found.id == CODER


async def test_every_move_of_the_table_and_no_other_is_made_by_a_persons_word() -> None:
    for now in IdentityState:
        for to in IdentityState:
            there = await peopled()
            if now is not IdentityState.ACTIVE:
                await change(there, CODER, to=now)
            if to in IDENTITY_MOVES[now] or to is now:
                assert (await change(there, CODER, to=to)).identity.state is to
            else:
                await refused("illegal_move", change(there, CODER, to=to))


async def test_the_last_admin_stays() -> None:
    there = await peopled()

    await refused("last_admin", change(there, "/person/root", to=IdentityState.SUSPENDED))
    await refused("last_admin", change(there, "/person/root", role=Role.RESPONDER))
    await change(there, ADA, role=Role.ADMIN)
    assert (await change(there, "/person/root", to=IdentityState.RETIRED)).identity.state is IdentityState.RETIRED


async def test_each_change_raises_the_version_and_is_recorded_with_who_and_why() -> None:
    there = await peopled()
    before = book(there).version

    await change(there, CODER, to=IdentityState.SUSPENDED, why="odd calls")

    assert book(there).version != before
    told = (await there.records("identity"))[-1]
    assert (told["identity"], told["state"], told["by"], told["why"]) == (CODER, "suspended", "root", "odd calls")


# ---- lineage ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "roots", [("binary:" + ONE,), ("key:thumb",), ()], ids=["same binary", "same key", "same owner and blueprint"]
)
async def test_who_has_a_root_in_common_with_somebody_earlier_keeps_that_lineage(roots: tuple[str, ...]) -> None:
    there = await peopled()
    await enrol(there, "/person/bob", SubjectKind.PERSON)
    first = await enrol(there, "/agent/first", owner="/person/bob" if roots else "/person/ada", roots=roots)
    await change(there, first.id, to=IdentityState.RETIRED)

    again = await enrol(there, "/agent/again", roots=roots)

    assert first.id in again.lineage
    assert (await there.records("identity"))[-1]["lineage"] == list(again.lineage)


async def test_who_has_no_root_in_common_has_no_lineage() -> None:
    there = await peopled()
    await draw(there, most())

    assert (await enrol(there, "/agent/other", blueprint="coder")).lineage == ()


def test_roots_and_lineage_stay_bounded_and_what_says_most_is_kept() -> None:
    roots = joined_roots(("owner:x|blueprint:y", "binary:" + ONE), [f"key:{n}" for n in range(500)])

    assert len(roots) == ROOTS_MOST
    assert roots[:2] == ("owner:x|blueprint:y", "binary:" + ONE)
    assert roots[-1] == "key:499"
    assert checked_roots(("key:a", "key:a")) == ("key:a",)
    assert LINEAGE_MOST >= 100


async def test_a_subject_that_was_there_before_gets_shorter_and_smaller_grants() -> None:
    there = await peopled()
    await there.join()
    await there.start(allowing("send_mail"))
    first = await granted(there)
    await enrol(there, "/agent/again")

    again = await granted(there, f"{DOMAIN}/agent/again")

    assert again.grant.gas_limit < first.grant.gas_limit
    assert again.grant.expires < first.grant.expires


# ---- decisions ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", [CODER, "/agent/coder", "agent", "agent@ada"])
@pytest.mark.parametrize("to", [IdentityState.SUSPENDED, IdentityState.STALE, IdentityState.RETIRED])
async def test_an_agent_that_is_not_active_gets_no_grant_and_no_call(agent: str, to: IdentityState) -> None:
    there = await peopled()
    await there.join()
    await there.start(allowing("send_mail"))
    assert await called(there, await granted(there, agent)) == (Passage.FORWARD, "inside_map")
    live = await granted(there, agent)

    await change(there, CODER, to=to)

    assert there.broker.state.grants[live.grant.id].state is GrantState.REVOKED
    assert await called(there, live) == (Passage.REFUSE, "grant_not_active")
    await refused("identity_not_active", granted(there, agent))


async def test_the_same_call_over_an_enforcement_point_is_let_out_while_its_agent_is_active_and_refused_when_not() -> (
    None
):
    there = await peopled()
    await there.join()
    await there.start(allowing("send_mail"))
    before = await there.call("send_mail", MAIL)

    await change(there, CODER, to=IdentityState.SUSPENDED)
    after = await there.call("send_mail", MAIL)
    await change(there, CODER, to=IdentityState.ACTIVE)
    again = await there.call("send_mail", MAIL)

    assert (before.passage, after.passage, again.passage) == (Passage.FORWARD, Passage.REFUSE, Passage.FORWARD)
    assert "identity_not_active" in after.verdict.codes
    assert after.verdict.trust == before.verdict.trust
    assert (await there.records("refusal"))[-1]["policy"]["reasons"][0]["code"] == "identity_not_active"  # type: ignore[index,call-overload]


@pytest.mark.parametrize("claimed", [f"{DOMAIN}/agent/nobody", "spiffe://other.example/agent/coder", "SPIFFE://x/y"])
async def test_a_spiffe_id_that_nobody_knows_is_refused_and_a_plain_name_is_judged_as_ever(claimed: str) -> None:
    there = await peopled()
    await there.join()
    await there.start(allowing("send_mail"))

    assert (await there.call("send_mail", MAIL, agent="somebody")).passage is Passage.FORWARD
    assert "identity_not_active" in (await there.call("send_mail", MAIL, agent=claimed)).verdict.codes
    await refused("identity_not_active", granted(there, claimed))


@pytest.mark.parametrize(
    ("blueprint", "passage", "code"),
    [
        (most("read_file", "send_mail"), Passage.FORWARD, "inside_map"),
        (most("read_file"), Passage.REFUSE, "outside_blueprint"),
        (most(), Passage.REFUSE, "outside_blueprint"),
        (most(unlimited=True), Passage.FORWARD, "inside_map"),
    ],
    ids=["inside", "another tool", "an empty maximum", "unlimited"],
)
async def test_a_call_lies_within_the_blueprint_or_is_refused_whatever_the_mission_says(
    blueprint: Blueprint, passage: Passage, code: str
) -> None:
    there = await peopled()
    await draw(there, blueprint)
    await enrol(there, "/agent/drawn", blueprint="coder")
    await there.join()
    await there.start(allowing("send_mail"))

    assert await called(there, await granted(there, f"{DOMAIN}/agent/drawn")) == (passage, code)


async def test_a_blueprint_narrows_arguments_too_and_a_person_in_passing_does_not_lift_it() -> None:
    there = await peopled()
    entry = AuthorityEntry("e", "srv/send_mail", constraints={"properties": {"to": {"const": "anna@example.com"}}})
    await draw(there, replace(most(), maximum=(entry,)))
    await enrol(there, "/agent/drawn", blueprint="coder")
    await there.join()
    await there.start(allowing("send_mail"))

    inside = await called(there, await granted(there, f"{DOMAIN}/agent/drawn"))
    outside = await called(there, await granted(there, f"{DOMAIN}/agent/drawn"), text={**MAIL, "to": "eve@example.com"})

    assert (inside[0], outside) == (Passage.FORWARD, (Passage.REFUSE, "outside_blueprint"))


async def test_the_mission_of_a_person_who_left_lets_nothing_out_even_for_an_unregistered_agent() -> None:
    there = await peopled()
    await there.join()
    mission = await there.start(allowing("send_mail"))
    assert (await there.call("send_mail", MAIL, agent="plain")).passage is Passage.FORWARD

    ended = (await change(there, ADA, to=IdentityState.SUSPENDED, why="left")).ended

    assert ended == (mission.id,)
    assert (await there.call("send_mail", MAIL, agent="plain")).passage is Passage.REFUSE
    await refused("identity_not_active", there.start(allowing("send_mail")))
    await refused("identity_not_active", there.change(mission.id, to=MissionState.ACTIVE))


async def test_an_owner_who_leaves_takes_their_agents_along_and_coming_back_does_not_bring_them_back() -> None:
    there = await peopled()
    await enrol(there, "/person/bob", SubjectKind.PERSON)
    bobs = await enrol(there, "/agent/bobs", owner="/person/bob")
    await there.join()
    await there.start(allowing("send_mail"))
    live = await granted(there, bobs.id)

    await change(there, "/person/bob", to=IdentityState.SUSPENDED)

    told = (await there.broker.driving.identities.show(bobs.id)).identity
    assert (told.state, told.why) == (IdentityState.SUSPENDED, "owner_left")
    assert there.broker.state.grants[live.grant.id].state is GrantState.REVOKED
    assert not book(there).active(bobs.id)
    await change(there, "/person/bob", to=IdentityState.ACTIVE)
    assert not book(there).active(bobs.id)
    await change(there, bobs.id, to=IdentityState.ACTIVE)
    assert book(there).active(bobs.id)


async def test_who_is_retired_ends_their_missions_for_good() -> None:
    there = await peopled()
    mission = await there.start(allowing("send_mail"))

    await change(there, ADA, to=IdentityState.RETIRED)

    assert there.broker.state.missions[mission.id].state is MissionState.TERMINATED


# ---- blueprints and attestation -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        most(id="No Name"),
        most(model="abc"),
        most(manifest="A" * 64),
        most("a", unlimited=True),
        replace(most(), maximum=(AuthorityEntry("e", "srv/a"), AuthorityEntry("e", "srv/b"))),
        replace(most(), maximum=(AuthorityEntry("e", "a"),)),
        replace(most(), maximum=(AuthorityEntry("e", "srv/a", resource="("),)),
        replace(most(), maximum=(AuthorityEntry("e", "srv/a", constraints={"type": 7}),)),
        replace(most(), maximum=(AuthorityEntry("e", "srv/a", uses_left=3),)),
    ],
)
async def test_a_blueprint_that_could_not_be_judged_later_is_refused(bad: Blueprint) -> None:
    there = await peopled()

    await refused("blueprint_bad", draw(there, bad))


async def test_drawing_a_blueprint_approves_its_entries_and_counts_its_revisions() -> None:
    there = await peopled()
    first, second = await draw(there, most("read_file")), await draw(there, most("send_mail"))

    assert (first.revision, second.revision, first.owner) == (1, 2, ADA)
    assert [(one.state, one.approved_by) for one in second.maximum] == [(EntryState.APPROVED, "ada")]
    await refused("identity_unknown", draw(there, replace(most(), owner="/person/nobody")))


async def test_a_changed_digest_makes_what_was_enrolled_stale_in_the_same_step() -> None:
    there = await peopled()
    await draw(there, most(unlimited=True, model=ONE))
    drawn = await enrol(there, "/agent/drawn", blueprint="coder")
    assert book(there).active(drawn.id)

    await draw(there, most(unlimited=True, model=OTHER))

    assert not book(there).active(drawn.id)
    await refused("illegal_move", change(there, drawn.id, to=IdentityState.ACTIVE))


def entry(**more: object) -> RegistrationEntry:
    """A registration entry of Ada's."""
    made = RegistrationEntry("n-1", f"{DOMAIN}/agent/made", SubjectKind.AGENT, ("unix:uid:1",), ADA, "coder")
    return replace(made, **more)  # type: ignore[arg-type]


async def test_attestation_registers_once_and_what_does_not_run_as_approved_is_stale_until_it_does() -> None:
    there = await peopled()
    await draw(there, most(unlimited=True, model=ONE))
    obtain = book(there).obtain

    await refused("identity_not_active", obtain(entry(), (), OTHER, ""))
    await refused("identity_not_active", obtain(entry(), (), "", ""))
    assert book(there).find("/agent/made") is None
    made = await obtain(entry(), ("binary:" + ONE,), ONE, "")
    assert (made.state, made.owner, made.source) == (IdentityState.ACTIVE, ADA, "attested")
    assert await obtain(entry(), ("binary:" + ONE,), ONE, "") == made
    assert await obtain(entry(), (), "", "") == made, "who measures nothing changes nothing"
    await refused("identity_not_active", obtain(entry(), (), OTHER, ""))
    assert not book(there).active(made.id)
    await refused("illegal_move", change(there, made.id, to=IdentityState.ACTIVE))
    await refused("identity_not_active", obtain(entry(), (), "", ""))
    assert (await obtain(entry(), (), ONE, "")).state is IdentityState.ACTIVE


async def test_nobody_is_attested_back_who_was_stopped_by_a_person() -> None:
    there = await peopled()
    await draw(there, most(unlimited=True))
    made = await book(there).obtain(entry(), (), "", "")
    await refused("identity_not_active", book(there).obtain(entry(kind=SubjectKind.WORKLOAD), (), "", ""))

    await change(there, made.id, to=IdentityState.SUSPENDED)
    await refused("identity_not_active", book(there).obtain(entry(), (), "", ""))
    await change(there, made.id, to=IdentityState.ACTIVE)
    await change(there, ADA, to=IdentityState.SUSPENDED)
    await refused("identity_not_active", book(there).obtain(entry(), (), "", ""))


async def test_a_key_that_another_used_before_becomes_lineage_at_attestation() -> None:
    there = await peopled()
    await draw(there, most(unlimited=True))
    await enrol(there, "/person/bob", SubjectKind.PERSON)
    other = await enrol(there, "/agent/earlier", owner="/person/bob", roots=("key:k",))
    made = await book(there).obtain(entry(), (), "", "")
    assert made.lineage == ()

    assert (await book(there).obtain(entry(), ("key:k",), "", "")).lineage == (other.id,)


async def test_a_server_that_lists_other_tools_than_were_approved_makes_the_agent_stale_until_attested_again() -> None:
    there = await peopled()
    await there.join(TOOLS)
    pins = {f"{pin.server}/{pin.tool}": pin.seen for pin in await there.broker.driving.registry.pins()}
    approved = manifest_digest(pins)
    await draw(there, most("read_file", "send_mail", manifest=approved))
    made = await book(there).obtain(entry(), (), "", approved)
    await change(there, made.id, names=("client:made",))
    await there.start(allowing("send_mail"))
    registry = there.broker.driving.registry
    there.attached = (await registry.attach(Attachment("ada", "made", "srv", session="t"))).id
    await registry.show_tools(there.attached, TOOLS)
    assert (await there.call("send_mail", MAIL, agent="made")).passage is Passage.FORWARD

    await registry.show_tools(there.attached, [*TOOLS, {"name": "extra", "description": "x", "inputSchema": {}}])

    told = await there.call("send_mail", MAIL, agent="made")
    assert (told.passage, told.verdict.codes[0]) == (Passage.REFUSE, "identity_not_active")
    assert (await there.records("identity"))[-1]["what"] == "stale"
    await registry.show_tools(there.attached, TOOLS)
    assert (await book(there).obtain(entry(), (), "", approved)).state is IdentityState.ACTIVE
    assert (await there.call("send_mail", MAIL, agent="made")).passage is Passage.FORWARD


def test_what_was_not_measured_fits_nothing_that_is_pinned() -> None:
    assert fits(None, "", "")
    assert fits(most(), "", "")
    assert fits(most(model=ONE), ONE, "anything")
    assert not fits(most(model=ONE), "", "")
    assert not fits(most(manifest=ONE), ONE, OTHER)


async def test_an_agent_whose_owner_left_goes_on_under_another_owner_and_keeps_its_roots() -> None:
    there = await peopled()
    await enrol(there, "/person/bob", SubjectKind.PERSON)
    await change(there, ADA, to=IdentityState.RETIRED)
    await refused("owner_inactive", change(there, CODER, owner=ADA))

    after = (await change(there, CODER, owner="/person/bob", to=IdentityState.ACTIVE, why="taken over")).identity

    assert (after.state, after.owner) == (IdentityState.ACTIVE, f"{DOMAIN}/person/bob")
    assert [root for root in after.roots if ADA in root]
    assert book(there).active(CODER)


async def test_what_a_mission_only_observes_is_still_refused_to_who_is_not_active() -> None:
    there = await peopled()
    await there.join()
    await there.start(allowing("send_mail"), observe=True)
    assert (await there.call("delete_record", {"id": "7"})).passage is Passage.FORWARD

    await change(there, CODER, to=IdentityState.SUSPENDED)

    assert (await there.call("delete_record", {"id": "7"})).passage is Passage.REFUSE


async def test_of_many_that_want_one_name_or_one_id_at_once_exactly_one_gets_it() -> None:
    there = await peopled()
    tries = [enrol(there, "/agent/x" if n % 2 else f"/agent/y{n}", names=("client:x",)) for n in range(50)]

    done = await asyncio.gather(*tries, return_exceptions=True)

    assert sum(isinstance(one, Identity) for one in done) == 1
    assert {one.code for one in done if isinstance(one, JitError)} <= {"identity_exists", "name_taken"}
