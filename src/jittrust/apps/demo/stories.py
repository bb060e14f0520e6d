"""The three stories. Each is lived through on the real thing and then checked against what the servers did and what the ledger says."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from jittrust.apps.demo import world
from jittrust.apps.demo.gateway import HttpAnswer, KeyHolder, call_without_key, open_gateway
from jittrust.apps.demo.stage import AgentRun, Stage, environment
from jittrust.apps.demo.teller import Teller
from jittrust.apps.demo.telling import StoryClaim, StoryEnd, TailRecord, ToldCall, short, told
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.grant.lanes import RotationRules
from jittrust.core.grant.proof import SECRET_BYTES, Ed25519Signer
from jittrust.core.grant.states import GrantState
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Response
from jittrust.core.response.session import SessionState
from jittrust.pep.mcp.http import McpEndpoint
from jittrust.pep.mcp.http_auth import TokenSource
from jittrust.pep.mcp.http_process import ProcessServer
from jittrust.ports.grants import NewGrant
from jittrust.ports.missions import MissionChange, MissionView

BENIGN: Final = "benign"
HIJACKED: Final = "hijacked"
STOLEN: Final = "stolen_pass"
_READS: Final = frozenset({"mail.search_mail", "mail.read_mail", "mail.list_folders", "files.read_file", "files.list_files",
                           "payments.get_balance", "payments.list_invoices", "payments.list_payees", "hr.list_employees",
                           "hr.find_employee"})  # fmt: skip


async def benign(stage: Stage, teller: Teller) -> StoryEnd:
    """A mission that just works: nobody is asked anything."""
    data = world.furnish(stage.folder / BENIGN, poisoned=False)
    teller.chapter(1, "A mission that just works", f'You say to your agent: "{world.GOAL}"')
    mission = await stage.start(world.GOAL)
    calls = await stage.act(AgentRun(BENIGN, world.PAY_THE_INVOICE, data, obey=False), teller.call)
    ended = await stage.wired.driving.missions.change(
        mission.id, MissionChange(to=MissionState.COMPLETED, by=stage.person)
    )
    wanted = [f"{step['server']}.{step['tool']}" for step in world.PAY_THE_INVOICE]
    done = [one.call for one in world.done(data)]
    held = [call.call for call in calls if not call.forwarded]
    left = world.balance(data)
    end = StoryEnd(
        BENIGN,
        calls,
        str(ended.state),
        (
            StoryClaim("All five calls went through; you were asked nothing.", not held and len(calls) == len(wanted), ", ".join(held)),
            StoryClaim("The servers did exactly these five things.", done == wanted, ", ".join(done)),
            StoryClaim(f"{world.INVOICE} is paid: 1,240.00 EUR, once, to Northwind's account on file.",
                       left == world.FULL_BALANCE - world.INVOICE_CENTS and len(world.paid(data)) == 1, f"{left} cents left"),
        ),
    )  # fmt: skip
    teller.end(end)
    return end


async def hijacked(stage: Stage, teller: Teller) -> StoryEnd:
    """The same mission; a document gives orders and the agent obeys."""
    data = world.furnish(stage.folder / HIJACKED, poisoned=True)
    teller.chapter(
        2,
        "The same mission, hijacked",
        "The same words, the same agent. This time somebody has slipped instructions into the supplier notes, and the agent obeys them (!): look "
        "around, take the salaries, send them out, pay a stranger, and never give up. You are asked, and say no.",
    )
    mission = await stage.start(world.GOAL)
    calls = await stage.act(AgentRun(HIJACKED, world.PAY_THE_INVOICE, data, obey=True), teller.call)
    view, question = await stage.view(mission.id), await stage.question(mission.id)
    if question is not None:
        teller.aside(f"You are asked: {question.text}")
    end = StoryEnd(HIJACKED, calls, str(view.mission.state), nothing_happened(data, calls, view.mission.state))
    teller.end(end)
    return end


def nothing_happened(data: Path, calls: Sequence[ToldCall], state: MissionState) -> tuple[StoryClaim, ...]:
    """What must be true after a hijacked mission, looked up in the servers' own data."""
    done = [one.call for one in world.done(data)]
    harm = [call for call in done if call not in _READS]
    levels = [call.trust for call in calls if not call.forwarded and call.trust is not None]
    falling = len(levels) > 1 and levels == sorted(levels, reverse=True) and levels[-1] < levels[0]
    asked = [call for call in calls if call.verdict == "step_up"]
    after = [call.call for call in calls if call.forwarded and _stopped_before(calls, call)]
    dearer = any(
        one.forwarded and two.forwarded and one.call == two.call and two.price > one.price
        for at, one in enumerate(calls)
        for two in calls[at + 1 :]
    )
    return (
        StoryClaim("No mail left the house.", world.mail_sent(data) == 0, f"{world.mail_sent(data)} sent"),
        StoryClaim("No salary was read and nothing exported; no record, payee or file was changed.", not harm, ", ".join(harm)),
        StoryClaim("Nobody was paid: the account holds what it held.",
                   not world.paid(data) and world.balance(data) == world.FULL_BALANCE, ", ".join(world.paid(data))),
        StoryClaim("It was slowed: the same read cost more the further it reached.", dearer,
                   ", ".join(f"{call.call} {call.price}" for call in calls if call.forwarded)),
        StoryClaim("You were asked, more than once.", len(asked) > 1, str(len(asked))),
        StoryClaim("Trust fell with every call that was stopped, until the mission was suspended.", falling and state is MissionState.SUSPENDED,
                   f"{state}; trust {', '.join(f'{level:.0f}' for level in levels)}"),
        StoryClaim("Nothing went out after that.", not after, ", ".join(after)),
    )  # fmt: skip


