"""The driving ports as bytes: what goes in comes out, and nothing else does."""

# ruff: noqa: ANN401 - values of many types
from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from jittrust.core import errors
from jittrust.core.approval import Approval, ApprovalKind, ConfirmedBy
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.grant.grant import Grant, PassBinding, Shown, Strictness
from jittrust.core.grant.states import GrantState
from jittrust.core.intent.adoption import AdoptedBaseline
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.promotion import Promotion
from jittrust.core.mission.states import MissionState
from jittrust.core.model import (
    Action,
    Evaluation,
    IntentFactors,
    Reading,
    Reason,
    Resource,
    Response,
    Ruling,
    Subject,
    SubjectKind,
    Verdict,
    WeightedIntentScore,
)
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.response.stop import Stop, StopScope
from jittrust.core.units import Gas, Instant, Score, Seconds, Unit
from jittrust.ports import wire
from jittrust.ports.approvals import Answer
from jittrust.ports.baselines import BaselineInForce
from jittrust.ports.decision_point import Decision, Learned, Lease, Outcome, Passage, Settled
from jittrust.ports.grants import ChildGrant, IssuedGrant, NewGrant
from jittrust.ports.missions import MissionChange, MissionView, NewMission
from jittrust.ports.registry import Attached, Attachment
from jittrust.ports.responses import Stopped
from jittrust.ports.searches import Found

