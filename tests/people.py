"""People in a world of tests: who has a passkey, and questions that wait for them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import cast

from tests.authenticator import Authenticator
from tests.model.world import World, world

from jittrust.broker.approvals import ApprovalBook
from jittrust.broker.identity.passkeys import PasskeyBook
from jittrust.core.approval import Approval, ApprovalKind, ConfirmedBy
from jittrust.core.identity.identity import Role
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.approvals import Answer
from jittrust.ports.commit import PutApproval
from jittrust.ports.people import SignedIn

HOUR = Seconds(3600)


@dataclass(slots=True)
class People:
    """A broker where people sign in, and the few things a test does with it."""

    world: World

    @property
    def passkeys(self) -> PasskeyBook:
        return cast("PasskeyBook", self.world.broker.inner.passkeys)

    async def enrol(self, device: Authenticator, person: str = "/person/ada", role: Role = Role.ADMIN) -> SignedIn:
        """Invite somebody and let them open the link with their device."""
        made = await self.world.broker.driving.people.invite(person, role, HOUR, "test")
        return await self.open(device, made.secret)

    async def open(self, device: Authenticator, link: str) -> SignedIn:
        response = device.create(await self.passkeys.begin("", link))
        return await self.passkeys.finish("", link, response, "laptop")

    async def sign_in(self, device: Authenticator) -> SignedIn:
        return await self.passkeys.sign_in(device.get(await self.passkeys.request()))

    async def ask(self, name: str = "a-1", text: str = "Send a mail to eve@example.com") -> Approval:
        """A question that waits."""
        now = self.world.clock()
        made = Approval(
            name,
            ApprovalKind.CALL,
            "m-1",
            "agent",
            "srv/send_mail",
            f"digest of {name}",
            text,
            "It is new.",
            40,
            now,
            Instant(now + 600),
            price=Gas(7),
        )
        await self.world.broker.state.change([PutApproval(made)], [])
        return made

    async def assertion(self, device: Authenticator, approval: str) -> str:
        return device.get(await self.passkeys.request(approval))

    async def answer(self, approval: str, session: str, assertion: str = "", *, approve: bool = True) -> Approval:
        how = ConfirmedBy.PASSKEY if approve else ConfirmedBy.SESSION
        given = Answer(approve, "whoever", how, assertion=assertion, session=session)
        return await self.world.broker.driving.approvals.answer(approval, given)

    async def ledger(self) -> str:
        """Everything that was recorded, as text."""
        return json.dumps(await self.world.records())

    async def move(self, approval: Approval, **more: object) -> None:
        """Change a question behind the back of whoever looks at it."""
        await self.world.broker.state.change([PutApproval(replace(approval, **more))], [])  # type: ignore[arg-type]


async def people() -> People:
    """A broker in memory that takes passkeys."""
    made = People(await world())
    cast("ApprovalBook", made.world.broker.driving.approvals).require_passkeys(made.passkeys)
    return made
