"""A canary in every place where a secret can be: it is in no record, no question and no reason."""

from __future__ import annotations

import json

import pytest
from tests.model.world import World, world

from jittrust.core.intent.origin import ArgumentRole, Origin
from jittrust.core.intent.provenance import ProvenanceIndex
from jittrust.core.mission.mission import Goal, GoalSource
from jittrust.core.model import Json
from jittrust.pep.mcp.translate import shown_arguments

TOKEN = "ghp_canary0123456789abcdefghij"
WORD = "canary-Pw88"
LOGIN: dict[str, Json] = {
    "name": "log_in",
    "description": "Log in to the vault.",
    "inputSchema": {
        "type": "object",
        "properties": {"user": {"type": "string"}, "password": {"type": "string"}, "to": {"type": "string"}},
    },
    "annotations": {"readOnlyHint": False, "openWorldHint": True},
}


@pytest.mark.parametrize(
    ("arguments", "role"),
    [({"password": WORD}, ArgumentRole.CREDENTIAL), ({"to": TOKEN}, ArgumentRole.TARGET)],
)
def test_a_stranger_s_secret_is_traced_and_not_shown(arguments: dict[str, str], role: ArgumentRole) -> None:
    index = ProvenanceIndex()
    index.add_result("r#1", "srv/read", None, (f"The way in is {WORD} with {TOKEN} for all.",))

    (found, *_) = index.trace(
        arguments, Goal(("Log in",), GoalSource.MISSION_START), {f"/{name}": role for name in arguments}
    )

    assert found.origin is Origin.FREE_TEXT
    assert "canary" not in found.shown
    assert "[secret" in found.shown


@pytest.mark.parametrize("value", [WORD, TOKEN])
async def test_a_secret_out_of_a_document_is_in_no_record_and_no_question(value: str) -> None:
    w: World = await world()
    await w.join([LOGIN, {"name": "read_file", "inputSchema": {}, "annotations": {"readOnlyHint": True}}])
    await w.start(goal="Read the file plan.txt and log in to the vault")
    await w.settle(await w.call("read_file", {"path": "plan.txt"}), f"The password is {value} for all.")

    decision = await w.call("log_in", {"user": "bob", "password": value})

    told = [str(reason.fact) for reason in decision.verdict.reasons]
    assert any("password" in fact for fact in told)
    kinds = ("use", "refusal", "approval", "outcome", "mission", "grant")
    written = json.dumps([[dict(record) for record in await w.records(kind)] for kind in kinds], default=str)
    # The test's own text of the call stands in for what the enforcement point redacts; everything else is the broker's.
    assert value not in written.replace(json.dumps(json.dumps({"password": value, "user": "bob"}))[1:-1], "")
    assert value not in "".join(told)


@pytest.mark.parametrize(
    "name", ["password", "passphrase", "passcode", "otp", "pin", "user_pin", "jwt", "api-key", "apiKey", "PWD"]
)
def test_what_is_named_as_a_secret_is_not_shown_to_people(name: str) -> None:
    assert "canary" not in shown_arguments({name: "canary77"})


@pytest.mark.parametrize("name", ["pinned", "shopping", "spin", "opinion"])
def test_what_only_sounds_like_a_secret_is_shown(name: str) -> None:
    assert "canary77" in shown_arguments({name: "canary77"})
