"""How this client gets a grant, and the next one: through a browser, away from the keyboard, with a JWT-SVID, or out of a file."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from jittrust.core.errors import BadInputError, RefusedError, UnavailableError
from jittrust.core.grant.proof import ProofSigner, make_proof
from jittrust.core.model import Json
from jittrust.core.units import Instant
from jittrust.pep.connect.backoff import delay
from jittrust.pep.connect.discovery import (
    ServerFacts,
    UntrustedServerError,
    check_address,
    facts_in,
    issuer_in,
    metadata_url,
    well_known,
)
from jittrust.pep.connect.loopback import LoopbackPage, Returned
from jittrust.pep.connect.tokens import (
    CLIENT_ID,
    GrantRefusedError,
    HeldGrant,
    challenge_of,
    mission_details,
    read_grant,
    read_token_file,
    refusal_of,
)
from jittrust.pep.connect.transport import AnswerLostError, BrokerAnswer, BrokerTransport, NotSentError

_FORM = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
_CIBA = "urn:openid:params:grant-type:ciba"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TRIES = 8
_REQUEST_SECONDS = 30.0
_OK = frozenset({200, 201})


@dataclass(frozen=True, slots=True)
class Machine:
    """What this machine gives: clocks, randomness, the key, and how to talk to people. Nothing here is printed.

    Attributes:
        signer: the agent's key.
        steady: seconds of a clock that never goes back.
        wall: seconds since 1970.
        random: a text of at least 128 random bits, base64url.
        draw: a random number, 0 ≤ n < 1.
        tell: one line for people, on standard error.
        browse: show an address in the browser; False when there is none.
    """

    signer: ProofSigner = field(repr=False)
    steady: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], str]
    draw: Callable[[], float]
    tell: Callable[[str], None]
    browse: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: the MCP server's address, the goal, for whom; 0 leaves a number to the server."""

    url: str
    goal: str
    agent: str = ""
    person: str = ""
    minutes: int = 0
    gas: int = 0
    lanes: int = 1

    def parameters(self) -> dict[str, str]:
        """The parameters of an authorization request (RFC 9396, RFC 8707)."""
        details: Json = mission_details(self.goal, self.minutes, self.gas, self.lanes)
        return {"resource": self.url, "authorization_details": json.dumps(details, ensure_ascii=True)}


class Login(Protocol):
    """A way to a grant."""

    async def first(self) -> HeldGrant:
        """The first grant. Raises JitError."""
        ...

    async def next(self, before: HeldGrant) -> HeldGrant:
        """The grant after `before`. Raises RefusedError when there is none any more, UnavailableError when it may be asked for again."""
        ...

    async def leave(self, last: HeldGrant) -> None:
        """Give back what would go on without us. Never raises."""
        ...


