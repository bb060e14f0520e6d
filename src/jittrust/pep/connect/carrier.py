"""Carries requests to the broker under the discipline of the strict client (see `lanes`): proofs, passes, lanes, challenges, re-sends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from jittrust.core.errors import JitError, RefusedError, UnavailableError
from jittrust.core.grant.proof import make_proof
from jittrust.core.problem import PROBLEM_TYPE
from jittrust.core.units import Instant
from jittrust.pep.connect.backoff import delay
from jittrust.pep.connect.holder import GrantHolder, Tenure
from jittrust.pep.connect.lanes import HeldLane, HeldLanes, SentCall
from jittrust.pep.connect.logins import Machine
from jittrust.pep.connect.transport import AnswerLostError, BrokerAnswer, BrokerTransport, NotSentError

PATIENCE_SECONDS = 45.0
"""How long a request waits for a grant, a lane or a broker before it is given up; clients give up after a minute."""
_CHALLENGES = 3
_RENEWALS = 2
_DOUBT_SECONDS = 2.5
_RETRY_AFTER = re.compile(r"[0-9]{1,4}")
_PROOF = "invalid_dpop_proof"
_CREATED, _TAKEN, _UNAUTHORISED, _BUSY, _BROKEN, _AWAY = 201, 202, 401, 429, 500, 503


class CallInDoubtError(UnavailableError):
    """A call went out, its answer was lost, and nobody knows whether it was carried out."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One HTTP request for the MCP server.

    Attributes:
        method, headers, body: as they go out; token, proof and pass are added.
        repeatable: carrying it out twice does no more than once.
        quiet: its answer is a stream that may be silent for ever.
        roomy: it may take long, so a lane should be left for others.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = False
    quiet: bool = False
    roomy: bool = False


class _Next(Enum):
    """What follows an answer."""

    DONE = auto()
    SAME = auto()  # the same bytes, the same pass
    FRESH = auto()  # the same bytes, the newest pass of the lane
    ANEW = auto()  # from the beginning, on any lane


class Carrier:
    """Sends parcels to one MCP server behind a broker."""

    def __init__(
        self, transport: BrokerTransport, holder: GrantHolder, machine: Machine, url: str, base: str,
        patience: float = PATIENCE_SECONDS,
    ) -> None:  # fmt: skip
        """`url`: of the MCP server; `base`: of the broker, where lanes are opened, empty where there are none to open."""
        self.transport = transport
        self.holder = holder
        self.machine = machine
        self.url = url
        self.base = base
        self.patience = patience

    def send(self, parcel: Parcel) -> Sending:
        """A parcel on its way; close it when its answer has been read."""
        return Sending(self, parcel)

    def signed(self, tenure: Tenure, method: str, url: str, shown: str | None) -> dict[str, str]:
        """Token and proof for one request."""
        token, machine = tenure.grant.token, self.machine
        proof = make_proof(
            machine.signer, method=method, url=url, iat=Instant(machine.wall()), jti=machine.random(), token=token,
            nonce=shown,
        )  # fmt: skip
        return {"authorization": f"DPoP {token}", "dpop": proof}

    async def place(self, owner: object, deadline: float, *, roomy: bool) -> tuple[Tenure, HeldLane]:
        """A lane of the grant in hand.

        Raises:
            UnavailableError: code `login_pending`, or `lanes_busy`: none became free in time.
        """
        while True:
            tenure = await self.holder.current(deadline - self.machine.steady())
            tenure.waiting += 1
            # Whatever came together with this request counts itself first, so that lanes are opened for all of it.
            await asyncio.sleep(0)
            try:
                async with asyncio.timeout(max(0.0, deadline - self.machine.steady())):
                    found = await self._wait(tenure, owner, roomy=roomy)
            except TimeoutError:
                raise UnavailableError(
                    "lanes_busy", "every lane of the grant is in use", "Wait for a running call to end."
                ) from None
            finally:
                tenure.waiting -= 1
            if found is None:
                continue
            lane, grow = found
            if grow:
                try:
                    await self._open_lane(tenure, lane)
                except BaseException:
                    tenure.lanes.leave(lane, owner)
                    raise
                finally:
                    tenure.lanes.opening -= 1
                if lane.newest is None and lane.number:
                    tenure.lanes.leave(lane, owner)
                    continue
            return tenure, lane

    async def _wait(self, tenure: Tenure, owner: object, *, roomy: bool) -> tuple[HeldLane, bool] | None:
        """A lane, and whether one more should be opened first; None when the tenure is over."""
        async with tenure.turn:
            while not tenure.over:
                now = self.machine.steady()
                free = len(tenure.lanes.free(now))
                lane = tenure.lanes.take(owner, now)
                if lane is not None:
                    wanted = tenure.waiting > free or (roomy and free == 1 and now < tenure.short_until)
                    grow = wanted and free > 0 and lane.newest is not None and tenure.lanes.may_grow
                    grow = grow and bool(self.base and tenure.grant.id)
                    tenure.lanes.opening += grow
                    return lane, grow
                tenure.short(now)
                await tenure.turn.wait()
        return None

    async def _open_lane(self, tenure: Tenure, lane: HeldLane) -> None:
        """Open one more lane with the pass of `lane`, which gets the next one. What fails here fails nothing else."""
        url = f"{self.base}/grants/{tenure.grant.id}/lanes"
        shown = HeldLanes.show(lane)
        try:
            answer = await self.transport.send("POST", url, self.signed(tenure, "POST", url, shown), b"")
        except NotSentError:
            lane.newest = shown  # nobody has seen it
            return
        except JitError:
            return
        answer.close()
        now, told = self.machine.steady(), answer.problem()
        if answer.nonce:
            HeldLanes.put(lane, answer.nonce, now)
        number, first = told.get("lane"), told.get("pass")
        if answer.status == _CREATED and isinstance(number, int) and isinstance(first, str):
            tenure.lanes.opened(number, first, now)
            await tenure.changed()
        elif answer.status != _UNAUTHORISED:
            tenure.lanes.full()


