"""The grant in hand: got once, renewed before it ends while the server lets it, replaced when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from jittrust.core.errors import JitError, RefusedError, UnavailableError
from jittrust.pep.connect.backoff import delay
from jittrust.pep.connect.lanes import HeldLanes
from jittrust.pep.connect.logins import Login, Machine
from jittrust.pep.connect.tokens import HeldGrant

_LEAST_MARGIN = 10.0
_MOST_WAIT = 30.0
_SHORTAGE_SECONDS = 300.0
_REFUSED_SECONDS = 5.0


@dataclass(slots=True, eq=False)
class Tenure:
    """One grant and its lanes. `over`: a newer one is in hand; what is under way may end here, nothing begins here any more.

    `short_until`: until when a lane is kept free for the next call, because there were too few a while ago.
    """

    grant: HeldGrant
    lanes: HeldLanes
    turn: asyncio.Condition = field(default_factory=asyncio.Condition)
    waiting: int = 0
    over: bool = False
    short_until: float = 0.0

    def short(self, now: float) -> None:
        """All lanes are in use and a request waits."""
        self.short_until = now + _SHORTAGE_SECONDS

    async def changed(self) -> None:
        """Let those who wait for a lane look again."""
        async with self.turn:
            self.turn.notify_all()


class GrantHolder:
    """Keeps a grant in hand."""

    def __init__(self, login: Login, machine: Machine, *, limit: Callable[[HeldGrant], int] | None = None) -> None:
        """`limit`: most lanes of a grant; None = what the grant says."""
        self._login = login
        self._machine = machine
        self._limit = limit or (lambda grant: grant.lanes)
        self._tenure: Tenure | None = None
        self._ready = asyncio.Event()
        self._lock = asyncio.Lock()
        self._refused: JitError | None = None
        self._refused_at = float("-inf")
        self._changed = asyncio.Event()
        self.renewals = 0

    async def open(self) -> None:
        """Get the first grant. Raises JitError: nobody gives one."""
        try:
            self._hold(await self._login.first())
        except JitError as error:
            self._refused = error
            self._ready.set()
            raise

    async def current(self, patience: float) -> Tenure:
        """The tenure in which a request begins.

        Raises:
            UnavailableError: code `login_pending`: nobody has said yes after `patience` seconds.
            JitError: why there is none.
        """
        try:
            async with asyncio.timeout(max(0.0, patience)):
                await self._ready.wait()
        except TimeoutError:
            raise UnavailableError(
                "login_pending",
                "a person has not said yes to this agent yet",
                "Ask the user to answer, then try again.",
            ) from None
        if self._tenure is None:
            raise self._refused or UnavailableError("login_pending", "there is no grant")
        return self._tenure

    async def ended(self, tenure: Tenure) -> Tenure:
        """The server takes the token of `tenure` no more: the next one.

        Raises:
            RefusedError, UnavailableError: there is none.
        """
        return await self._renew(tenure)

    async def keep(self) -> None:
        """Renew before each grant ends, for as long as grants are given. Runs beside everything else."""
        await self._ready.wait()
        failures = 0
        while (tenure := self._tenure) is not None:
            self._changed.clear()
            left = tenure.grant.ends - self._machine.steady()
            life = tenure.grant.ends - tenure.grant.began
            early = left - min(life / 2, max(_LEAST_MARGIN, life / 4))
            if failures == 0 and early > 0:
                await asyncio.sleep(early)
            try:
                await self._renew(tenure)
                failures = 0
            except UnavailableError:
                failures += 1
                await asyncio.sleep(delay(failures, self._machine.draw(), first=1.0, most=_MOST_WAIT))
            except RefusedError as refused:
                self._machine.tell(f"the grant is not renewed: {refused.message} [{refused.code}]")
                # Somebody may yet change that (a mission is resumed, another is started): the next call that needs it asks again.
                await self._changed.wait()
                failures = 0

    async def leave(self) -> None:
        """Give back what would go on without us."""
        if self._tenure is not None:
            await self._login.leave(self._tenure.grant)

    async def _renew(self, tenure: Tenure) -> Tenure:
        async with self._lock:
            if self._tenure is not None and self._tenure is not tenure:
                return self._tenure
            if self._refused is not None and self._machine.steady() < self._refused_at + _REFUSED_SECONDS:
                raise self._refused
            try:
                found = await self._login.next(tenure.grant)
            except RefusedError as refused:
                self._refused, self._refused_at = refused, self._machine.steady()
                raise
            self.renewals += 1
            made = self._hold(found)
        # Whoever waits for a lane of the last grant goes on with this one.
        await tenure.changed()
        return made

    def _hold(self, grant: HeldGrant) -> Tenure:
        now, before = self._machine.steady(), self._tenure
        made = Tenure(grant, HeldLanes(grant.first_pass, self._limit(grant), now))
        if before is not None:
            before.over = True
            made.short_until = before.short_until
        self._tenure, self._refused = made, None
        self._ready.set()
        self._changed.set()
        return made
