"""Endorsing a source at the command line, in a mission file and at the console: the person sees the source, the kinds and the amount."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.authenticator import Authenticator
from tests.consoles import ConsoleClient, code, signed_in
from tests.unit.test_broker_endorsement import BANK, BILLS, FIRST, GOAL, SECOND
from tests.unit.test_cli import PIN, answered, cli, end_broker

from jittrust.apps.mission_file import read_mission_file, written_mission
from jittrust.core.approval import ApprovalState, chosen, question_challenge
from jittrust.core.authority.map import Endorsement, EntryState
from jittrust.core.errors import BadInputError
from jittrust.core.identity.identity import Role
from jittrust.ports.commit import PutApproval, PutMission

AGENT = """
import asyncio, hashlib, json, sys
from pathlib import Path
from jittrust.apps.cli.reach import person, reach
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.model import Action, Evaluation, Resource, Subject, SubjectKind
from jittrust.ports.decision_point import Outcome, Passage, Settled
from jittrust.ports.registry import Attachment

async def main(state, tools, calls):
    async with reach(Path(state)) as driving:
        joined = (await driving.registry.attach(Attachment(person(), "agent", "srv"))).id
        await driving.registry.show_tools(joined, tools)
        for number, (tool, arguments, text) in enumerate(calls):
            said = json.dumps(arguments, sort_keys=True)
            digest = hashlib.sha256(f"{tool} {said}".encode()).hexdigest()
            ask = Evaluation(f"c-{digest[:8]}-{number}-{len(calls)}", Subject(SubjectKind.AGENT, "agent"), Action("tools/call"),
                             Resource("tool", f"srv/{tool}"), arguments, digest, said)
            got = await driving.decisions.evaluate(ask, Shown(PassBinding.GATEWAY, attachment=joined))
            if got.passage is Passage.FORWARD:
                await driving.decisions.settle(ask.id, Outcome(Settled.COMPLETE, (text,)))
            print(json.dumps({"passage": got.passage, "question": got.approval.id if got.approval else ""}))

