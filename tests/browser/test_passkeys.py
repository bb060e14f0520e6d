"""A real browser with a virtual authenticator: from the first link to an approval that it signs."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import uvicorn
from playwright.async_api import BrowserContext, Page, async_playwright, expect
from tests.consoles import console_app
from tests.people import HOUR, People, people

from jittrust.adapters.webauthn.passkey_check import WebauthnCheck
from jittrust.core.approval import ApprovalState, ConfirmedBy
from jittrust.core.errors import NotFoundError
from jittrust.core.identity.identity import Role
from jittrust.core.identity.person import Passkey
from jittrust.ports.people import Invitation

CHROMIUM = Path("/usr/bin/chromium")


@dataclass(slots=True)
class Console:
    """A console that listens, and a browser in front of it."""

    here: People
    origin: str
    page: Page
    context: BrowserContext

    def enrol_link(self, made: Invitation | None) -> str:
        assert made is not None
        return f"{self.origin}/console/enrol#{made.secret}"

    async def signed_in(self) -> None:
        await expect(self.page.get_by_role("heading", level=1)).to_have_text("What waits for you")

    async def enrol(self, made: Invitation | None) -> None:
        # A changed fragment alone loads no page.
        await self.page.goto("about:blank")
        await self.page.goto(self.enrol_link(made))
        await self.page.get_by_label("Name of this device").fill("laptop")
        await self.page.get_by_role("button", name="Enrol a passkey").click()

    async def sign_in(self) -> None:
        await self.page.goto(f"{self.origin}/console/login")
        await self.page.get_by_role("button", name="Sign in with a passkey").click()
        await self.signed_in()

    async def sign_out(self) -> None:
        await self.page.get_by_role("button", name="Sign out").click()
        await expect(self.page.get_by_role("heading", level=1)).to_have_text("Sign in")

    async def virtual_authenticator(self) -> None:
        session = await self.context.new_cdp_session(self.page)
        await session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Console]:
    """The console on a free port of localhost, and a browser with an authenticator that verifies its person."""
    if not CHROMIUM.exists():  # noqa: ASYNC240 - once
        pytest.fail(f"{CHROMIUM} is needed: apt-get install chromium")
    here = await people()
    listener = socket.create_server(("127.0.0.1", 0))
    origin = f"http://localhost:{listener.getsockname()[1]}"
    book = here.passkeys
    book._parts = replace(book._parts, passkeys=WebauthnCheck(origin))
    app = console_app(here, origin=origin)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
            context = await browser.new_context()
            page = await context.new_page()
            page.set_default_timeout(15_000)
            made = Console(here, origin, page, context)
            await made.virtual_authenticator()
            yield made
            await browser.close()
    finally:
        server.should_exit = True
        await serving


async def test_from_the_first_link_to_an_approval_that_the_browser_signs() -> None:
    async with opened() as console:
        here, page = console.here, console.page
        wrong: list[str] = []
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        first = await here.world.broker.driving.people.bootstrap()
        await console.enrol(first)
        await console.signed_in()
        cookie = (await console.context.cookies())[0]
        assert cookie.get("name") == "__Host-jittrust"
        assert (cookie.get("secure"), cookie.get("httpOnly"), cookie.get("sameSite")) == (True, True, "Strict")
        assert await page.evaluate("document.cookie") == ""

        await console.sign_out()
        await page.goto(f"{console.origin}/console/")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
        await console.sign_in()

        text = "Send a mail to <script>document.title='taken'</script> eve@example.com"
        asked = await here.ask("a-1", text)
        await page.goto(f"{console.origin}/console/")
        await page.get_by_role("link", name="Send a mail").click()
        await expect(page.locator("#text")).to_have_text(text)
        assert "taken" not in await page.title()
        await page.get_by_role("button", name="Approve with passkey").click()
        await console.signed_in()
        answered = here.world.broker.state.approvals[asked.id]
        assert (answered.state, answered.confirmed_by) == (ApprovalState.APPROVED, ConfirmedBy.PASSKEY)
        assert answered.answered_by == "spiffe://jittrust.test/person/admin"
        assert wrong == []


async def test_the_link_serves_once_and_its_secret_leaves_the_address_bar() -> None:
    async with opened() as console:
        first = await console.here.world.broker.driving.people.bootstrap()
        await console.page.goto(console.enrol_link(first))
        assert console.page.url == f"{console.origin}/console/enrol"
        await console.page.get_by_role("button", name="Enrol a passkey").click()
        await console.signed_in()
        await console.sign_out()
        await console.enrol(first)
        await expect(console.page.locator("#told")).to_contain_text("link_dead")
        assert len(console.here.world.broker.state.of_kind(Passkey)) == 1


async def test_what_the_browser_signed_for_one_question_does_not_approve_another() -> None:
    async with opened() as console:
        here, page = console.here, console.page
        await console.enrol(await here.world.broker.driving.people.bootstrap())
        await console.signed_in()
        await here.ask("a-1", "Read a file")
        await here.ask("a-2", "Delete everything")
        await page.goto(f"{console.origin}/console/approvals/a-1")
        # The page's own function, its answer sent to another question.
        code = await page.evaluate(
            """async () => {
              const response = await signed("/approvals/a-1/begin");
              try { await post("/approvals/a-2/answer", {answer: "approve", response}); return "taken"; }
              catch (error) { return error.message; }
            }"""
        )
        assert "passkey_refused" in code
        assert here.world.broker.state.approvals["a-2"].state is ApprovalState.WAITING


async def test_a_viewer_sees_a_question_and_cannot_approve_it() -> None:
    async with opened() as console:
        here, page = console.here, console.page
        await console.enrol(await here.world.broker.driving.people.invite("/person/vic", Role.VIEWER, HOUR, "test"))
        await console.signed_in()
        await here.ask("a-1", "Read a file")
        await page.goto(f"{console.origin}/console/approvals/a-1")
        await expect(page.locator("#text")).to_have_text("Read a file")
        await expect(page.get_by_role("button", name="Approve with passkey")).to_have_count(0)
        code = await page.evaluate(
            """async () => {
              try { await post("/approvals/a-1/begin"); return "taken"; } catch (error) { return error.message; }
            }"""
        )
        assert "role_too_low" in code
        assert here.world.broker.state.approvals["a-1"].state is ApprovalState.WAITING


async def test_an_admin_invites_somebody_with_a_link_that_works() -> None:
    async with opened() as console:
        here, page = console.here, console.page
        await console.enrol(await here.world.broker.driving.people.bootstrap())
        await console.signed_in()
        await page.get_by_role("link", name="People").click()
        await page.get_by_label("Person (").fill("email:bo@example.org")
        await page.get_by_label("Role").select_option("responder")
        await page.get_by_role("button", name="Invite").click()
        link = page.locator("#link")
        await expect(link).to_contain_text("/console/enrol#")
        target = await link.inner_text()
        await console.sign_out()
        await page.goto(target)
        await page.get_by_role("button", name="Enrol a passkey").click()
        await console.signed_in()
        shown = await here.world.broker.driving.identities.show("email:bo@example.org")
        assert shown.identity.role is Role.RESPONDER
        with pytest.raises(NotFoundError):
            await here.passkeys.request("a-none")
