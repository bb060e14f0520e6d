"""A client that asks, and a person who answers, at a broker in memory."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast
from urllib.parse import parse_qs, urlsplit

from tests.authenticator import Authenticator
from tests.model.world import TOOLS, World
from tests.people import People, people

from jittrust.broker.oauth.clients import Authenticated
from jittrust.broker.oauth.consents import ConsentBook
from jittrust.core.identity.identity import Role
from jittrust.core.mission.mission import Mission
from jittrust.core.model import Json
from jittrust.core.oauth.client import ClientMethod, ClientSource, OAuthClient
from jittrust.core.oauth.request import AuthorizationRequest
from jittrust.core.oauth.server_metadata import AUTHORIZATION_CODE, CIBA
from jittrust.core.units import Instant
from jittrust.ports.commit import Keep
from jittrust.ports.consents import ConsentAnswer, ConsentQuestion
from jittrust.ports.people import SignedIn

BACK = "https://client.example/callback"
LOCAL = "http://127.0.0.1/callback"
VERIFIER = "verifier-" + "x" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ISSUER = "urn:test"
GOAL = "Read the file plan.txt and send a mail with a summary to anna@example.com"
CLIENT = OAuthClient(
    "client-1",
    ClientSource.REGISTERED,
    ClientMethod.NONE,
    "Mail Agent",
    (BACK, LOCAL),
    (AUTHORIZATION_CODE, CIBA),
)


def mission(goal: str = GOAL, **more: Json) -> Mapping[str, Json]:
    return {"type": "urn:jittrust:mission", "goal": goal, **more}


def calls(tool: str, **more: Json) -> Mapping[str, Json]:
    return {"type": "urn:jittrust:mcp-call", "identifier": tool, "actions": ["tools/call"], **more}


def asking(*details: Mapping[str, Json], **more: str | None) -> dict[str, str]:
    """The parameters of a request; None leaves one out."""
    told: dict[str, str | None] = {
        "client_id": "client-1",
        "response_type": "code",
        "redirect_uri": BACK,
        "state": "s-1",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **({"authorization_details": json.dumps(details)} if details else {}),
        **more,
    }
    return {name: value for name, value in told.items() if value is not None}


@dataclass(slots=True)
class Consenting:
    """A broker with one client, one person who has a passkey, and the tools of the world."""

    here: People
    device: Authenticator = field(default_factory=Authenticator)
    signed: SignedIn | None = None

    @property
    def world(self) -> World:
        return self.here.world

    @property
    def book(self) -> ConsentBook:
        return cast("ConsentBook", self.world.broker.inner.consents)

    @property
    def session(self) -> str:
        assert self.signed is not None
        return self.signed.secret

    @property
    def person(self) -> str:
        assert self.signed is not None
        return self.signed.person.id

    async def know(self, client: OAuthClient) -> Authenticated:
        await self.world.broker.state.change([Keep(client)], [])
        return who(client)

    async def person_two(self, role: Role = Role.RESPONDER, name: str = "/person/bo") -> tuple[Authenticator, SignedIn]:
        device = Authenticator()
        return device, await self.here.enrol(device, name, role)

    async def shown(self, *details: Mapping[str, Json], **more: str | None) -> ConsentQuestion:
        made = await self.book.begin(asking(*details, **more))
        return await self.book.show(made.id, self.session)

    async def yes(self, asked: ConsentQuestion) -> str:
        """The person says yes to what is on the screen; the address the browser goes to."""
        assert asked.approval is not None
        assertion = await self.here.assertion(self.device, asked.approval.id)
        return await self.book.answer(
            asked.request.id,
            ConsentAnswer(approve=True, session=self.session, assertion=assertion, question=asked.approval.id),
        )

    async def no(self, asked: ConsentQuestion) -> str:
        return await self.book.answer(asked.request.id, ConsentAnswer(approve=False, session=self.session))

    async def code(self, *details: Mapping[str, Json], **more: str | None) -> str:
        return told(await self.yes(await self.shown(*details, **more)))["code"]

    async def redeem(self, code: str, client: OAuthClient = CLIENT, jkt: str = "", **more: str) -> AuthorizationRequest:
        parameters = {"code": code, "redirect_uri": BACK, "code_verifier": VERIFIER, **more}
        return (await self.book.redeem(who(client), parameters, jkt)).request

    async def ask_elsewhere(
        self, *details: Mapping[str, Json], client: OAuthClient = CLIENT, **more: str | None
    ) -> str:
        """A back-channel request; its auth_req_id."""
        told: dict[str, str | None] = {
            "login_hint": self.person,
            **({"authorization_details": json.dumps(details)} if details else {}),
            **more,
        }
        clean = {name: value for name, value in told.items() if value is not None}
        return (await self.book.backchannel(replace(who(client), proven=True), clean)).secret

    def missions(self) -> list[Mission]:
        """The person's, oldest first."""
        return [one for one in self.world.broker.state.missions.values() if one.person == self.person]

    def tick(self, seconds: float) -> None:
        self.world.clock.now = Instant(self.world.clock.now + seconds)


def who(client: OAuthClient, *, proven: bool = False) -> Authenticated:
    return Authenticated(client, client.agent or client.id, proven)


def told(address: str) -> dict[str, str]:
    """What an address brings back to the client."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query, keep_blank_values=True).items()}


async def consenting(role: Role = Role.ADMIN, *, tools: bool = True) -> Consenting:
    made = Consenting(await people())
    if tools:
        await made.world.join(TOOLS)
    await made.know(CLIENT)
    made.signed = await made.here.enrol(made.device, "/person/ada", role)
    return made
