"""A real browser with a virtual authenticator: from a client's site over the login to the code that comes back to the client."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import urlencode

from playwright.async_api import Route, expect
from tests.browser.test_passkeys import Console, opened
from tests.consenting import BACK, GOAL, VERIFIER, asking, calls, mission, told, who
from tests.model.world import TOOLS

from jittrust.broker.oauth.consents import ConsentBook
from jittrust.core.authority.map import EntryState
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Json
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.ports.commit import Keep

CLIENT_PAGE = "https://client.example/"
CLIENT = OAuthClient("client-1", ClientSource.REGISTERED, ClientMethod.NONE, "Mail <b>Agent</b>", (BACK,))


@contextlib.asynccontextmanager
async def asked_by_a_site() -> AsyncIterator[Console]:
    """The console with a person who has a passkey and signed out, tools, and a site of a client that only the browser knows."""
    async with opened() as console:
        world = console.here.world
        await world.join(TOOLS)
        await world.broker.state.change([Keep(CLIENT)], [])
        await console.enrol(await world.broker.driving.people.bootstrap())
        await console.signed_in()

        async def site(route: Route) -> None:
            await route.fulfill(content_type="text/html", body="<title>client</title><p>the client</p>")

        await console.context.route(f"{CLIENT_PAGE}**", site)
        yield console


async def go(console: Console, **more: str | None) -> None:
    """The client's own page sends the browser to us, as another site does."""
    await console.page.goto(CLIENT_PAGE)
    query = urlencode(asking(**more))
    await console.page.evaluate("to => location.assign(to)", f"{console.origin}/oauth/authorize?{query}")


async def test_from_a_clients_site_over_the_login_to_the_code_that_comes_back() -> None:
    async with asked_by_a_site() as console:
        page, world = console.page, console.here.world
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        await console.sign_out()
        details = json.dumps([mission(minutes=90), calls("srv/read_file"), calls("srv/delete_record", uses=1)])
        await go(console, authorization_details=details)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await page.get_by_role("button", name="Sign in with a passkey").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("May this agent work for you?")
        await expect(page.locator("#client")).to_have_text("Mail <b>Agent</b>")
        await expect(page.locator("#host")).to_have_text("client.example")
        await expect(page.get_by_text("Not verified.")).to_be_visible()
        await expect(page.get_by_text("1 hour 30 minutes")).to_be_visible()
        await expect(page.get_by_label("Goal, as the agent proposes it")).to_have_value(GOAL)

        # A tick, and a yes to exactly that; until it was shown, no yes is possible.
        allow = page.get_by_role("button", name="Allow with passkey")
        await page.get_by_role("row", name="srv/delete_record").get_by_role("checkbox").check()
        await expect(allow).to_be_disabled()
        await page.get_by_role("button", name="Show what this allows").click()
        await expect(allow).to_be_enabled()
        await expect(page.get_by_role("row", name="srv/delete_record").get_by_role("checkbox")).to_be_checked()
        await allow.click()
        await page.wait_for_url(f"{BACK}**")
        answer = told(page.url)
        assert answer["state"] == "s-1"
        assert answer["iss"] == "urn:test"
        book = world.broker.inner.consents
        assert isinstance(book, ConsentBook)
        parameters = {"code": answer["code"], "redirect_uri": BACK, "code_verifier": VERIFIER}
        request = (await book.redeem(who(CLIENT), parameters, "")).request
        started = world.broker.state.missions[request.mission]
        assert (started.state, started.goal.text) == (MissionState.ACTIVE, GOAL)
        given = {one.tool: one.state for one in started.authority.entries}
        assert given == {"srv/read_file": EntryState.APPROVED, "srv/delete_record": EntryState.APPROVED}
        assert wrong == []


async def test_whoever_is_signed_in_comes_from_another_site_straight_to_the_question() -> None:
    async with asked_by_a_site() as console:
        await go(console)
        heading = console.page.get_by_role("heading", level=1)
        await expect(heading).to_have_text("What shall it do for you?")
        goal = console.page.get_by_label("Your goal for it, in your own words")
        await goal.fill("Read the file plan.txt")
        await console.page.get_by_role("button", name="Show what this allows").click()
        await expect(heading).to_have_text("May this agent work for you?")
        await expect(console.page.get_by_role("row", name="srv/read_file")).to_contain_text("allowed")
        await console.page.get_by_role("button", name="Do not allow").click()
        await console.page.wait_for_url(f"{BACK}**")
        assert told(console.page.url)["error"] == "access_denied"


async def test_the_question_is_answered_with_the_keyboard_alone_and_fits_a_phone() -> None:
    async with asked_by_a_site() as console:
        page = console.page
        for width in (1280, 360):
            await page.set_viewport_size({"width": width, "height": 740})
            await go(console, authorization_details=json.dumps([mission()]), state=f"s-{width}")
            await expect(page.get_by_role("heading", level=1)).to_have_text("May this agent work for you?")
            # Waited for: the style sheet may come after the words.
            fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            await page.wait_for_function(fits, timeout=10_000)
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.textContent") == "Allow with passkey":
                break
        await page.keyboard.press("Enter")
        await page.wait_for_url(f"{BACK}**")
        assert "code" in told(page.url)


async def test_what_strangers_wrote_is_text_on_the_page() -> None:
    async with asked_by_a_site() as console:
        page, world = console.page, console.here.world
        bad = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
        tool: dict[str, Json] = {"name": "read_x", "description": bad, "inputSchema": {"type": "object"}}
        await world.join([*TOOLS, tool], session="t")
        hostile = OAuthClient("client-2", ClientSource.REGISTERED, ClientMethod.NONE, bad, (BACK,))
        await world.broker.state.change([Keep(hostile)], [])
        outside: list[str] = []
        page.on("request", lambda sent: outside.append(sent.url))
        await go(console, client_id="client-2", authorization_details=json.dumps([mission(f"Read {bad} x")]))
        await expect(page.get_by_role("heading", level=1)).to_have_text("May this agent work for you?")
        assert "taken" not in await page.title()
        assert await page.locator("main img, main script, main b").count() == 0
        assert {url.split("/")[2] for url in outside} <= {console.origin.split("/")[2], "client.example"}
