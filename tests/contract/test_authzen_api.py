"""What the decision API promises to enforcement points: uses are paid and recorded, questions change nothing, and a no is an answer."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

import httpx2
import pytest
from tests.authzen import BASE, PEP, URL, Deciding, application, asking, credentials, deciding, key_holder
from tests.model.world import MAIL, World, allowing, world

from jittrust.api.authzen.read import MOST_EVALUATIONS
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.proof import make_proof
from jittrust.core.identity.identity import IdentityState
from jittrust.core.model import SubjectKind
from jittrust.core.response.session import SessionState
from jittrust.ports.grants import NewGrant
from jittrust.ports.identities import IdentityChange

PLAN = {"path": "plan.txt"}


@pytest.fixture
async def api() -> AsyncIterator[Deciding]:
    made = await world()
    await made.join()
    await made.start(allowing("read_file"), allowing("send_mail"))
    async with deciding(made) as found:
        yield found


async def snapshot(made: World) -> tuple[object, ...]:
    state = made.broker.state
    memories = {name: (tuple(m.recent), tuple(m.trail), m.last_tool, m.results) for name, m in state.memories.items()}
    tables = (state.grants, state.lanes, state.standings, state.approvals, state.histories, state.missions)
    return (*(dict(table) for table in tables), memories, await made.records())


# ---- uses ---------------------------------------------------------------------------------------------------------------------------


async def test_a_use_is_paid_recorded_and_gives_the_next_pass(api: Deciding) -> None:
    agent = await key_holder(api.world)
    before = api.world.broker.state.grants[agent.grant.grant.id].gas_left

    told = await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation()))

    context = told["context"]
    after = api.world.broker.state.grants[agent.grant.grant.id].gas_left
    assert told["decision"] is True
    assert context["gas"] == after < before
    assert context["next_pass"] not in ("", agent.newest)
    (record,) = await api.world.records("use")
    assert record["grant"]["id"] == agent.grant.grant.id  # type: ignore[index, call-overload]


async def test_the_outcome_is_reported_once_and_by_the_enforcement_point_that_was_answered(api: Deciding) -> None:
    agent = await key_holder(api.world)
    told = await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation()))
    report = {
        "evaluation_id": told["context"]["evaluation_id"],
        "outcome": {"settled": "complete", "texts": ["The plan."], "answer": base64.b64encode(b"{}").decode()},
    }
    other = await credentials(api.world, SubjectKind.WORKLOAD, "/workload/gateway")

    strange = await api.post("outcome", report, authorization=f"Bearer {other.jwt}")
    first, second = await api.post("outcome", report), await api.post("outcome", report)

    assert strange.status_code == second.status_code == 404
    assert strange.json()["code"] == second.json()["code"] == "evaluation_unknown"
    assert first.status_code == 200
    assert first.json()["next_pass"] == told["context"]["next_pass"]
    assert [one["settled"] for one in await api.world.records("outcome")] == ["complete"]


@pytest.mark.parametrize("sent", [b"the body", b"another body"])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_proof_that_speaks_of_the_body_is_held_to_it(api: Deciding, sent: bytes, *, whole: bool) -> None:
    agent = await key_holder(api.world)
    digest = base64.b64encode(hashlib.sha256(sent).digest()).decode()
    told_of = {"body": base64.b64encode(sent).decode()} if whole else {"body_digest": f"sha-256=:{digest}:"}
    proof = make_proof(
        agent.signer,
        method="POST",
        url=URL,
        iat=api.world.clock(),
        jti="proof-of-a-body",
        token=agent.grant.token,
        nonce=agent.newest,
        body=b"the body",
    )
    shown = {**agent.presentation(), "dpop": proof}

    without = await api.told("evaluation", asking("read_file", PLAN, presentation=shown))
    told = await api.told("evaluation", asking("read_file", PLAN, presentation={**shown, **told_of}))

    assert without["decision"] is False
    assert told["decision"] is (sent == b"the body")


async def test_a_chain_of_uses_always_takes_the_newest_pass(api: Deciding) -> None:
    agent = await key_holder(api.world)
    for number in range(5):
        told = await api.told(
            "evaluation", asking("read_file", {"path": f"plan{number}.txt"}, presentation=agent.presentation())
        )
        assert told["decision"] is True
        agent.newest = told["context"]["next_pass"]

    assert len(await api.world.records("use")) == 5


async def test_without_a_pass_the_agent_is_sent_for_one(api: Deciding) -> None:
    agent = await key_holder(api.world)
    agent.newest = None

    told = await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation()))

    assert told["decision"] is False
    assert told["context"]["reason"] == "use_dpop_nonce"
    agent.newest = told["context"]["next_pass"]
    assert (await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation())))[
        "decision"
    ] is True


async def test_an_answered_use_shown_again_gives_the_answer_and_goes_out_no_more(api: Deciding) -> None:
    agent = await key_holder(api.world)
    told = await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation()))
    outcome = {"settled": "complete", "answer": base64.b64encode(b'{"ok":1}').decode()}
    await api.told("outcome", {"evaluation_id": told["context"]["evaluation_id"], "outcome": outcome})

    again = await api.told("evaluation", asking("read_file", PLAN, presentation=agent.presentation()))

    assert again["decision"] is False
    assert again["context"]["reason"] == "answered_before"
    assert base64.b64decode(again["context"]["answer"]) == b'{"ok":1}'
    assert len(await api.world.records("use")) == 1


async def test_a_grant_whose_passes_the_enforcement_point_keeps_is_named(api: Deciding) -> None:
    grant = await api.world.broker.driving.grants.open(
        NewGrant("ada", "agent", "srv", PassBinding.GATEWAY, request="r")
    )

    told = await api.told("evaluation", asking("read_file", PLAN, grant=grant.grant.id))

    assert told["decision"] is True
    assert "next_pass" not in told["context"]
    bearer = {"authorization": f"Bearer {grant.token}", "url": "https://gateway.example/mcp/srv"}
    assert (await api.told("evaluation", asking("read_file", PLAN, presentation=bearer)))["decision"] is True


async def test_a_use_that_is_refused_costs_and_is_recorded(api: Deciding) -> None:
    agent = await key_holder(api.world)

    told = await api.told("evaluation", asking("delete_record", {"id": "1"}, presentation=agent.presentation()))

    assert told["decision"] is False
    assert told["context"]["next_pass"]
    assert len(await api.world.records("refusal")) == 1


async def test_a_use_bound_to_what_the_enforcement_point_cannot_do_is_refused_and_settled(api: Deciding) -> None:
    agent = await key_holder(api.world)
    mission = agent.grant.grant.mission
    await api.world.stand(mission, 60.0, SessionState.FLAGGED)
    asked = asking("read_file", PLAN, presentation=agent.presentation(), supported_obligations=["step-up"])

    told = await api.told("evaluation", asked)

    assert told["decision"] is False
    assert told["context"]["reason"] == "obligation_unsupported"
    assert [one["type"] for one in told["context"]["obligations"]] == ["notification"]
    assert [one["settled"] for one in await api.world.records("outcome")] == ["failed"]
    assert not api.world.broker.state.calls


# ---- questions ------------------------------------------------------------------------------------------------------------------------


async def test_a_question_is_answered_with_its_reasons_and_changes_nothing(api: Deciding) -> None:
    await key_holder(api.world)
    before = await snapshot(api.world)

    yes = await api.told("evaluation", asking("read_file", PLAN))
    no = await api.told("evaluation", asking("delete_record", {"id": "1"}))

    assert (yes["decision"], no["decision"]) == (True, False)
    assert "inside_map" in yes["context"]["reasons"]
    assert no["context"]["reason_user"]["en"]
    assert no["context"]["reason_admin"]["en"]
    assert await snapshot(api.world) == before


async def test_an_agent_without_a_mission_is_refused(api: Deciding) -> None:
    told = await api.told("evaluation", asking("read_file", PLAN, agent="stranger"))

    assert told["decision"] is False
    assert told["context"]["reason"] == "mission_unknown"


async def test_a_mission_is_judged_for_the_agents_it_has_and_for_nobody_else(api: Deciding) -> None:
    agent = await key_holder(api.world)
    mission = agent.grant.grant.mission

    mine = await api.told("evaluation", asking("read_file", PLAN, mission=mission))
    other = await api.told("evaluation", asking("read_file", PLAN, agent="mallory", mission=mission))
    none = await api.told("evaluation", asking("read_file", PLAN, mission="m-none"))

    assert mine["decision"] is True
    assert (other["decision"], other["context"]["reason"]) == (False, "mission_unknown")
    assert (none["decision"], none["context"]["reason"]) == (False, "mission_unknown")


async def test_an_agent_of_a_person_s_own_gate_is_judged_before_its_first_call() -> None:
    made = await world()
    await made.join()
    await made.start(allowing("read_file"))
    async with deciding(made) as found:
        told = await found.told("evaluation", asking("read_file", PLAN, agent="coder@ada"))

    assert told["decision"] is True
    assert made.broker.state.grants == {}


async def test_a_flagged_agent_is_let_through_with_a_notification(api: Deciding) -> None:
    agent = await key_holder(api.world)
    await api.world.stand(agent.grant.grant.mission, 60.0, SessionState.FLAGGED)

    told = await api.told("evaluation", asking("read_file", PLAN))
    knows = await api.told("evaluation", asking("read_file", PLAN, supported_obligations=["notification"]))
    lacks = await api.told("evaluation", asking("read_file", PLAN, obligations_supported=["custom", "of-others"]))

    assert told["decision"] is knows["decision"] is True
    assert told["context"]["obligations"][0]["type"] == "notification"
    assert lacks["decision"] is False


async def test_a_suspended_session_is_to_be_ended(api: Deciding) -> None:
    agent = await key_holder(api.world)
    await api.world.stand(agent.grant.grant.mission, 20.0, SessionState.SUSPENDED)

    told = await api.told("evaluation", asking("read_file", PLAN))

    assert told["decision"] is False
    assert told["context"]["obligations"] == [
        {"id": "obl-1", "type": "session_termination", "properties": {"subject": "agent"}}
    ]


async def test_without_rules_for_others_every_other_question_is_answered_with_no() -> None:
    async with deciding(await world(), rules=False) as api:
        alice = {"type": "user", "id": "alice"}
        told = await api.told(
            "evaluation",
            {"subject": alice, "action": {"name": "read"}, "resource": {"type": "record", "id": "record-1"}},
        )
        found = await api.told(
            "search/resource", {"subject": alice, "action": {"name": "read"}, "resource": {"type": "record"}}
        )

    assert told["decision"] is False
    assert found["results"] == []


# ---- batches -----------------------------------------------------------------------------------------------------------------------------


async def test_each_semantics_of_a_batch_stops_where_it_says(api: Deciding) -> None:
    await key_holder(api.world)
    items = [asking("read_file", PLAN), asking("delete_record", {"id": "1"}), asking("read_file", PLAN)]

    async def asked(semantics: str) -> list[bool]:
        body = {"evaluations": items, "options": {"evaluations_semantic": semantics}}
        return [one["decision"] for one in (await api.told("evaluations", body))["evaluations"]]

    assert await asked("execute_all") == [True, False, True]
    assert await asked("deny_on_first_deny") == [True, False]
    assert await asked("permit_on_first_permit") == [True]


async def test_a_batch_has_no_effects(api: Deciding) -> None:
    agent = await key_holder(api.world)
    before = await snapshot(api.world)

    told = await api.told(
        "evaluations", {"evaluations": [asking("read_file", PLAN, presentation=agent.presentation())]}
    )

    assert told["evaluations"][0]["decision"] is False
    assert told["evaluations"][0]["context"]["error"]["code"] == "use_in_batch"
    assert await snapshot(api.world) == before


async def test_a_batch_has_a_bound(api: Deciding) -> None:
    answer = await api.post("evaluations", {"evaluations": [asking("read_file")] * (MOST_EVALUATIONS + 1)})

    assert (answer.status_code, answer.json()["code"]) == (400, "batch_too_large")


# ---- searches ----------------------------------------------------------------------------------------------------------------------------


async def test_searches_name_agents_tools_and_actions_in_order_and_change_nothing(api: Deciding) -> None:
    for name in ("zoe", "bob", "agent"):
        await key_holder(api.world, name)
    before = await snapshot(api.world)
    agent, tool = {"type": "agent", "id": "bob"}, {"type": "tool", "id": "srv/read_file"}
    call = {"name": "tools/call", "properties": {"arguments": PLAN}}

    subjects = await api.told("search/subject", {"subject": {"type": "agent"}, "action": call, "resource": tool})
    resources = await api.told("search/resource", {"subject": agent, "action": call, "resource": {"type": "tool"}})
    actions = await api.told("search/action", {"subject": agent, "resource": tool})

    assert [one["id"] for one in subjects["results"]] == ["agent", "agent@ada", "bob", "zoe"]
    assert [one["id"] for one in resources["results"]] == ["srv/read_file", "srv/send_mail"]
    assert actions["results"] == [{"name": "tools/call"}]
    assert await snapshot(api.world) == before


async def test_pages_of_a_search_add_up_to_the_whole(api: Deciding) -> None:
    for number in range(7):
        await key_holder(api.world, f"agent-{number}")
    body = {
        "subject": {"type": "agent"},
        "action": {"name": "tools/call", "properties": {"arguments": PLAN}},
        "resource": {"type": "tool", "id": "srv/read_file"},
    }
    whole = [one["id"] for one in (await api.told("search/subject", body))["results"]]

    found: list[str] = []
    token = ""
    while True:
        page = await api.told("search/subject", {**body, "page": {"limit": 3, "token": token}})
        found += [one["id"] for one in page["results"]]
        token = page["page"]["next_token"]
        if not token:
            break

    assert found == whole == sorted(whole)
    assert len(whole) == 8


async def test_a_page_token_belongs_to_its_search(api: Deciding) -> None:
    for name in ("a", "b", "c"):
        await key_holder(api.world, name)
    body = {
        "subject": {"type": "agent"},
        "action": {"name": "tools/call", "properties": {"arguments": PLAN}},
        "resource": {"type": "tool", "id": "srv/read_file"},
    }
    token = (await api.told("search/subject", {**body, "page": {"limit": 1}}))["page"]["next_token"]
    other = {**body, "resource": {"type": "tool", "id": "srv/send_mail"}, "page": {"token": token}}

    answer = await api.post("search/subject", other)

    assert (answer.status_code, answer.json()["code"]) == (400, "page_bad")


# ---- access requests -----------------------------------------------------------------------------------------------------------------------


async def test_a_refusal_that_a_person_can_lift_becomes_a_task_and_access_comes_from_asking_again(
    api: Deciding,
) -> None:
    agent = await key_holder(api.world)
    asked = asking("delete_record", {"id": "1"})
    refused = await api.told("evaluation", asked)
    offer = refused["context"]["access_request"]
    assert [one["type"] for one in refused["context"]["obligations"]] == ["step-up"]
    denial = {"binding_token": offer["binding_token"], "expires_at": offer["expires_at"]}

    first = await api.post("requests", {**asked, "denial": denial})
    second = await api.post("requests", {**asked, "denial": denial})

    assert first.status_code == second.status_code == 202
    task = first.json()["task"]
    assert task["status"] == "pending"
    assert second.json()["task"]["id"] == task["id"]
    assert first.headers["location"] == task["status_endpoint"]
    (approval,) = await api.world.broker.driving.approvals.waiting()
    assert (approval.target, approval.subject) == ("srv/delete_record", "agent")

    pending = await api.http.get(f"/access/v1/requests/{task['id']}")
    assert pending.headers["retry-after"]
    assert "result" not in pending.json()
    assert (await api.told("evaluation", asked))["decision"] is False

    await api.world.yes(approval)
    done = (await api.http.get(f"/access/v1/requests/{task['id']}")).json()
    assert done["task"]["status"] == "approved"
    assert done["result"]["mode"] == "reevaluate"

    assert (await api.told("evaluation", {**asked, "context": {"approval": done["result"]["approval"]}}))[
        "decision"
    ] is True
    use = asking("delete_record", {"id": "1"}, presentation=agent.presentation())
    assert (await api.told("evaluation", use))["decision"] is True
    # It bought one call.
    assert (await api.told("evaluation", asked))["decision"] is False


async def test_a_task_ends_as_the_person_or_the_enforcement_point_or_time_wants(api: Deciding) -> None:
    await key_holder(api.world)

    async def ask(number: str) -> str:
        asked = asking("delete_record", {"id": number})
        offer = (await api.told("evaluation", asked))["context"]["access_request"]
        denial = {"binding_token": offer["binding_token"], "expires_at": offer["expires_at"]}
        handle: str = (await api.post("requests", {**asked, "denial": denial})).json()["task"]["id"]
        return handle

    async def status(handle: str) -> str:
        state: str = (await api.http.get(f"/access/v1/requests/{handle}")).json()["task"]["status"]
        return state

    denied, cancelled, expired = await ask("1"), await ask("2"), await ask("3")
    waiting = {one.digest: one for one in await api.world.broker.driving.approvals.waiting()}
    await api.world.yes(next(iter(waiting.values())), approve=False)
    taken = await api.http.post(f"/access/v1/requests/{cancelled}/cancel")
    api.world.clock.now += 10_000

    assert taken.json()["task"]["status"] == "cancelled"
    assert [await status(one) for one in (denied, cancelled, expired)] == ["denied", "cancelled", "expired"]
    again = await api.http.post(f"/access/v1/requests/{cancelled}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "approval_closed")


# ---- MCP messages ------------------------------------------------------------------------------------------------------------------------


async def test_an_mcp_message_is_mapped_and_decided(api: Deciding) -> None:
    await key_holder(api.world)
    claims = {"sub": "ada", "client_id": "agent", "aud": "https://pdp.example/mcp/srv"}

    async def sent(method: str, **params: object) -> dict[str, object]:
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return await api.told("mcp", {"message": message, "token": claims, "server": "srv"})

    assert (await sent("tools/call", name="read_file", arguments=PLAN))["decision"] is True
    assert (await sent("tools/call", name="delete_record", arguments={"id": "1"}))["decision"] is False
    assert (await sent("ping"))["decision"] is True
    assert (await sent("notifications/cancelled"))["decision"] is True
    assert (await sent("tools/destroy"))["context"]["reason"] == "method_unknown"  # type: ignore[index]


async def test_a_tool_s_own_mapping_asks_the_written_rules(api: Deciding) -> None:
    mapping = {
        "evaluations": {
            "subject": {"type": "user", "id": "$token.sub"},
            "context": {"agent": "$token.?client_id"},
            "evaluations": [
                {"action": {"name": "read"}, "resource": {"type": "record", "id": "$params.arguments.source"}},
                {"action": {"name": "write"}, "resource": {"type": "record", "id": "$params.arguments.target"}},
            ],
        }
    }

    async def copy(sub: str, target: str) -> object:
        message = {
            "method": "tools/call",
            "params": {"name": "copy", "arguments": {"source": "record-1", "target": target}},
        }
        body = {"message": message, "token": {"sub": sub}, "mapping": mapping}
        return (await api.told("mcp", body))["decision"]

    assert await copy("alice", "record-1") is True
    assert await copy("alice", "record-2") is False
    assert await copy("bob", "record-1") is False


# ---- who may ask -----------------------------------------------------------------------------------------------------------------------


async def test_a_workload_asks_with_its_svid_and_an_agent_does_not(api: Deciding) -> None:
    workload = await credentials(api.world, SubjectKind.WORKLOAD, "/workload/gateway")
    agent = await credentials(api.world, SubjectKind.AGENT, "/agent/coder")

    assert (
        await api.post("evaluation", asking("read_file"), authorization=f"Bearer {workload.jwt}")
    ).status_code == 200
    refused = await api.post("evaluation", asking("read_file"), authorization=f"Bearer {agent.jwt}")

    assert (refused.status_code, refused.json()["code"]) == (401, "caller_unknown")
    assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_a_workload_asks_with_its_certificate_until_it_is_suspended(api: Deciding) -> None:
    import ssl

    shown = await credentials(api.world, SubjectKind.WORKLOAD, "/workload/gateway")
    application_ = application(api.world, None)
    pem = [ssl.DER_cert_to_PEM_cert(one) for one in shown.chain]

    async def with_certificate(scope, receive, send) -> None:  # type: ignore[no-untyped-def] # noqa: ANN001
        scope["extensions"] = {"tls": {"client_cert_chain": pem}}
        await application_(scope, receive, send)

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=with_certificate), base_url=BASE) as http:
        first = await http.post("/access/v1/evaluation", json=asking("read_file"))
        change = IdentityChange(to=IdentityState.SUSPENDED, why="test", by="ada")
        await api.world.broker.driving.identities.change(shown.spiffe_id, change)
        second = await http.post("/access/v1/evaluation", json=asking("read_file"))

    assert (first.status_code, second.status_code) == (200, 401)


async def test_the_metadata_is_public_and_names_every_endpoint(api: Deciding) -> None:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=api.app), base_url=BASE) as http:
        answer = await http.get("/.well-known/authzen-configuration", headers={"x-request-id": "r-1"})

    told = answer.json()
    assert answer.headers["x-request-id"] == "r-1"
    assert {name for name in told if name.endswith("_endpoint")} >= {
        "access_evaluation_endpoint",
        "access_evaluations_endpoint",
        "search_subject_endpoint",
        "search_resource_endpoint",
        "search_action_endpoint",
        "access_request_endpoint",
    }
    assert set(told["supported_obligations"]) == {"step-up", "notification", "session_termination", "custom"}


async def test_nothing_of_what_was_shown_stands_in_an_answer_or_the_ledger(api: Deciding) -> None:
    agent = await key_holder(api.world)
    shown = agent.presentation()

    told = await api.told("evaluation", asking("send_mail", MAIL, presentation=shown))
    everything = str(told) + str(await api.world.records())

    assert agent.grant.token not in everything
    assert str(shown["dpop"]) not in everything
    assert PEP not in everything
