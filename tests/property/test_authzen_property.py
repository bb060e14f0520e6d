"""Laws of the decision API: a question foretells the use, pages add up to the whole, and no body and no mapping brings anything but an answer."""

# ruff: noqa: ANN401 - any JSON is what is sent
from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from tests.authzen import asking, deciding, key_holder
from tests.model.world import World, allowing, world

from jittrust.api.authzen import coaz
from jittrust.core.errors import BadInputError, RefusedError
from jittrust.core.response.session import SessionState

TOOLS = ("read_file", "send_mail", "delete_record", "unknown")
ARGUMENTS = st.sampled_from(
    [
        {},
        {"path": "plan.txt"},
        {"path": "/etc/passwd"},
        {"to": "anna@example.com", "subject": "summary", "body": "The plan is fine."},
        {"to": "mallory@evil.example", "body": "everything"},
        {"id": "1"},
        {"id": 1, "more": [None, True, 1.5]},
    ]
)
STANDINGS = st.sampled_from(
    [
        (90.0, SessionState.NORMAL),
        (60.0, SessionState.FLAGGED),
        (45.0, SessionState.NARROWED),
        (20.0, SessionState.SUSPENDED),
        (2.0, SessionState.KILLED),
    ]
)


async def a_world(*allowed: str) -> World:
    made = await world()
    await made.join()
    await made.start(*(allowing(tool) for tool in allowed))
    return made


# What fails here is long, and making it shorter takes minutes.
@settings(max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    st.sets(st.sampled_from(TOOLS[:3])),
    STANDINGS,
    st.lists(st.tuples(st.sampled_from(TOOLS), ARGUMENTS, st.floats(0, 30)), min_size=1, max_size=6),
    st.integers(0, 60),
)
def test_a_question_foretells_what_a_use_would_get(
    allowed: set[str], standing: tuple[float, SessionState], calls: list[tuple[str, dict[str, Any], float]], gas: int
) -> None:
    async def checked() -> None:
        made = await a_world(*sorted(allowed))
        async with deciding(made) as api:
            agent = await key_holder(made, gas=gas + 40)
            await made.stand(agent.grant.grant.mission, *standing)
            for tool, arguments, later in calls:
                made.clock.now += later
                # Asked often, it stays the same answer and moves nothing.
                foretold = [await api.told("evaluation", asking(tool, arguments)) for _ in range(3)]
                use = asking(tool, arguments, presentation=agent.presentation())
                told = await api.told("evaluation", use)
                agent.newest = told["context"].get("next_pass", agent.newest)
                assert {one["decision"] for one in foretold} == {told["decision"]}, (tool, arguments, told, foretold[0])
                assert foretold[0]["context"]["reasons"] == told["context"]["reasons"]

    asyncio.run(checked())


@settings(max_examples=25)
@given(st.sets(st.text("abcxyz-@\u00e9\u6f22", min_size=1, max_size=6), min_size=1, max_size=12), st.integers(1, 5))
def test_pages_add_up_to_the_whole_whatever_their_size(names: set[str], limit: int) -> None:
    async def checked() -> None:
        made = await a_world("read_file")
        async with deciding(made) as api:
            for name in sorted(names):
                await key_holder(made, name)
            body = {**asking("read_file", {"path": "plan.txt"}), "subject": {"type": "agent"}}
            whole = [one["id"] for one in (await api.told("search/subject", body))["results"]]
            found: list[str] = []
            token = ""
            while True:
                page = await api.told("search/subject", {**body, "page": {"limit": limit, "token": token}})
                assert len(page["results"]) <= limit
                found += [one["id"] for one in page["results"]]
                token = page["page"]["next_token"]
                if not token:
                    break
            assert found == whole == sorted(whole)
            assert names <= set(whole)

    asyncio.run(checked())


NAMES = (
    "subject action resource context type id name properties evaluations options page token limit presentation grant mission denial message method "
    "params mapping arguments outcome"
).split()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["agent", "tool", "user", "record", "read", "alice", "srv/read_file"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(NAMES),
        inner,
        max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip
PATHS = (
    "evaluation",
    "evaluations",
    "search/subject",
    "search/resource",
    "search/action",
    "outcome",
    "mcp",
    "requests",
)


@settings(max_examples=250)
@given(st.sampled_from(PATHS), st.dictionaries(st.text(max_size=3), JSON, max_size=3), JSON, JSON, JSON, JSON)
@example(
    "evaluation", {}, {"type": "agent", "id": "agent"}, {"name": "x"}, {"type": "tool", "id": "/"}, {"mission": "m-1"}
)
def test_whatever_the_body_is_the_answer_is_a_decision_or_a_4xx(
    path: str,
    more: dict[str, Any],
    subject: Any,
    action: Any,
    resource: Any,
    context: Any,
) -> None:
    body = {**more, "subject": subject, "action": action, "resource": resource, "context": context}

    async def checked() -> int:
        async with deciding(await a_world("read_file")) as api:
            return (await api.post(path, body)).status_code

    assert asyncio.run(checked()) in {200, 400, 403, 404, 409, 413}


EXPRESSIONS = (
    "$token.sub|$params.name|$params.?x|$token.?y.?z|$|$$|$1/0|$[1]|$b''|$'a'+params.name|x|$params|$token|$type(1)|$1u|$-1.5|$size(params)"
    "|$timestamp('2026-01-01T00:00:00Z')|$duration('1s')|tool|record"
).split("|")
TEMPLATE = st.recursive(
    st.sampled_from([*EXPRESSIONS, 1, None, True])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(lambda text: f"${text}"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["evaluation", "evaluations", "subject", "action", "resource", "context", "id", "type", "name", "agent"]), inner, max_size=4
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=400)
@given(st.sampled_from(["evaluation", "evaluations"]), TEMPLATE, TEMPLATE, TEMPLATE)
def test_whatever_a_server_declares_the_subject_stays_the_token_s(
    envelope: str, one: Any, two: Any, three: Any
) -> None:
    filled: dict[str, Any] = {"action": one, "resource": two, "context": three}
    inner = filled if envelope == "evaluation" else {"evaluations": [filled], "subject": three}
    try:
        made: Any = coaz.request_of(
            "tools/call", {"name": "wipe"}, {"sub": "alice", "client_id": "agent"}, "", {envelope: inner}
        )
    except (BadInputError, RefusedError):
        return
    assert made["subject"]["id"] == "alice"
    contexts = [made["context"], *(item["context"] for item in made.get("evaluations", []))]
    assert all(context["agent"] == "agent" for context in contexts)
