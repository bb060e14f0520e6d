"""T7: one proof, posted many times at once, is let out once. The long version is `python -m bench same_proof`."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bench.same_proof import campaign
from tests.model.world import MAIL, allowing, world

from jittrust.core.errors import JitError
from jittrust.core.grant.grant import PassBinding, Shown
from jittrust.core.units import Instant
from jittrust.ports.decision_point import Decision, Passage


def test_t7_of_many_posts_of_one_proof_at_once_one_is_let_out_and_pays(tmp_path: Path) -> None:
    found = campaign(tmp_path, posts=24, at_once=24, rounds=1)

    assert found["value"] == {"accepted": 1, "of": 24}
    assert found["passed"], found


async def test_t7_of_a_thousand_askings_with_one_proof_at_the_decision_point_one_goes_out_and_pays() -> None:
    here = await world()
    await here.join()
    await here.start(allowing("send_mail"))
    issued = await here.grant()
    ask = here.ask("send_mail", MAIL)
    shown = Shown(
        PassBinding.DPOP, issued.grant.id, issued.first_pass, Instant(here.clock.now), "one-proof", issued.grant.jkt
    )

    async def post(number: int) -> Decision | JitError:
        try:
            return await here.broker.driving.decisions.evaluate(replace(ask, id=f"c-{number}"), shown)
        except JitError as error:
            return error

    told = await asyncio.gather(*map(post, range(1000)))

    assert sum(isinstance(one, Decision) and one.passage is Passage.FORWARD for one in told) == 1
    paid = (await here.paid())[issued.grant.id]
    assert len(paid) == 1
    left = here.broker.state.grants[issued.grant.id]
    assert left.gas_limit - left.gas_left == paid[0][1]
