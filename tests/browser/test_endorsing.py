"""The page of a question that offers a source: what the browser signs is the choice that was made on it."""

from __future__ import annotations

from playwright.async_api import expect
from tests.browser.test_passkeys import opened
from tests.unit.test_endorsement_cli import OFFER

from jittrust.core.approval import ApprovalState, ConfirmedBy
from jittrust.core.authority.map import EntryState


async def test_a_person_endorses_the_source_up_to_an_amount_and_the_browser_signs_exactly_that() -> None:
    async with opened() as console:
        here, page = console.here, console.page
        await console.enrol(await here.world.broker.driving.people.bootstrap())
        await console.signed_in()
        mission = await here.world.start()
        await here.move(await here.ask(), mission=mission.id, offer=OFFER)

        await page.goto(f"{console.origin}/console/approvals/a-1")
        await expect(page.get_by_role("radio", name="this one call")).to_be_checked()
        await page.get_by_role("radio", name="this source, without a question each time").check()
        await page.get_by_role("textbox", name="Amounts, all together").fill("150")
        await page.get_by_role("button", name="Approve with passkey").click()
        await console.signed_in()

        answered = here.world.broker.state.approvals["a-1"]
        assert (answered.state, answered.confirmed_by, answered.endorses) == (
            ApprovalState.APPROVED,
            ConfirmedBy.PASSKEY,
            True,
        )
        (given,) = here.world.broker.state.missions[mission.id].authority.endorsed
        assert (given.id, given.amount_most, given.state) == ("s-1", 150.0, EntryState.APPROVED)


async def test_the_first_choice_is_the_one_call_and_endorses_nothing() -> None:
    async with opened() as console:
        here, page = console.here, console.page
        await console.enrol(await here.world.broker.driving.people.bootstrap())
        await console.signed_in()
        mission = await here.world.start()
        await here.move(await here.ask(), mission=mission.id, offer=OFFER)

        await page.goto(f"{console.origin}/console/approvals/a-1")
        await page.get_by_role("button", name="Approve with passkey").click()
        await console.signed_in()

        assert here.world.broker.state.approvals["a-1"].endorses is False
        assert here.world.broker.state.missions[mission.id].authority.endorsed == ()