class TokenDesk:
    """One authorization server, found and checked."""

    def __init__(self, transport: BrokerTransport, machine: Machine, facts: ServerFacts) -> None:
        self._transport = transport
        self._machine = machine
        self.facts = facts
        self._nonce: str | None = None

    @classmethod
    async def find(cls, transport: BrokerTransport, machine: Machine, url: str) -> TokenDesk:
        """Ask the MCP server who gives grants for it. Waits, within bounds, for one that is not there yet.

        Raises:
            UntrustedServerError: what was found does not fit together.
            UnavailableError: nobody answers.
        """
        check_address(url)

        async def once() -> TokenDesk:
            async with asyncio.timeout(_REQUEST_SECONDS):
                asked = await transport.send("GET", url, {"accept": "application/json, text/event-stream"})
            asked.close()
            if asked.status >= 500:  # noqa: PLR2004 - RFC 9110 §15.6
                raise UnavailableError("broker_unreachable", f"{url} answers with HTTP {asked.status}")
            issuer = issuer_in(await transport.document(metadata_url(url, asked.challenges)), url)
            return cls(transport, machine, facts_in(await transport.document(well_known(issuer)), issuer))

        return await patiently(once, machine)

    async def grant(self, parameters: Mapping[str, str]) -> HeldGrant:
        """Ask the token endpoint.

        Raises:
            GrantRefusedError: no grant.
            UnavailableError: code `token_endpoint_failed`, `broker_unreachable`, `answer_lost`.
        """
        for _ in range(3):
            answer = await self._post(self.facts.token, parameters, self._nonce)
            self._nonce = None
            if answer.status != 200 and answer.nonce and answer.problem().get("error") == "use_dpop_nonce":  # noqa: PLR2004
                self._nonce = answer.nonce
                continue
            return read_grant(
                answer.status, answer.body or b"", answer.nonce, self._machine.signer.jkt, self._machine.steady()
            )
        raise UnavailableError("token_endpoint_failed", "the authorization server asks for a nonce again and again")

    async def ask(self, url: str, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        """Ask another endpoint; its JSON answer. Raises as `grant`."""
        answer = await self._post(url, parameters, None)
        if answer.status not in _OK:
            raise refusal_of(answer.status, answer.problem())
        return answer.problem()

    async def _post(self, url: str, parameters: Mapping[str, str], nonce: str | None) -> BrokerAnswer:
        machine = self._machine
        proof = make_proof(
            machine.signer, method="POST", url=url, iat=Instant(machine.wall()), jti=machine.random(), nonce=nonce
        )
        body = urlencode(parameters).encode("ascii")
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                answer = await self._transport.send("POST", url, _FORM | {"dpop": proof}, body)
        except TimeoutError:
            raise AnswerLostError("answer_lost", "the authorization server does not answer") from None
        answer.close()
        return answer


async def patiently(work: Callable[[], Awaitable[TokenDesk]], machine: Machine, tries: int = _TRIES) -> TokenDesk:
    """Do `work`, and again while the server is not there."""
    for failures in range(1, tries):
        try:
            return await work()
        except (NotSentError, AnswerLostError, TimeoutError):
            await asyncio.sleep(delay(failures, machine.draw()))
    return await work()


class RefreshedLogin:
    """What the ways with a person have in common: grants are renewed with a refresh token, bound to our key and never written anywhere."""

    def __init__(self, transport: BrokerTransport, machine: Machine, wanted: Wanted) -> None:
        self._transport = transport
        self._machine = machine
        self._wanted = wanted
        self._desk: TokenDesk | None = None

    async def desk(self) -> TokenDesk:
        """The authorization server, found once."""
        if self._desk is None:
            self._desk = await TokenDesk.find(self._transport, self._machine, self._wanted.url)
        return self._desk

    async def next(self, before: HeldGrant) -> HeldGrant:
        """See `Login.next`."""
        if not before.refresh:
            raise GrantRefusedError("grant_ended", "the server gave nothing to renew the grant with", _AGAIN)
        found = await (await self.desk()).grant(
            {
                "grant_type": "refresh_token",
                "refresh_token": before.refresh,
                "client_id": CLIENT_ID,
                "resource": self._wanted.url,
            }
        )
        if found.refresh:
            return found
        # No new refresh token: the old one stays good (RFC 6749 §6).
        return HeldGrant(found.token, found.began, found.ends, found.id, before.refresh, found.first_pass, found.lanes)

    async def leave(self, last: HeldGrant) -> None:
        """See `Login.leave`: the chain of renewals ends with this process (RFC 7009)."""
        if self._desk is None or not self._desk.facts.revoke or not last.refresh:
            return
        try:
            await self._desk.ask(
                self._desk.facts.revoke,
                {"token": last.refresh, "token_type_hint": "refresh_token", "client_id": CLIENT_ID},
            )
        except (RefusedError, UnavailableError, BadInputError):
            return  # it ends with its mission all the same


_AGAIN = "Restart this server in your MCP client to ask for a new grant."


class BrowserLogin(RefreshedLogin):
    """Authorization code with PKCE and a page on this machine to come back to (RFC 8252, RFC 7636, RFC 9207)."""

    patience = 600.0

    async def first(self) -> HeldGrant:
        """See `Login.first`."""
        desk, machine = await self.desk(), self._machine
        facts = desk.facts
        if not facts.authorize:
            raise UntrustedServerError("metadata_incomplete", "the server has no page for people", "Use --login ciba.")
        verifier, state = machine.random() + machine.random(), machine.random()

        def is_ours(found: Returned) -> bool:
            return hmac.compare_digest(found.state.encode("utf-8", "replace"), state.encode("ascii"))

        async with LoopbackPage(is_ours) as page:
            request = {
                "response_type": "code",
                "client_id": CLIENT_ID,
                "redirect_uri": page.url,
                "state": state,
                "code_challenge": challenge_of(verifier),
                "code_challenge_method": "S256",
                "dpop_jkt": machine.signer.jkt,
                **self._wanted.parameters(),
            }
            if facts.push:
                # Pushed first, the goal stands in no browser history, and nobody between can change it.
                pushed = (await desk.ask(facts.push, request)).get("request_uri")
                if not isinstance(pushed, str):
                    raise GrantRefusedError("grant_refused", "the server did not take the request")
                request = {"client_id": CLIENT_ID, "request_uri": pushed}
            joint = "&" if "?" in facts.authorize else "?"
            address = f"{facts.authorize}{joint}{urlencode(request)}"
            machine.tell(f"a person must say yes; open: {address}")
            if not machine.browse(address):
                machine.tell("no browser was found; open the address yourself")
            try:
                async with asyncio.timeout(self.patience):
                    returned = await page.returned()
            except TimeoutError:
                raise GrantRefusedError("login_timeout", "nobody answered in the browser", _AGAIN) from None
            self._check(returned, facts)
            return await desk.grant(
                {
                    "grant_type": "authorization_code",
                    "code": returned.code,
                    "redirect_uri": page.url,
                    "code_verifier": verifier,
                    "client_id": CLIENT_ID,
                    "resource": self._wanted.url,
                }
            )

    def _check(self, returned: Returned, facts: ServerFacts) -> None:
        """Who answered, before anything of the answer is used (RFC 9207 §2.4)."""
        if (facts.says_issuer or returned.issuer) and returned.issuer != facts.issuer:
            raise UntrustedServerError("issuer_mismatch", "the answer in the browser came from another issuer")
        if returned.error:
            raise GrantRefusedError("grant_refused", f"the person or the server said no: {returned.error}", _AGAIN)
        if not returned.code:
            raise GrantRefusedError("grant_refused", "the answer in the browser holds no code", _AGAIN)


class BackchannelLogin(RefreshedLogin):
    """A person answers on another machine, or with `jittrust approve` (CIBA Core 1.0, poll)."""

    async def first(self) -> HeldGrant:
        """See `Login.first`."""
        desk, machine, wanted = await self.desk(), self._machine, self._wanted
        if not desk.facts.backchannel:
            raise UntrustedServerError(
                "metadata_incomplete", "the server asks nobody away from the keyboard", "Use --login browser."
            )
        words = machine.random()[:8].upper().replace("-", "7").replace("_", "9")
        taken = await desk.ask(
            desk.facts.backchannel,
            {
                "client_id": CLIENT_ID,
                "scope": "openid",
                "login_hint": wanted.person,
                "binding_message": words,
                **wanted.parameters(),
            },
        )
        secret, seconds, interval = taken.get("auth_req_id"), taken.get("expires_in"), taken.get("interval")
        if not isinstance(secret, str) or not isinstance(seconds, int):
            raise GrantRefusedError("grant_refused", "the server did not take the request")
        machine.tell(f"{wanted.person} must say yes to {words}: jittrust approve")
        wait = float(interval) if isinstance(interval, int) and 0 < interval <= 60 else 5.0  # noqa: PLR2004 - a minute
        ends, failures = machine.steady() + min(seconds, 3600), 0
        while machine.steady() < ends:
            await asyncio.sleep(wait)
            try:
                return await desk.grant({"grant_type": _CIBA, "auth_req_id": secret, "client_id": CLIENT_ID})
            except GrantRefusedError as refused:
                if not refused.pending:
                    raise
                wait += 5.0 if refused.word == "slow_down" else 0.0
                failures = 0
            except UnavailableError:
                failures += 1
                await asyncio.sleep(delay(failures, machine.draw()))
        raise GrantRefusedError("login_timeout", "nobody answered in time", _AGAIN)


class WorkloadLogin:
    """A workload shows its JWT-SVID (RFC 7523), and shows a fresh one for every next grant: nothing else renews it."""

    def __init__(
        self, transport: BrokerTransport, machine: Machine, wanted: Wanted, svid: Callable[[str], Awaitable[str]]
    ) -> None:
        """`svid`: a fresh JWT-SVID for an audience."""
        self._transport = transport
        self._machine = machine
        self._wanted = wanted
        self._svid = svid
        self._desk: TokenDesk | None = None

    async def first(self) -> HeldGrant:
        """See `Login.first`."""
        if self._desk is None:
            self._desk = await TokenDesk.find(self._transport, self._machine, self._wanted.url)
        assertion = await self._svid(self._desk.facts.issuer)
        return await self._desk.grant(
            {"grant_type": _JWT_BEARER, "assertion": assertion, "client_id": CLIENT_ID, "resource": self._wanted.url}
        )

    async def next(self, before: HeldGrant) -> HeldGrant:  # noqa: ARG002 - the port's signature
        """See `Login.next`."""
        return await self.first()

    async def leave(self, last: HeldGrant) -> None:
        """Nothing goes on without us."""


class FileLogin:
    """A grant that a person opened: `jittrust grant new --json`. Whoever writes a new one into the file renews it."""

    def __init__(self, machine: Machine, read: Callable[[], bytes]) -> None:
        """`read`: the content of the file, whose rights were checked."""
        self._machine = machine
        self._read = read

    async def first(self) -> HeldGrant:
        """See `Login.first`."""
        return read_token_file(self._read(), self._machine.steady(), self._machine.wall())

    async def next(self, before: HeldGrant) -> HeldGrant:
        """See `Login.next`."""
        found = await self.first()
        if found.token == before.token:
            words = "the grant has ended or is about to, and the token file holds no other"
            raise UnavailableError("grant_ended", words, "Put a new one there: jittrust grant new … --json > FILE")
        return found

    async def leave(self, last: HeldGrant) -> None:
        """The grant is the person's to end."""
