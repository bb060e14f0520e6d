"""A stdio server behind the gate, the broker beside it on its socket: everything real but the disk."""

# ruff: noqa: ASYNC110, ASYNC240 - other processes are watched through files
from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mcp_types as types
import pytest
from mcp import Client, MCPError, StdioServerParameters
from tests.scenario.gated.world import World, world

from jittrust.core.mission.mission import GoalSource
from jittrust.pep.mcp.translate import call_digest

READ = {"goal": "Read my notes"}
QUICK = {"goal": "Read my notes", "wait_s": 0.2}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


def text(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


def decided(answer: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = answer["result"]["_meta"]["dev.jittrust/decision"]
    return said


async def settled(here: World, many: int = 1, within: float = 8) -> list[str]:
    """How the last calls ended, as the ledger has it."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        found = [record["settled"] for record in await here.records("outcome")]
        if len(found) >= many:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("no outcome was recorded")


# --- a call ------------------------------------------------------------------------------------------------------------------------------


async def test_a_call_inside_the_mission_goes_through_is_paid_and_its_bytes_survive(here: World) -> None:
    line = await here.gate(gate=READ)
    opened = await line.begin()
    await line.send(
        b'{"jsonrpc":"2.0","id":"\\u0061b","method":"tools/call","params":{"name":"read_note","arguments":{"name" : "a\\u00e9"}}}'
    )
    answer = await line.answer("ab")
    code, said = await line.leave()

    assert opened["result"]["x"] == 1
    assert answer["result"]["x-unknown"] == [1.5, {"deep": None}]
    assert here.effects() == ['read_note {"name": "a\\u00e9"}']
    (use,) = await here.records("use")
    assert use["action"]["digest"] == call_digest("tools/call", "notes/read_note", b'{"name" : "a\\u00e9"}', "")
    assert use["grant"]["pass_binding"] == "gateway"
    assert await settled(here) == ["complete"]
    assert (code, said) == (0, "")


async def test_the_list_is_narrowed_to_the_mission_and_request_access_is_always_there(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    first = await line.ask("tools/list")
    second = await line.ask("tools/list", cursor="2")
    names = [tool["name"] for page in (first, second) for tool in page["result"]["tools"]]
    asked = await line.call("request_access", what="delete_note", why="to tidy up")
    await line.leave()

    assert first["result"]["tools"][0]["x-vendor"] == {"kept": 1.5}
    assert "read_note" in names
    assert "delete_note" not in names
    assert names[-1] == "request_access"
    assert names.count("request_access") == 1
    assert decided(asked)["code"] == "recorded"
    assert here.effects() == []
    assert any(use["action"]["resource"] == "notes/request_access" for use in await here.records("use"))


async def test_a_call_outside_the_mission_is_refused_with_a_code_and_goes_once_a_person_has_approved_it(
    here: World,
) -> None:
    line = await here.gate(gate=QUICK)
    await line.begin()
    refused = await line.call("delete_note", name="a")
    approval = await here.waiting()
    await here.answer(approval, approve=True)
    allowed = await line.call("delete_note", name="a")
    again = await line.call("delete_note", name="a")
    await line.leave()

    assert refused["result"]["isError"] is True
    assert text(refused).startswith("jittrust: approval_needed. ")
    assert decided(refused) == {"code": "approval_needed", "approval": approval.id}
    assert not any(word in text(refused).lower() for word in ("score", "wis", "risk", "threshold"))
    assert text(allowed) == "delete_note done"
    assert decided(again)["code"] == "approval_needed"
    assert here.effects() == ['delete_note {"name": "a"}']


async def test_a_call_waits_for_a_person_and_goes_out_when_they_say_yes(here: World) -> None:
    line = await here.gate(gate={"goal": "Read my notes", "wait_s": 20})
    await line.begin()
    number = await line.start("tools/call", name="delete_note", arguments={"name": "a"}, _meta={"progressToken": "p"})
    await here.answer(await here.waiting(), approve=True)
    answer = await line.answer(number)
    denied = await line.start("tools/call", name="delete_note", arguments={"name": "b"})
    await here.answer(await here.waiting(), approve=False)
    refused = await line.answer(denied)
    await line.leave()

    assert text(answer) == "delete_note done"
    told = [notice["params"] for notice in line.notices if notice["method"] == "notifications/progress"]
    assert told[0]["progressToken"] == "p"
    assert "jittrust approve" in told[0]["message"]
    assert decided(refused)["code"] == "approval_denied"
    assert here.effects() == ['delete_note {"name": "a"}']


async def test_reading_a_resource_is_judged_and_refusals_of_it_are_errors(here: World) -> None:
    line = await here.gate()
    await line.begin()
    answer = await line.ask("resources/read", uri="note://a")
    unknown = await line.ask("vendor/do")
    broken = await line.ask("tools/call", name=7)
    await line.leave()

    assert answer["result"]["contents"][0]["text"] == "plain"
    assert [use["action"]["resource"] for use in await here.records("use")] == ["notes/note://a"]
    assert (unknown["error"]["code"], unknown["error"]["data"]["code"]) == (-32601, "method_unknown")
    assert (broken["error"]["code"], broken["error"]["data"]["code"]) == (-32602, "params_invalid")


# --- asking through the client -----------------------------------------------------------------------------------------------------------


async def test_without_a_goal_the_client_is_asked_for_one_once_and_it_becomes_the_mission(here: World) -> None:
    line = await here.gate(gate={"wait_s": 0.2})
    await line.begin(elicitation={})
    number = await line.start("tools/call", name="save_note", arguments={"name": "a"})
    form = await line.read()
    await line.send(
        json.dumps(
            {
                "jsonrpc": "2.0",
                "id": form["id"],
                "result": {"action": "accept", "content": {"goal": "Save a note named a"}},
            }
        ).encode()
    )
    answer = await line.answer(number)
    await line.leave()

    assert form["method"] == "elicitation/create"
    assert form["params"]["requestedSchema"]["required"] == ["goal"]
    (view, *_) = await here.broker.driving.missions.list("dana")
    assert view.mission.goal.texts == ("Save a note named a",)
    assert str(view.mission.goal.source) == "elicitation"
    assert text(answer) == "save_note done"


async def test_a_client_that_takes_no_forms_is_never_sent_one(here: World) -> None:
    line = await here.gate(gate={"wait_s": 0.2})
    await line.begin(elicitation={"url": {}})
    answer = await line.call("delete_note", name="a")
    await line.leave()

    assert decided(answer)["code"] == "approval_needed"
    assert line.notices == []
    assert here.effects() == []


async def test_a_person_who_declines_to_say_a_goal_is_not_asked_for_ever(here: World) -> None:
    line = await here.gate(gate={"wait_s": 0.1, "elicit_risk": 0})
    await line.begin(elicitation={})
    asked = 0
    for name in "abcd":
        number = await line.start("tools/call", name="delete_note", arguments={"name": name})
        message = await line.read()
        if message.get("method") == "elicitation/create":
            asked += 1
            await line.send(
                json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"action": "decline"}}).encode()
            )
            message = await line.answer(number)
        assert decided(message)["code"] == "approval_needed"
    await line.leave()

    assert asked == 2


FORMS: dict[str, Any] = {"elicitation": {"form": {}}}


async def test_in_the_stateless_revision_the_goal_is_asked_for_in_the_result_and_the_state_serves_once(
    here: World,
) -> None:
    line = await here.gate(gate={"wait_s": 0.1})
    call: dict[str, Any] = {"name": "save_note", "arguments": {"name": "a"}}
    first = (await line.modern("tools/call", FORMS, **call))["result"]
    answers = {"jittrust": {"action": "accept", "content": {"goal": "Save a note named a"}}}
    other = await line.modern(
        "tools/call",
        FORMS,
        **(call | {"arguments": {"name": "b"}}),
        inputResponses=answers,
        requestState=first["requestState"],
    )
    second = (await line.modern("tools/call", FORMS, **call))["result"]
    done = await line.modern("tools/call", FORMS, **call, inputResponses=answers, requestState=second["requestState"])
    replayed = await line.modern(
        "tools/call", FORMS, **call, inputResponses=answers, requestState=second["requestState"]
    )
    await line.leave()

    assert first["resultType"] == "input_required"
    assert first["inputRequests"]["jittrust"]["params"]["mode"] == "form"
    assert (other["error"]["code"], other["error"]["data"]["code"]) == (-32602, "request_state_invalid")
    assert done["result"]["resultType"] == "complete"
    assert text(done) == "save_note done"
    assert replayed["error"]["data"]["code"] == "request_state_invalid"
    assert here.effects() == ['save_note {"name": "a"}']


@pytest.mark.parametrize("approve", [True, False])
async def test_what_carries_little_risk_is_confirmed_in_the_client_and_recorded_as_that(
    here: World, *, approve: bool
) -> None:
    line = await here.gate(gate={"goal": "Look at the weather", "wait_s": 0.1})
    await line.begin(elicitation={"form": {}})
    number = await line.start("tools/call", name="ask_person", arguments={"n": 1})
    form = await line.read()
    said = {"action": "accept", "content": {"approve": approve}}
    await line.send(json.dumps({"jsonrpc": "2.0", "id": form["id"], "result": said}).encode())
    answer = await line.answer(number)
    modern = await here.gate(gate={"wait_s": 0.1})
    call: dict[str, Any] = {"name": "ask_person", "arguments": {"n": 2}}
    asked = (await modern.modern("tools/call", FORMS, **call))["result"]
    state, answers = asked["requestState"], {"jittrust": said}
    done = await modern.modern("tools/call", FORMS, **call, inputResponses=answers, requestState=state)
    await line.leave()
    await modern.leave()

    assert form["method"] == "elicitation/create"
    assert form["params"]["requestedSchema"]["required"] == ["approve"]
    answered = [record for record in await here.records("approval") if record["state"] in ("approved", "denied")]
    assert [record["confirmed_by"] for record in answered] == ["client", "client"]
    if approve:
        assert (text(answer), text(done)) == ("ask_person done", "ask_person done")
    else:
        assert decided(answer)["code"] == decided(done)["code"] == "approval_denied"
    assert len(here.effects()) == (2 if approve else 0)


async def says_yes(here: World) -> None:
    """A person who approves whatever is asked."""
    while True:
        for approval in await here.broker.driving.approvals.waiting():
            await here.answer(approval, approve=True)
        await asyncio.sleep(0.02)


async def test_what_a_server_asks_of_the_client_passes_under_judgement_in_both_revisions(here: World) -> None:
    approver = asyncio.create_task(says_yes(here))
    line = await here.gate(gate=READ)
    await line.begin(elicitation={})
    number = await line.start("tools/call", name="read_mood", arguments={})
    form = await line.read()
    await line.send(b'{"jsonrpc":"2.0","id":"ask-1","result":{"action":"accept","content":{"mood":"fine"},"x":1.0}}')
    answer = await line.answer(number)
    await line.leave()
    line = await here.gate(gate=READ)
    asked = await line.modern("tools/call", {}, name="read_mood", arguments={})
    said = {"q": {"action": "accept", "content": {"mood": "fine"}}}
    done = await line.modern("tools/call", {}, name="read_mood", arguments={}, inputResponses=said, requestState="up-1")
    await line.leave()
    approver.cancel()

    assert (form["id"], form["method"]) == ("ask-1", "elicitation/create")
    assert json.loads(text(answer))["content"] == {"mood": "fine"}
    assert asked["result"]["inputRequests"]["q"]["method"] == "elicitation/create"
    assert json.loads(text(done)) == [said, "up-1"]
    judged = [use["action"]["method"] for use in await here.records("use")]
    assert judged == ["tools/call", "elicitation/create", "tools/call", "elicitation/create", "tools/call"]


# --- tools that change -------------------------------------------------------------------------------------------------------------------


async def test_a_tool_whose_definition_changes_is_blocked_also_when_it_changes_back_until_a_person_approves(
    here: World,
) -> None:
    line = await here.gate(gate=QUICK)
    await line.begin()
    before = await line.call("read_note", name="a")
    flipped = await line.call("flip")
    during = await line.call("read_note", name="b")
    listed = [tool["name"] for tool in (await line.ask("tools/list"))["result"]["tools"]]
    await line.call("flip")
    back = await line.call("read_note", name="c")
    await here.answer(await here.waiting(), approve=True)
    await line.leave()

    assert text(before).startswith("note a")
    assert "isError" not in flipped["result"]
    assert decided(during)["code"] == decided(back)["code"] == "tool_unavailable"
    assert "read_note" not in listed
    assert {"method": "notifications/tools/list_changed", "jsonrpc": "2.0"} in line.notices
    assert [effect for effect in here.effects() if effect.startswith("read_note")] == ['read_note {"name": "a"}']


async def test_a_definition_that_changes_without_a_word_is_found_before_the_next_call(here: World) -> None:
    line = await here.gate("silent", gate=QUICK | {"repin_s": 0})
    await line.begin()
    before = await line.call("read_note", name="a")
    await line.call("flip")
    after = await line.call("read_note", name="b")
    await line.leave()

    assert text(before).startswith("note a")
    assert decided(after)["code"] == "tool_unavailable"
    assert 'read_note {"name": "b"}' not in here.effects()


async def test_a_server_that_shows_the_gate_one_list_and_the_client_another_lists_and_runs_neither(here: World) -> None:
    line = await here.gate("alternates", gate=QUICK)
    await line.begin()
    listed = [tool["name"] for tool in (await line.ask("tools/list"))["result"]["tools"]]
    answer = await line.call("read_note", name="a")
    await line.leave()

    assert "read_note" not in listed
    assert "slow" in listed
    assert decided(answer)["code"] == "tool_unavailable"
    assert here.effects() == []


async def test_the_client_hears_when_the_mission_changes_what_is_listed(here: World) -> None:
    line = await here.gate()
    await line.begin()
    names = [tool["name"] for tool in (await line.ask("tools/list"))["result"]["tools"]]
    await here.broker.driving.missions.say("dana", "Read the note a", GoalSource.MISSION_START, "")
    notice = await line.read()
    after = [tool["name"] for tool in (await line.ask("tools/list"))["result"]["tools"]]
    await line.leave()

    assert "delete_note" in names
    assert notice["method"] == "notifications/tools/list_changed"
    assert "delete_note" not in after
    assert "read_note" in after


async def test_in_the_stateless_revision_subscribers_hear_it_under_their_subscription(here: World) -> None:
    line = await here.gate()
    assert (await line.modern("tools/list"))["result"]["cacheScope"] == "private"
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    number = await line.start("subscriptions/listen", notifications={"toolsListChanged": True}, _meta=meta)
    taken = await line.read()
    await here.broker.driving.missions.say("dana", "Read the note a", GoalSource.MISSION_START, "")
    heard = await line.read()
    await line.notice("notifications/cancelled", requestId=number)
    alive = await line.modern("tools/call", name="read_note", arguments={"name": "a"})
    await line.leave()

    subscription = {"io.modelcontextprotocol/subscriptionId": number}
    assert taken["method"] == "notifications/subscriptions/acknowledged"
    assert taken["params"] == {"_meta": subscription, "notifications": {"toolsListChanged": True}}
    assert (heard["method"], heard["params"]["_meta"]) == ("notifications/tools/list_changed", subscription)
    assert text(alive).startswith("note a")


# --- bad servers -------------------------------------------------------------------------------------------------------------------------


async def test_what_a_server_prints_beside_the_protocol_is_skipped_counted_and_defused(here: World) -> None:
    line = await here.gate("garbage", gate=READ)
    await line.begin()
    answer = await line.call("read_note", name="a")
    code, said = await line.leave()

    assert text(answer).startswith("note a")
    assert code == 0
    assert "Listening on stdio" in said
    assert "\x1b" not in said
    assert "lines of the server that were skipped: " in said
    assert "Traceback" not in said


async def test_a_server_that_dies_in_a_call_ends_every_call_with_a_code_and_they_are_in_doubt(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    slow = await line.start("tools/call", name="slow", arguments={"seconds": 5})
    dying = await line.start("tools/call", name="die", arguments={})
    answers = [await line.answer(slow), await line.answer(dying)]
    code, said = await line.ended()

    assert [answer["error"]["data"]["code"] for answer in answers] == ["upstream_died", "upstream_died"]
    assert "exit code 7" in answers[0]["error"]["message"]
    assert sorted(await settled(here, 2)) == ["in_doubt", "in_doubt"]
    assert code == 7
    assert "Traceback" not in said


async def test_an_answer_that_cannot_be_read_ends_its_call_and_the_next_call_works(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    bad = await line.call("bad")
    huge = await line.call("huge")
    good = await line.call("read_note", name="a")
    code, said = await line.leave()

    assert bad["error"]["data"]["code"] == huge["error"]["data"]["code"] == "upstream_malformed"
    assert text(good).startswith("note a")
    assert sorted(await settled(here, 3)) == ["complete", "in_doubt", "in_doubt"]
    assert code == 0
    assert "json_duplicate_key" in said


async def test_a_flood_of_notifications_waits_for_the_client_and_loses_nothing(here: World) -> None:
    line = await here.gate("flood", gate=READ)
    await line.begin()
    number = await line.start("tools/call", name="read_note", arguments={"name": "a"})
    await asyncio.sleep(1.0)
    status = Path(f"/proc/{line.process.pid}/status").read_text("utf-8")
    answer = await line.answer(number)
    await line.leave()

    resident = int(status.split("VmRSS:")[1].split()[0])
    assert text(answer).startswith("note a")
    assert len([notice for notice in line.notices if notice["method"] == "notifications/message"]) == 10_000
    assert resident < 200_000


async def test_a_server_that_never_lists_its_tools_holds_nobody_up_for_ever_and_gets_no_call_through(
    here: World,
) -> None:
    line = await here.gate("mute", gate={"goal": "Read my notes", "wait_s": 0.1, "upstream_s": 0.5})
    await line.begin()
    answer = await line.call("read_note", name="a")
    await line.leave()

    assert decided(answer)["code"] == "tool_unavailable"
    assert here.effects() == []


# --- bad clients -------------------------------------------------------------------------------------------------------------------------

HOSTILE = [
    (b"not json", "json_syntax"),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":NaN}}', "json_not_finite"),
    (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read_note","name":"delete_note"}}',
        "json_duplicate_key",
    ),
    (
        b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
        "json_too_deep",
    ),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\udc00"}}', "json_lone_surrogate"),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xc3"}}', "json_bad_utf8"),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', "batch_unsupported"),
    (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":"' + b"a" * 10_000_000 + b'"}}', "json_too_large"),
    (b'{"jsonrpc":"2.0","id":[],"method":"ping"}', "bad_id"),
]


async def test_every_hostile_line_gets_an_error_with_a_code_and_the_lines_around_it_are_answered(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    codes = []
    for raw, _ in HOSTILE:
        await line.send(raw)
        codes.append((await line.read())["error"]["data"]["code"])
        assert text(await line.call("read_note", name="a")).startswith("note a")
    code, said = await line.leave()

    assert codes == [code for _, code in HOSTILE]
    assert len(here.effects()) == len(HOSTILE)
    assert (code, said) == (0, "")


async def test_an_id_in_use_is_refused_and_a_response_nobody_asked_for_is_dropped(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    slow = b'{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"slow","arguments":{"seconds":0.4}}}'
    await line.send(slow)
    await line.send(slow)
    refused = await line.answer(50)
    answer = await line.answer(50)
    await line.send(b'{"jsonrpc":"2.0","id":"jittrust-0-1","result":{"action":"accept"}}')
    await line.send(b'{"jsonrpc":"2.0","method":"notifications/vendor/delete_everything","params":{}}')
    alive = await line.call("read_note", name="a")
    await line.leave()

    assert refused["error"]["data"]["code"] == "id_in_use"
    assert text(answer) == "slow done"
    assert text(alive).startswith("note a")
    assert len(here.effects()) == 2


async def test_a_cancelled_call_is_passed_on_settled_as_in_doubt_and_never_answered(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    number = await line.start("tools/call", name="slow", arguments={"seconds": 1.0}, _meta={"progressToken": 1})
    while (await line.read()).get("method") != "notifications/progress":
        pass
    await line.notice("notifications/cancelled", requestId=number, reason="enough")
    alive = await line.call("read_note", name="a")
    outcomes = await settled(here, 2)
    await asyncio.sleep(0.6)
    await line.leave()

    assert text(alive).startswith("note a")
    assert "in_doubt" in outcomes
    assert "cancelled" in here.effects()
    assert not [notice for notice in line.notices if notice.get("id") == number]


async def test_a_client_that_leaves_in_a_call_ends_the_server_and_the_call_is_in_doubt(here: World) -> None:
    line = await here.gate(gate=READ, drain_s=0.2, grace_s=0.5)
    await line.begin()
    await line.start("tools/call", name="never", arguments={})
    while not here.effects():
        await asyncio.sleep(0.02)
    began = time.monotonic()
    code, said = await line.leave()

    assert code == 0
    assert time.monotonic() - began < 5
    assert await settled(here) == ["in_doubt"]
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_everything_cleanly_even_a_stubborn_server(here: World, number: signal.Signals) -> None:
    line = await here.gate("stubborn", gate=READ, grace_s=0.3)
    await line.begin()
    await line.start("tools/call", name="never", arguments={})
    while not here.effects():
        await asyncio.sleep(0.02)
    children = Path(f"/proc/{line.process.pid}/task/{line.process.pid}/children").read_text("utf-8").split()
    line.process.send_signal(number)
    code, said = await line.ended(10)

    assert code == 128 + number
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert await settled(here) == ["in_doubt"]
    assert "Traceback" not in said


async def test_lines_from_a_file_are_answered_too(here: World, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    call = {
        "jsonrpc": "2.0",
        "id": 2,
        "method": "tools/call",
        "params": {"name": "read_note", "arguments": {"name": "a"}},
    }
    opening = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}},
    }
    asked.write_text("\n".join(map(json.dumps, (opening, call))), "utf-8")
    with asked.open("rb") as source, (tmp_path / "said").open("wb") as sink:
        process = await asyncio.create_subprocess_exec(*here.command(gate=READ), stdin=source, stdout=sink)
        assert await asyncio.wait_for(process.wait(), 20) == 0

    said = [json.loads(raw) for raw in (tmp_path / "said").read_text("utf-8").splitlines()]
    assert {message["id"] for message in said} == {1, 2}


async def test_a_command_that_does_not_exist_is_named(here: World) -> None:
    process = await asyncio.create_subprocess_exec(
        *here.command(server=("/nonexistent/server",)), stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()

    assert process.returncode != 0
    assert b"command_not_found" in said


# --- the broker ----------------------------------------------------------------------------------------------------------------------------


async def test_without_a_broker_calls_are_refused_with_a_code_and_go_again_once_it_is_back(here: World) -> None:
    from jittrust.ports import wire

    line = await here.gate(gate=READ)
    await line.begin()
    await line.call("read_note", name="a")
    await here.face.close()
    gone = await line.call("read_note", name="b")
    await here.face.open(wire.socket_path(here.state))
    back = await line.call("read_note", name="c")
    await line.leave()

    assert gone["error"]["data"]["code"] == "broker_unreachable"
    assert text(back).startswith("note c")
    assert here.effects() == ['read_note {"name": "a"}', 'read_note {"name": "c"}']


async def test_a_result_that_cannot_be_recorded_is_held_back(here: World) -> None:
    line = await here.gate(gate=READ)
    await line.begin()
    number = await line.start("tools/call", name="slow", arguments={"seconds": 0.8})
    while not here.effects():
        await asyncio.sleep(0.02)
    await here.face.close()
    answer = await line.answer(number)
    await line.leave()

    assert answer["error"]["data"]["code"] == "result_withheld"
    assert "slow done" not in json.dumps(answer)


async def test_two_gates_of_one_person_share_mission_and_gas(here: World) -> None:
    one, two = await here.gate(gate=READ), await here.gate(gate={"server": "other"})
    await one.begin()
    await two.begin()
    await one.call("read_note", name="a")
    await two.call("read_note", name="b")
    await one.leave()
    await two.leave()

    uses = await here.records("use")
    assert len({use["grant"]["id"] for use in uses}) == 1
    assert [use["action"]["resource"] for use in uses] == ["notes/read_note", "other/read_note"]


# --- the official client -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_the_official_client_works_through_the_gate_in_both_revisions(here: World, mode: str) -> None:
    command, *arguments = here.command(gate=QUICK)
    server = StdioServerParameters(command=command, args=arguments, env=dict(os.environ))
    async with Client(server, mode=mode) as client:
        listed = {tool.name for tool in (await client.list_tools()).tools}
        read = await client.call_tool("read_note", {"name": "a"})
        refused = await client.call_tool("delete_note", {"name": "a"})
        resource = await client.read_resource("note://a")
        with pytest.raises(MCPError) as unknown:
            await client.get_prompt("no such prompt")

    assert "delete_note" not in listed
    assert isinstance(read.content[0], types.TextContent)
    assert read.content[0].text.startswith("note a")
    assert refused.is_error
    assert resource.contents
    # The server's own answer: prompts of a server that the mission concerns are read like its closed-world tools.
    assert unknown.value.code == -32601
    assert [effect.split()[0] for effect in here.effects()] == ["read_note", "resource"]


async def test_the_gate_is_ready_fast_and_costs_little(here: World) -> None:
    line = await here.gate(gate=READ)
    began = time.perf_counter()
    await line.begin()
    ready = time.perf_counter() - began
    await line.call("read_note", name="a")
    times = []
    for _ in range(100):
        at = time.perf_counter()
        await line.call("read_note", name="a")
        times.append(time.perf_counter() - at)
    await line.leave()
    print(
        f"ready {ready * 1000:.0f} ms, call p50 {sorted(times)[50] * 1000:.2f} ms, p95 {sorted(times)[95] * 1000:.2f} ms",
        file=sys.stderr,
    )

    assert ready < 5
    assert sorted(times)[50] < 0.1