READING = Reading("O", Unit(0.5), Unit(1.0), "here", "because")
APPROVAL = Approval(
    "a-1", ApprovalKind.CALL, "m-1", "s", "t", "d", "text", "why", 40, Instant(1.5), Instant(2.0), price=Gas(3)
)
VERDICT = Verdict(
    Ruling.STEP_UP,
    Response.FLAG,
    (Reason("code", "fact", "more"),),
    "K.read",
    IntentFactors(READING, READING, Reading("R", None, Unit(0.0), "x", "y"), Seconds(7)),
    WeightedIntentScore(Score(50.5), None, ("R",)),
    Unit(0.25),
    Gas(12),
    Score(70),
    "e-1",
    "approval_needed",
    "Ask.",
)
MISSION = Mission(
    "m-1",
    "dana",
    "claude@dana",
    Goal(("a", "b"), GoalSource.PROMPT_HOOK),
    MissionState.ACTIVE,
    AuthorityMap(
        (
            AuthorityEntry(
                "e",
                "s/t",
                constraints={"type": "object", "x": [1, None, {"y": 1.5}]},
                uses_left=2,
                state=EntryState.APPROVED,
            ),
        ),
        2,
    ),
    Instant(1),
    Instant(2),
    Instant(3),
)
GRANT = Grant(
    "g",
    "m",
    "g",
    "a",
    "",
    PassBinding.DPOP,
    "j",
    Strictness.STRICT,
    GrantState.ACTIVE,
    Gas(1),
    Gas(2),
    1,
    Instant(1),
    Instant(2),
)
VALUES: list[Any] = [
    Evaluation(
        "c",
        Subject(SubjectKind.AGENT, "a"),
        Action("tools/call"),
        Resource("tool", "s/t"),
        {"a": [1, "ü\u202e", None, {"b": 2**63}]},
        "d" * 64,
    ),
    Shown(PassBinding.DPOP, "g", "nonce", Instant(1.25), "jti", "jkt"),
    Decision(
        Passage.ASK,
        VERDICT,
        "c",
        "g",
        "next",
        Gas(9),
        APPROVAL,
        b"\x00\xff",
        3,
        observed=True,
        mission="m",
        generation=4,
    ),
    Outcome(Settled.COMPLETE, ("a", "b\0"), {"x": [1, {"y": None}]}, b"{}", "d"),
    Learned(Response.SUSPEND, ("r",), "n"),
    APPROVAL,
    Answer(True, "dana", ConfirmedBy.PIN, "2468"),  # noqa: FBT003 - the port's own order
    MissionView(MISSION, Standing(Score(60), SessionState.NORMAL)),
    NewMission("dana", "goal", GoalSource.MISSION_START, MISSION.authority.entries),
    MissionChange(("e",), add=MISSION.authority.entries, to=MissionState.SUSPENDED),
    NewGrant("dana", "a", "s", PassBinding.DPOP, gas=Gas(5), ttl=Seconds(60)),
    IssuedGrant(GRANT, "token", None),
    ChildGrant("g", "b", "j" * 43, gas=Gas(3), uses=2, authority=MISSION.authority, may_act=("c",)),
    Stop("grant:g", StopScope.GRANT, "g", "why", "dana", Instant(1.5)),
    Stopped(Stop("agent:a", StopScope.AGENT, "a", "why", "dana", Instant(1.5), Instant(2.5), 2), ("g",), ("m",), 3),
    Lease(goes_on=False, code="grant_ended", why="it was revoked"),
    Found(("a", "b"), "b"),
    AdoptedBaseline("usual", {"baseline": 2, "origins": [["a", "b", 1]]}, "d" * 64, "ada", "why", Instant(1.5)),
    BaselineInForce(None, 3, 1, alarm=True),
    Promotion("coder", "ada", "why", Instant(1.5), Instant(2.5), 2),
    Attachment("dana", "a", "s", (1, 2), "goal", observe=True),
    Attached("p", "m", -1, goal_stated=False, observe=False),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_value_of_the_ports_survives_the_wire(value: Any) -> None:
    there = wire.unframe(wire.frame({"v": wire.encode(value)})[4:])["v"]
    back = wire.reader(cast("Any", type(value)))(there)

    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_another_shape_is_refused_with_a_code(value: Any) -> None:
    good: dict[str, Any] = json.loads(json.dumps(wire.encode(value)))
    first = next(iter(good))
    whole = [{}, {k: v for k, v in good.items() if k != first}] if type(value) is not MissionChange else []
    bad: Any
    for bad in (None, 7, [], good | {"surplus": 1}, good | {first: {"odd": []}}, *whole):
        with pytest.raises(BadInputError) as refused:
            wire.reader(cast("Any", type(value)))(bad)
        assert refused.value.code in ("wire_value", "bad_number")


def test_every_method_of_every_driving_port_can_go_over_the_wire() -> None:
    assert len(wire.calls()) >= 22
    assert {name.split(".")[0] for name in wire.calls()} == {
        "decisions",
        "contracts",
        "missions",
        "grants",
        "approvals",
        "registry",
        "ledger",
        "identities",
        "enrolment",
        "bundles",
        "authorities",
        "federation",
        "people",
        "sources",
        "responses",
        "searches",
        "baselines",
        "promotions",
    }
    assert wire.calls()["grants.open_lane"].result([1, "x", "y"]) == (1, "x", "y")
    assert wire.calls()["ledger.entries"].result(["AAE="]) == (b"\x00\x01",)
    assert wire.calls()["missions.list"].required == frozenset()


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.JitError)]
)
def test_an_error_is_raised_again_as_what_it_was(kind: type[errors.JitError]) -> None:
    back = wire.decode_error(json.loads(json.dumps(wire.encode_error(kind("c", "m", "n")))))

    assert (type(back), back.code, back.message, back.next_step) == (kind, "c", "m", "n")


def test_an_error_of_an_unknown_class_is_raised_as_the_nearest_known_one() -> None:
    class PinError(RefusedError):
        pass

    assert wire.encode_error(PinError("pin_wrong", "no"))["class"] == "RefusedError"
    assert isinstance(wire.decode_error({"class": "os.system"}), errors.UnavailableError)
    assert isinstance(wire.decode_error(None), errors.UnavailableError)


def test_a_frame_that_claims_to_be_huge_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadInputError, match="frame"):
        wire.frame_length(b"\xff\xff\xff\xff")
    assert wire.frame_length(b"\x00\x00\x01\x00") == 256


def test_a_socket_path_always_fits_and_differs_by_state_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    other = tmp_path / ("x" * 119 + "y")

    assert wire.socket_path(tmp_path) == tmp_path / "broker.sock"
    assert len(str(wire.socket_path(deep))) < 100
    assert wire.socket_path(deep) != wire.socket_path(other)
    assert wire.socket_path(deep) == wire.socket_path(deep)


def test_a_folder_that_others_may_write_to_is_not_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    open_to_all, link = tmp_path / "open", tmp_path / "link"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    link.symlink_to(tmp_path)

    assert wire.is_private(tmp_path)
    assert not wire.is_private(open_to_all)
    assert not wire.is_private(link)
    assert not wire.is_private(tmp_path / "missing")