asyncio.run(main(sys.argv[1], *json.loads(sys.argv[2])))
"""


def agent(state: Path, *calls: tuple[str, object, str]) -> list[dict[str, str]]:
    """What an agent is answered; it runs in a process of its own."""
    told = json.dumps([[dict(one) for one in BANK], calls])
    ran = subprocess.run(
        [sys.executable, "-c", AGENT, str(state), told], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "s"
    assert cli("approve", "--set-pin", "--pin-stdin", "--state", str(folder), stdin=f"{PIN}\n").returncode == 0
    yield folder
    end_broker(folder)


def test_a_question_offers_the_source_and_one_answer_pays_both_bills(state: Path) -> None:
    there = ("--state", str(state))
    agent(state)
    started = cli("mission", "start", "--goal", GOAL, *there)
    assert "bills.txt" in started.stdout
    assert "T.pay" in started.stdout
    (_, asked) = agent(state, ("read_file", {"path": "bills.txt"}, BILLS), ("send_money", FIRST, ""))
    assert asked["passage"] == "ask"
    name = asked["question"]

    assert answered(cli("approve", name, "--up-to", "5", "--json", *there), 2)["error"]["code"] == "bad_usage"
    low = cli("approve", name, "--endorse", "--up-to", "5", "--json", "--pin-stdin", *there, stdin=f"{PIN}\n")
    assert answered(low, 2)["error"]["code"] == "bad_amount"
    yes = cli("approve", name, "--endorse", "--up-to", "150", "--pin-stdin", *there, stdin=f"{PIN}\n")
    assert yes.returncode == 0, yes.stdout + yes.stderr
    said = " ".join(yes.stdout.split())
    assert "Or once for all (--endorse)" in said
    assert "You endorse What srv/read_file returns for path “bills.txt” may direct acts of these kinds: T.pay" in said
    assert "amounts up to 150 in all" in said

    assert [one["passage"] for one in agent(state, ("send_money", FIRST, ""), ("send_money", SECOND, ""))] == [
        "forward",
        "forward",
    ]
    shown = answered(cli("mission", "show", "--json", *there))["mission"]["authority"]["endorsements"]
    (given,) = [one for one in shown if one["state"] == "approved"]
    assert given["amount_most"] == pytest.approx(11.3)

    refuse = ("mission", "approve", "current", "--refuse", given["id"], "--pin-stdin", "--json", *there)
    gone = answered(cli(*refuse, stdin=f"{PIN}\n"))["mission"]["authority"]["endorsements"]
    assert [one["state"] for one in gone if one["id"] == given["id"]] == ["refused"]
    assert given["id"] in cli("mission", "show", *there).stdout


def test_a_source_is_endorsed_at_the_start_by_its_id_with_the_pin(state: Path) -> None:
    there = ("--state", str(state))
    agent(state)
    goal = "Pay the bills in bills.txt, 150 euros at the most"
    planned = answered(cli("mission", "start", "--goal", goal, "--json", *there))["mission"]["authority"]
    (source,) = planned["endorsements"]

    start = ("mission", "start", "--goal", goal, "--endorse", source["id"], "--pin-stdin", "--json", *there)
    assert answered(cli(*start, stdin="000000\n"), 1)["error"]["code"] == "pin_wrong"
    made = answered(cli(*start, stdin=f"{PIN}\n"))["mission"]["authority"]["endorsements"]
    unknown = cli(
        "mission", "start", "--goal", goal, "--endorse", "s-0", "--pin-stdin", "--json", *there, stdin=f"{PIN}\n"
    )

    assert [(one["state"], one["amount_most"]) for one in made] == [("approved", 150)]
    assert answered(unknown, 1)["error"]["code"] == "entry_unknown"
    passed = agent(state, ("read_file", {"path": "bills.txt"}, BILLS), ("send_money", FIRST, ""))
    assert [one["passage"] for one in passed] == ["forward", "forward"]


# ---- the mission file -------------------------------------------------------------------------------------------------------------------------

FILE = """
goal: Pay the bill
endorsements:
  - tool: files/read_file
    selectors: {path: bill.txt}
    intents: [T.pay]
    up_to: 100