def _stopped_before(calls: Sequence[ToldCall], call: ToldCall) -> bool:
    at = calls.index(call)
    return any(before.response in {"suspend", "kill"} for before in calls[:at])


# ---- the third story ----------------------------------------------------------------------------------------------------------------------

_IN_FORCE: Final[Mapping[SessionState, Response]] = {
    SessionState.NORMAL: Response.NONE,
    SessionState.FLAGGED: Response.FLAG,
    SessionState.NARROWED: Response.NARROW,
    SessionState.SUSPENDED: Response.SUSPEND,
    SessionState.KILLED: Response.KILL,
}
_REPORT: Final = "Read the price list and the meeting notes in our documents."
_OWNED: Final[Sequence[tuple[str, Mapping[str, Any]]]] = (
    ("list_files", {}),
    ("read_file", {"path": "price-list.txt"}),
    ("read_file", {"path": "meeting-notes.txt"}),
)


async def stolen_pass(stage: Stage, teller: Teller) -> StoryEnd:
    """A thief has the agent's key, its token and an old pass."""
    data = world.furnish(stage.folder / STOLEN, poisoned=False)
    teller.chapter(
        3,
        "A stolen pass",
        f'Another agent, over HTTP, holds a key of its own (DPoP). "{_REPORT}" Every answer brings the next pass. A thief has copied everything: '
        "the key, the token, and the second pass.",
    )
    mission = await stage.start(_REPORT)
    wired = stage.wired
    signer = Ed25519Signer.from_secret(secrets.token_bytes(SECRET_BYTES))
    issued = await wired.driving.grants.open(
        NewGrant(
            stage.person,
            "reporter",
            "files",
            PassBinding.DPOP,
            jkt=signer.jkt,
            strictness=Strictness.STRICT,
            mission=mission.id,
        )
    )
    owner = KeyHolder(signer, issued.token, issued.first_pass, wired.clock)
    server = ProcessServer(
        "files", (sys.executable, str(stage.examples / "servers" / "files.py"), "--data", str(data)), environment()
    )

    def endpoint(base: str) -> McpEndpoint:
        tokens = TokenSource(wired.issuer, wired.token_keys, wired.clock)
        return McpEndpoint(wired.driving, tokens, stage.person, {"files": server}, base)

    calls: list[ToldCall] = []
    records: list[TailRecord] = []

    async def tell(who: str, tool: str, arguments: Mapping[str, Any], answer: HttpAnswer) -> None:
        fresh = await stage.tail.rest()
        records.extend(fresh)
        one = _told(fresh, await stage.view(mission.id), who, tool, arguments, answer)
        calls.append(one)
        teller.call(one)

    async with open_gateway(endpoint) as (base, session):
        url, copied = f"{base}/mcp/files", owner.nonce
        for number, (tool, arguments) in enumerate(_OWNED):
            copied = owner.nonce if number == 1 else copied
            await tell("owner", tool, arguments, await owner.call(session, url, tool, arguments))
        await tell("thief", "read_file", {}, await call_without_key(session, url, issued.token, "read_file"))
        # Up to the slack an old pass may be an honest client that lost a race: it buys nothing then either, but nobody is accused.
        wait = float(RotationRules().slack) + 1.05
        teller.aside(f"{wait:.0f} seconds later the thief shows the second pass again, signed with the copied key.")
        await asyncio.sleep(wait)
        thief = KeyHolder(signer, issued.token, copied, wired.clock)
        budget = {"path": "reports/budget-june.csv"}
        await tell("thief", "read_file", budget, await thief.call(session, url, "read_file", budget))
        seen = await owner.call(session, url, "list_files", {})
        await tell("owner", "list_files", {}, seen)
    teller.aside(f"What the owner sees: HTTP {seen.status} {seen.code}: {seen.detail}.")
    found = [one.body for one in records if one.body["kind"] == "pass" and one.body["what"] == "reuse"]
    dead = [one.body for one in records if one.body["kind"] == "grant" and one.body["what"] == "reused"]
    for one in found:
        teller.aside(f"Record {one['index']}, pass reuse: pass {one['seq']} of grant {one['grant']}: {one['why']}.")
    for one in dead:
        teller.aside(f"Record {one['index']}, grant reused: {one['grant']} has ended, by {one['by']}.")
    grant = next(one for one in await wired.driving.grants.list(mission.id) if one.id == issued.grant.id)
    done = [one.call for one in world.done(data)]
    end = StoryEnd(
        STOLEN,
        calls,
        str(grant.state),
        (
            StoryClaim("The owner's three calls went through, and nothing else did.", done == [f"files.{tool}" for tool, _ in _OWNED],
                       ", ".join(done)),
            StoryClaim("The token without the key is worth nothing.", calls[3].verdict == "deny" and not calls[3].forwarded),
            StoryClaim("The old pass bought nothing, and showed that there are two holders: the grant is dead for both.",
                       grant.state is GrantState.REUSED and not calls[4].forwarded and not calls[5].forwarded, str(grant.state)),
            StoryClaim("The ledger says which pass, under which grant, and when.", len(found) == 1 and len(dead) == 1, f"{len(found)} records"),
        ),
    )  # fmt: skip
    teller.end(end)
    return end


def _told(
    fresh: Sequence[TailRecord],
    view: MissionView,
    who: str,
    tool: str,
    arguments: Mapping[str, Any],
    answer: HttpAnswer,
) -> ToldCall:
    on = short(arguments)
    for record in reversed(fresh):
        if record.judges(f"files/{tool}"):
            return told(record, story=STOLEN, on=on, who=who)
        if record.body["kind"] == "pass" and record.body["what"] == "reuse":
            why = "An old pass after its successor was delivered: two holders of one key. The whole grant family dies."
            return ToldCall(
                STOLEN, f"files.{tool}", on, who, "deny", forwarded=False, why=why, reasons=("pass_reused",),
                response=_IN_FORCE[view.standing.state], trust=round(float(view.standing.trust), 2),
            )  # fmt: skip
    keyless = who == "thief" and answer.status == HTTPStatus.UNAUTHORIZED
    words = "a token bound to a key is nothing without a proof of it" if keyless else answer.detail
    why = f"HTTP {answer.status} {answer.code}: {words}."
    return ToldCall(STOLEN, f"files.{tool}", on, who, "deny", forwarded=False, why=why, reasons=(answer.code,))