class Sending:
    """One parcel on its way. `answer` may be asked for again when a stream broke off."""

    def __init__(self, carrier: Carrier, parcel: Parcel) -> None:
        self._carrier = carrier
        self._parcel = parcel
        self._machine = carrier.machine
        self._deadline = carrier.machine.steady() + carrier.patience
        self._tenure: Tenure | None = None
        self._lane: HeldLane | None = None
        self._call = SentCall()
        self._answer: BrokerAnswer | None = None
        self._sent = 0.0
        self._turn = 0
        self._failures = 0
        self._challenged = 0
        self._renewed = 0

    async def answer(self) -> BrokerAnswer:
        """Send it until there is an answer, or nothing is left that may be done.

        Raises:
            CallInDoubtError: code `in_doubt`.
            UnavailableError: code `broker_unreachable` (nothing has gone out), `lanes_busy`, `login_pending`.
            RefusedError: the grant has ended and there is no next one, or the server cannot be trusted.
        """
        while True:
            if self._lane is None:
                await self._begin()
            try:
                answer = await self._once()
            except NotSentError as error:
                await self._unsent(error)
                continue
            except AnswerLostError:
                await self._lost()
                continue
            follows = await self._judge(answer)
            if follows is _Next.DONE:
                return answer
            answer.close()
            if follows is _Next.ANEW:
                self._leave()
            elif follows is _Next.FRESH:
                self._show()

    async def broke(self) -> None:
        """The stream of the answer ended before the answer was whole: as if it had been lost.

        Raises:
            CallInDoubtError: code `in_doubt`.
        """
        if self._answer is not None:
            self._answer.close()
        lane, call = self._lane, self._call
        # Where somebody else has gone on with the lane, the broker would take the old pass for a thief's.
        ours = lane is not None and lane.owner is self and lane.turn == self._turn
        if lane is not None and ours:
            lane.streaming = False
            call.lost(self._sent)
            await self._pause_or_doubt()
            return
        call.since = call.since if call.since is not None else self._sent
        self._doubt()

    def unheard(self) -> None:
        """The broker turned away what was sent last before it judged it: may the same be sent in another request?

        Raises:
            CallInDoubtError: code `in_doubt`: an earlier one may have been carried out.
        """
        if self._call.in_doubt:
            self._doubt()

    def begin_anew(self) -> None:
        """What was answered is over; the next answer is that of a new request with the same bytes."""
        self._deadline = self._machine.steady() + self._carrier.patience
        self._failures = self._challenged = self._renewed = 0

    def close(self) -> None:
        """Done with it."""
        if self._answer is not None:
            self._answer.close()
        self._leave()

    # --- one attempt -------------------------------------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        self._tenure, self._lane = await self._carrier.place(self, self._deadline, roomy=self._parcel.roomy)
        self._show()

    def _show(self) -> None:
        assert self._lane is not None  # noqa: S101 - whoever shows has a lane
        self._call = SentCall(HeldLanes.show(self._lane))

    async def _once(self) -> BrokerAnswer:
        assert self._tenure is not None  # noqa: S101 - whoever sends has begun
        assert self._lane is not None  # noqa: S101 - likewise
        parcel, carrier = self._parcel, self._carrier
        signed = carrier.signed(self._tenure, parcel.method, carrier.url, self._call.shown)
        self._sent = self._machine.steady()
        answer = await carrier.transport.send(
            parcel.method, carrier.url, {**parcel.headers, **signed}, parcel.body, quiet=parcel.quiet
        )
        self._answer = answer
        if answer.nonce:
            HeldLanes.put(self._lane, answer.nonce, self._machine.steady())
        self._turn = self._lane.turn
        return answer

    async def _unsent(self, error: NotSentError) -> None:
        self._failures += 1
        if self._call.in_doubt:
            await self._pause_or_doubt()
            return
        if self._machine.steady() >= self._deadline:
            if self._lane is not None and self._lane.newest is None:
                self._lane.newest = self._call.shown  # nobody has seen it
            raise UnavailableError(
                "broker_unreachable", f"the broker cannot be reached: {error.message}; nothing was carried out",
                "Try again later, and tell the user.",
            ) from None  # fmt: skip
        await asyncio.sleep(delay(self._failures, self._machine.draw()))

    async def _lost(self) -> None:
        self._failures += 1
        if self._call.shown is None:
            # Without a pass nothing is carried out.
            if self._machine.steady() >= self._deadline:
                raise UnavailableError(
                    "broker_unreachable", "the broker does not answer; nothing was carried out", "Try again later."
                ) from None
            await asyncio.sleep(delay(self._failures, self._machine.draw()))
            return
        self._call.lost(self._sent)
        await self._pause_or_doubt()

    async def _pause_or_doubt(self, least: float = 0.0) -> None:
        """Wait, if the very same request may be sent once more after that; else say that nobody knows."""
        wait = max(least, delay(max(self._failures, 1), self._machine.draw()))
        if self._call.may_resend(self._machine.steady() + wait):
            await asyncio.sleep(wait)
            return
        self._doubt()

    def _doubt(self) -> None:
        """Begin anew where that does no harm."""
        self._leave(forget=True)
        if not self._parcel.repeatable or self._machine.steady() >= self._deadline:
            raise CallInDoubtError(
                "in_doubt", "the connection was lost, and nobody knows whether the call was carried out",
                "Find out before you repeat it, and tell the user.",
            )  # fmt: skip

    def _leave(self, *, forget: bool = False) -> None:
        tenure, lane = self._tenure, self._lane
        self._tenure = self._lane = None
        if tenure is None or lane is None:
            return
        if forget and lane.owner is self:
            lane.newest = None
        tenure.lanes.leave(lane, self)
        waking = asyncio.ensure_future(tenure.changed())
        _WAKING.add(waking)
        waking.add_done_callback(_WAKING.discard)

    # --- what an answer means ----------------------------------------------------------------------------------------------------------------

    async def _judge(self, answer: BrokerAnswer) -> _Next:
        status = answer.status
        if status == _UNAUTHORISED:
            return await self._unauthorised(answer)
        problem = answer.media == PROBLEM_TYPE
        if problem and (status in {_BUSY, _AWAY} or answer.problem().get("code") == "pass_stale"):
            return await self._wait_out(answer)
        if status >= _BROKEN and answer.media != "application/json" and not problem:
            # Somebody in between speaks; whether the broker has heard us is unknown.
            self._failures += 1
            self._call.lost(self._sent)
            await self._pause_or_doubt()
            return _Next.ANEW if self._lane is None else _Next.SAME
        if status == _TAKEN and answer.headers.get("jittrust-resend") == "1":
            return await self._still_unknown()
        if answer.stream is not None and answer.nonce and self._tenure is not None and self._lane is not None:
            HeldLanes.streams(self._lane, self)
            await self._tenure.changed()
        return _Next.DONE

    async def _unauthorised(self, answer: BrokerAnswer) -> _Next:
        code = answer.problem().get("code")
        if code == "use_dpop_nonce" and answer.nonce:
            if self._call.in_doubt:
                self._doubt()
                return _Next.ANEW
            self._challenged += 1
            if self._challenged > _CHALLENGES:
                raise UnavailableError("challenged_again", "the broker asks for a newer pass again and again")
            return _Next.FRESH
        if code == _PROOF:
            raise RefusedError(
                "proof_refused", "the broker does not take our proof",
                "Connect to the very address that it announces, and set the clock of this machine.",
            )  # fmt: skip
        if self._call.in_doubt and not self._parcel.repeatable:
            self._doubt()
        self._renewed += 1
        if self._tenure is None or self._renewed > _RENEWALS:
            raise RefusedError("grant_ended", "the broker does not take our token", "Tell the user.")
        await self._carrier.holder.ended(self._tenure)
        return _Next.ANEW

    async def _wait_out(self, answer: BrokerAnswer) -> _Next:
        """Nothing was let through: the same again after a while."""
        self._failures += 1
        said = _RETRY_AFTER.fullmatch(answer.headers.get("retry-after", ""))
        wait = max(float(said[0]) if said else 0.0, delay(self._failures, self._machine.draw()))
        after = self._machine.steady() + wait
        if after >= self._deadline:
            return _Next.DONE
        if answer.nonce:
            await asyncio.sleep(wait)
            return _Next.FRESH
        before = self._call.since
        self._call.lost(self._sent)
        if not self._call.may_resend(after):
            self._call.since = before
            return _Next.DONE
        await asyncio.sleep(wait)
        return _Next.SAME

    async def _still_unknown(self) -> _Next:
        """The broker has taken the call and does not know its answer (yet)."""
        self._call.lost(self._sent)
        if self._parcel.repeatable and self._machine.steady() < self._deadline:
            return _Next.FRESH if self._lane is not None and self._lane.newest is not None else _Next.ANEW
        if not self._call.may_resend(self._machine.steady() + _DOUBT_SECONDS):
            return _Next.DONE
        await asyncio.sleep(_DOUBT_SECONDS)
        return _Next.SAME


_WAKING: set[asyncio.Future[None]] = set()