"""


def test_a_mission_file_lists_endorsed_sources_and_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(FILE, encoding="utf-8")
    (one,) = read_mission_file(file).endorsed("ada")
    assert (one.tool, dict(one.selectors), one.intents, one.amount_most, one.state, one.approved_by) == (
        "files/read_file",
        {"path": "bill.txt"},
        ("T.pay",),
        100.0,
        EntryState.APPROVED,
        "ada",
    )
    policy = replace(one, id="s-2", approved_by="policy:pointed_at", selectors={"path": "notes.txt"})
    file.write_text(written_mission("Pay the bill", 60, (), endorsements=(one, policy)), encoding="utf-8")
    again = read_mission_file(file).endorsed("ada")
    assert [(each.id == one.id, each.state) for each in again] == [
        (True, EntryState.APPROVED),
        (False, EntryState.PROPOSED),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("T.pay", "T.nothing"),
        ("T.pay", "I.grant"),
        ("[T.pay]", "[]"),
        ("{path: bill.txt}", "{}"),
        ("100", "-1"),
        ("100", ".inf"),
        ("up_to", "upto"),
    ],
)
def test_a_mission_file_with_a_source_that_cannot_be_endorsed_is_refused_by_line(
    tmp_path: Path, old: str, new: str
) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(FILE.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInputError) as refused:
        read_mission_file(file)
    assert refused.value.code in ("mission_file_bad_value", "mission_file_unknown_key")


# ---- the console --------------------------------------------------------------------------------------------------------------------------------

OFFER = Endorsement("s-1", "srv/read_file", {"path": "<b>bill.txt"}, ("T.pay",), amount_most=98.7, why="pointed at")


async def console_with_offer(device: Authenticator, *, warned: bool = False) -> ConsoleClient:
    client = await signed_in(device, Role.RESPONDER)
    w = client.here.world
    await w.join(BANK)
    mission = await w.start(goal=GOAL)
    await w.broker.state.change([PutMission(replace(mission, id="m-1", person="other"), None)], [])
    asked = await client.here.ask()
    await w.broker.state.change([PutApproval(replace(asked, offer=replace(OFFER, warned=warned)))], [])
    return client


async def test_the_page_shows_the_source_beside_the_one_call_and_warns_of_orders() -> None:
    device = Authenticator()
    page = (await (await console_with_offer(device)).get("/approvals/a-1")).text
    loud = (await (await console_with_offer(device, warned=True)).get("/approvals/a-1")).text
    assert 'name="endorse" value="" checked' in page
    assert "amounts up to 98.7 in all" in page
    assert "&lt;b&gt;bill.txt" in page
    assert "<b>bill" not in page
    assert "reads like orders to a model" in loud
    assert "reads like orders to a model" not in page


@pytest.mark.parametrize("chosen_amount", ["", "150"])
async def test_an_endorsement_at_the_console_is_signed_with_its_amount_and_becomes_part_of_the_map(
    chosen_amount: str,
) -> None:
    device = Authenticator()
    client = await console_with_offer(device)
    choice = {"endorse": "yes", "up_to": chosen_amount}
    response = device.get((await client.post("/approvals/a-1/begin", choice)).text)

    answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response, **choice})

    assert answer.status_code == 200, answer.text
    given = [one for one in client.here.world.broker.state.missions["m-1"].authority.endorsements if one.id == "s-1"]
    assert [(one.state, one.amount_most) for one in given] == [(EntryState.APPROVED, float(chosen_amount or "98.7"))]


async def test_a_signature_for_one_call_endorses_nothing_and_one_for_an_amount_serves_no_other_and_no_call() -> None:
    device = Authenticator()
    for begun, sent in (
        ({}, {"endorse": "yes"}),
        ({"endorse": "yes"}, {}),
        ({"endorse": "yes", "up_to": "100"}, {"endorse": "yes", "up_to": "100000"}),
        ({"endorse": "yes"}, {"endorse": "yes", "up_to": "99"}),
    ):
        client = await console_with_offer(device)
        response = device.get((await client.post("/approvals/a-1/begin", begun)).text)
        answer = await client.post("/approvals/a-1/answer", {"answer": "approve", "response": response, **sent})
        assert code(answer) == "passkey_refused"
        assert client.here.world.broker.state.approvals["a-1"].state is ApprovalState.WAITING


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ({"endorse": "yes", "up_to": "1"}, "bad_amount"),
        ({"endorse": "yes", "up_to": "a lot"}, "bad_amount"),
        ({"endorse": "yes", "up_to": "nan"}, "bad_amount"),
        ({"endorse": "maybe"}, "body_bad"),
    ],
)
async def test_a_choice_that_makes_no_sense_is_not_even_begun(body: dict[str, str], refused: str) -> None:
    client = await console_with_offer(Authenticator())
    assert code(await client.post("/approvals/a-1/begin", body)) == refused


async def test_what_is_signed_covers_every_part_of_the_endorsement() -> None:
    client = await console_with_offer(Authenticator())
    asked = client.here.world.broker.state.approvals["a-1"]
    one, nonce = chosen(asked), bytes(32)
    assert one.offer is not None
    changes: tuple[dict[str, object], ...] = (
        {"id": "s-2"},
        {"tool": "srv/other"},
        {"selectors": {"path": "other.txt"}},
        {"intents": ("T.pay", "I.invite")},
        {"amount_most": 99.0},
        {"warned": True},
    )
    others = {question_challenge(replace(one, offer=replace(one.offer, **change)), nonce) for change in changes}  # type: ignore[arg-type]
    assert len({*others, question_challenge(one, nonce), question_challenge(asked, nonce)}) == len(changes) + 2
