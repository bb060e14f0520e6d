"""A dialogue: the operator's text and every later message of the person make the map; a "yes" is no new act and takes none away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.replay import RecordedSession, replay_session, shipped_rules

TEXT = {"type": "string"}


def definition(name: str, description: str, *arguments: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": dict.fromkeys(arguments, TEXT), "required": list(arguments)}
    return {"name": name, "description": description, "inputSchema": schema}


TOOLS = (
    definition("get_berth", "Gets a berth", "berth_id"),
    definition("move_boat", "Moves a boat to another berth", "boat_id", "berth_id"),
    definition("cancel_berth", "Cancels the booking of a berth", "berth_id"),
    definition("transfer_to_human_agent", "Hands the guest over to a human agent", "summary"),
    definition("grant_gate_access", "Grants access to the gate", "boat_id"),
)
OPERATOR = {
    "role": "system",
    "content": "You are the harbour's agent. You can book or cancel berths for guests. Transfer the guest to a human agent if you cannot help.",
}


def said(words: str) -> dict[str, Any]:
    return {"role": "user", "content": words}


def called(number: int, name: str, **arguments: str) -> list[dict[str, Any]]:
    call = {"id": f"c{number}", "function": {"name": name, "arguments": json.dumps(arguments)}}
    return [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": f"c{number}", "content": '{"done": true}'},
    ]


def verdicts(*messages: dict[str, Any]) -> list[str]:
    session = RecordedSession("s", "agent", TOOLS, messages)
    rows = asyncio.run(replay_session(session, CedarPolicy.load(), shipped_rules()))
    return [str(row["verdict"]) for row in rows]


def test_the_work_that_the_operator_gave_the_agent_needs_nobody_where_the_person_speaks_of_it() -> None:
    talk = (said("My berth B17 is too small, what can you do?"), *called(1, "cancel_berth", berth_id="B17"))

    assert verdicts(OPERATOR, *talk) == ["allow"]
    assert verdicts(*talk) == ["step_up"]


def test_a_yes_is_no_new_act_and_takes_none_away() -> None:
    assert verdicts(
        OPERATOR,
        said("Please look at berth B17, it is too small for me."),
        *called(1, "get_berth", berth_id="B17"),
        {"role": "assistant", "content": "I can cancel berth B17. Shall I?"},
        said("Yes, go ahead."),
        *called(2, "cancel_berth", berth_id="B17"),
        *called(3, "grant_gate_access", boat_id="B17"),
    ) == ["allow", "allow", "step_up"]


def test_a_later_message_of_the_person_extends_the_map() -> None:
    assert verdicts(
        said("Show me berth B17."),
        *called(1, "cancel_berth", berth_id="B17"),
        said("Cancel the booking of berth B17, please."),
        *called(2, "cancel_berth", berth_id="B17"),
    ) == ["step_up", "allow"]


def test_what_the_agent_itself_proposed_is_no_word_of_the_person() -> None:
    assert verdicts(
        said("Show me berth B17."),
        {"role": "assistant", "content": "I could cancel the booking of berth B17 and move your boat."},
        said("Yes, go ahead."),
        *called(1, "cancel_berth", berth_id="B17"),
    ) == ["step_up"]


def test_handing_over_to_people_is_the_operators_to_allow() -> None:
    talk = (said("This does not help me at all."), *called(1, "transfer_to_human_agent", summary="unhappy guest"))

    assert verdicts(OPERATOR, *talk) == ["allow"]
    assert verdicts(*talk) == ["step_up"]
