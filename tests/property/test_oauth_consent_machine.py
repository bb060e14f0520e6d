"""Any order of asking, showing, rewording, answering, restarting and redeeming: a yes starts one mission, exactly as shown, and gives one grant."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.consenting import CLIENT, Consenting, asking, calls, consenting, mission, told, who

from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.errors import JitError
from jittrust.core.mission.states import MissionState
from jittrust.core.oauth.request import AuthorizationRequest
from jittrust.ports.consents import ConsentAnswer, ConsentQuestion

GOALS = ("Read the file plan.txt", "Send a mail to anna@example.com", "Delete the record 7 of the database")
STEP = st.tuples(
    st.sampled_from(
        (
            "begin",
            "show",
            "reword",
            "tick",
            "sign",
            "yes",
            "stale",
            "no",
            "redeem",
            "ciba",
            "approve",
            "refuse",
            "poll",
            "wait",
            "restart",
        )
    ),
    st.integers(0, 3),
)


@dataclass
class Machine:
    """The real book, and what must hold of it."""

    here: Consenting
    requests: list[str] = field(default_factory=list)
    shown: dict[str, ConsentQuestion] = field(default_factory=dict)
    old: dict[str, tuple[ConsentQuestion, str]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    agreed: list[tuple[AuthorityEntry, ...]] = field(default_factory=list)
    spent: list[str] = field(default_factory=list)
    made: int = 0

    async def step(self, what: str, which: int) -> None:
        here, book = self.here, self.here.book
        name = self.requests[which % len(self.requests)] if self.requests else ""
        with contextlib.suppress(JitError):
            match what:
                case "begin":
                    self.made += 1
                    details = (mission(GOALS[which % 3]), *((calls("srv/delete_record"),) if which == 3 else ()))
                    begun = await book.begin(asking(*details, state=f"s-{self.made}"))
                    self.requests.append(begun.id)
                case "show":
                    self.shown[name] = await book.show(name, here.session)
                case "reword":
                    self.shown[name] = await book.show(name, here.session, GOALS[which % 3])
                case "tick":
                    asked = await book.show(name, here.session)
                    self.shown[name] = await book.show(name, here.session, None, [row.entry for row in asked.rows])
                case "sign" if name in self.shown and self.shown[name].approval:
                    asked = self.shown[name]
                    assert asked.approval is not None
                    self.old[name] = asked, await here.here.assertion(here.device, asked.approval.id)
                case "yes" if name in self.shown and self.shown[name].approval:
                    asked = self.shown[name]
                    self.codes.append(told(await here.yes(asked))["code"])
                    self.agreed.append(tuple(asked.entries))
                case "stale" if name in self.old:
                    asked, assertion = self.old.pop(name)
                    assert asked.approval is not None
                    yes = ConsentAnswer(
                        approve=True, session=here.session, assertion=assertion, question=asked.approval.id
                    )
                    before = len(here.missions())
                    address = await book.answer(name, yes)
                    if len(here.missions()) > before:
                        self.codes.append(told(address)["code"])
                        self.agreed.append(tuple(asked.entries))
                case "no" if name in self.shown:
                    await here.no(self.shown[name])
                case "redeem" if self.codes:
                    code = self.codes[which % len(self.codes)]
                    self.spent.append((await here.redeem(code)).id)
                case "ciba":
                    self.secrets.append(await here.ask_elsewhere(mission(GOALS[which % 3]), binding_message=str(which)))
                case "approve" | "refuse":
                    await self.answer_elsewhere(which, approve=what == "approve")
                case "poll" if self.secrets:
                    got = await book.poll(who(CLIENT), self.secrets[which % len(self.secrets)])
                    self.spent.append(got.request.id)
                case "wait":
                    here.tick((5, 61, 301, 700)[which])
                case "restart":
                    await here.world.open()
        self.check()

    async def answer_elsewhere(self, which: int, *, approve: bool) -> None:
        waiting = await self.here.world.broker.driving.approvals.waiting()
        asked = waiting[which % len(waiting)] if waiting else None
        if asked is None:
            return
        stored = self.here.world.broker.state.of_kind(AuthorizationRequest)
        (request,) = [one for one in stored.values() if one.approval == asked.id]
        assertion = await self.here.here.assertion(self.here.device, asked.id) if approve else ""
        await self.here.here.answer(asked.id, self.here.session, assertion, approve=approve)
        if approve:
            self.agreed.append(request.entries)

    def check(self) -> None:
        missions = self.here.missions()
        assert [one.authority.entries for one in missions] == self.agreed
        assert sum(one.state is MissionState.ACTIVE for one in missions) <= 1
        assert len(self.spent) == len(set(self.spent))
        stored = self.here.world.broker.state.of_kind(AuthorizationRequest).values()
        assert len([one for one in stored if one.mission]) <= len(self.agreed)


@settings(max_examples=120, deadline=None)
@given(st.lists(STEP, min_size=20, max_size=60))
def test_in_any_order_a_yes_starts_one_mission_as_it_was_shown_and_is_redeemed_once(
    steps: list[tuple[str, int]],
) -> None:
    async def run() -> None:
        machine = Machine(await consenting())
        for what, which in steps:
            await machine.step(what, which)

    asyncio.run(run())
