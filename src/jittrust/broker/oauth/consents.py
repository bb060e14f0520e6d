"""Authorization requests in front of a person: pushed, shown, answered, redeemed once; the same for the back channel."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from jittrust.broker.approvals import ApprovalBook, MissionAnswered
from jittrust.broker.identity.index import IdentityIndex
from jittrust.broker.identity.passkeys import PasskeyBook
from jittrust.broker.identity.people import PeopleBook
from jittrust.broker.missions import MissionBook, checked
from jittrust.broker.oauth.clients import Authenticated, ClientBook
from jittrust.broker.oauth.parts import OAuthParts
from jittrust.broker.oauth.questions import (
    NEVER_SHOWN,
    Draft,
    client_told,
    drafted,
    granted_details,
    never_of,
    question_digest,
    question_text,
    risk_of,
    rows_of,
    warnings_of,
    worth,
)
from jittrust.broker.oauth.reading import read_asked, read_browser, read_expiry, read_message, sent_to
from jittrust.broker.oauth.request_index import RequestIndex
from jittrust.broker.record import approval_record, grant_record, milliseconds
from jittrust.broker.state import State
from jittrust.core.approval import Approval, ApprovalKind, ApprovalState, ConfirmedBy
from jittrust.core.authority.map import AuthorityEntry, AuthorityMap, EntryState
from jittrust.core.errors import ConflictError, NotFoundError
from jittrust.core.grant import jws
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.identity import IdentityState
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import SubjectKind
from jittrust.core.oauth.authorize import (
    SentBackError,
    own_words,
    pkce_holds,
    plain_words,
)
from jittrust.core.oauth.client import OAuthClient
from jittrust.core.oauth.details import mission_of
from jittrust.core.oauth.error import OAuthError
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.request import REQUEST_MOVES, AuthorizationRequest, RequestKind, RequestState
from jittrust.core.oauth.server_metadata import CIBA
from jittrust.core.oauth.spiffe_client import is_spiffe
from jittrust.core.states import move
from jittrust.core.units import Gas, Instant
from jittrust.ports.approvals import Answer
from jittrust.ports.authorization_server import Pushed
from jittrust.ports.commit import Drop, Keep, MoveGrant, PutApproval, RecordBody, Write
from jittrust.ports.consents import ConsentAnswer, ConsentQuestion

PUSHED_SECONDS: Final = 90
ASKED_SECONDS: Final = 600
CODE_SECONDS: Final = 60
KEPT_SECONDS: Final = 3600
SWEEP_SECONDS: Final = 30
"""How long a request is remembered after it is over: for a code that comes twice, and for the asking budget."""
INTERVAL: Final = 5
INTERVAL_MOST: Final = 60
_SLACK: Final = 0.5  # seconds by which a poll may come early: its clock is not ours
WAITING_MOST: Final = 5
"""Most questions of one client that wait for one person (the asking budget)."""
WAITING_OF_ALL: Final = 20
"""Most questions of all clients that wait for one person."""
ASKED_AN_HOUR: Final = 10
"""Most back-channel questions of one client that one person is asked in an hour without having said yes."""
ASKED_BY_STRANGERS: Final = 30
"""The same for all clients together that are no workloads of ours or of a federated domain: a client id more costs a stranger nothing."""
UNSEEN_MOST: Final = 64
"""Most requests of one client that nobody has signed in for; the oldest is forgotten first."""
UNSEEN_OF_ALL: Final = 2048
_URI: Final = "urn:ietf:params:oauth:request_uri:"
_HINTS: Final = ("login_hint", "login_hint_token", "id_token_hint")


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A request that was answered with yes and has just been spent: what a grant is opened for. Its `mission` is active."""

    request: AuthorizationRequest


class ConsentBook:
    """See `ports.consents`."""

    def __init__(
        self,
        state: State,
        clients: ClientBook,
        missions: MissionBook,
        approvals: ApprovalBook,
        people: PeopleBook,
        passkeys: PasskeyBook,
        parts: OAuthParts,
    ) -> None:
        """Wire it up."""
        self._state = state
        self._clients = clients
        self._missions = missions
        self._approvals = approvals
        self._people = people
        self._passkeys = passkeys
        self._parts = parts
        self._identities = IdentityIndex.of(state)
        self._found = RequestIndex(state)
        state.add_index(self._found)
        # When a back-channel request was asked for last, and how many seconds must lie between: in memory, for a poll must not cost a commit.
        self._polled: dict[str, tuple[Instant, int]] = {}
        self._swept = Instant(0)
        approvals.ask_for_missions(self)

    # ---- the browser's way ----------------------------------------------------------------------------------------------------------------

    async def begin(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        """See `Consents.begin`."""
        await self._state.refresh()
        if "request_uri" in parameters:
            return await self._begin_pushed(parameters)
        client = await self._clients.known(parameters.get("client_id", ""))
        made = self._read(client, client.agent or client.id, parameters)
        now = self._parts.clock()
        twin = self._twin(made, now)
        if twin is not None:
            return twin
        made = replace(made, state=RequestState.ASKED, made=now, expires=Instant(now + ASKED_SECONDS))
        await self._state.change([*self._pruned(now), *self._room(made.client), Keep(made)], [])
        return made

    async def push(self, who: Authenticated, parameters: Mapping[str, str]) -> Pushed:
        """Take a request of an authenticated (or public) client before the browser comes (RFC 9126)."""
        await self._state.refresh()
        if "request_uri" in parameters:
            raise OAuthError("invalid_request", "request_uri_pushed", "A pushed request holds no request_uri.")
        self._check_own(who, parameters)
        try:
            made = self._read(who.client, who.agent, parameters)
        except SentBackError as error:
            # Here the client itself reads the answer: there is nothing to send on (RFC 9126 §2.3).
            raise OAuthError(error.error, error.code, error.message, error.next_step) from None
        now = self._parts.clock()
        secret = _URI + self._secret("request_uri", made.id)
        made = replace(made, made=now, expires=Instant(now + PUSHED_SECONDS), secret=self._keyed(secret))
        await self._state.change([*self._pruned(now), *self._room(made.client), Keep(made)], [])
        return Pushed(secret, PUSHED_SECONDS)

    async def _begin_pushed(self, parameters: Mapping[str, str]) -> AuthorizationRequest:
        """Go on with a pushed request; nothing but `client_id` and `request_uri` of what the browser brought is looked at (RFC 9126 §4)."""
        now = self._parts.clock()
        found = self._by_secret(parameters["request_uri"])
        if (
            found is None
            or found.state is not RequestState.PUSHED
            or now >= found.expires
            or parameters.get("client_id", "") != found.client
        ):
            raise OAuthError(
                "invalid_request",
                "request_uri_unknown",
                "This request was not pushed here, was used, or is too old.",
                "Go back to the client and begin again.",
            )
        asked = replace(
            found,
            state=move(REQUEST_MOVES, found.state, RequestState.ASKED),
            secret="",
            expires=Instant(now + ASKED_SECONDS),
            revision=found.revision + 1,
        )
        await self._state.change([Keep(asked)], [])
        return asked

    async def show(
        self, request: str, session: str, goal: str | None = None, also: Sequence[str] | None = None
    ) -> ConsentQuestion:
        """See `Consents.show`."""
        await self._state.refresh()
        signed = await self._people.session(session)
        client = await self._clients.known(self._browsers(request, signed.person.id).client)
        now, person = self._parts.clock(), signed.person.id
        found = self._browsers(request, person)
        if found.state is not RequestState.ASKED:
            return self._told(found, client, person, self._as_answered(found))
        if goal is not None:
            words = own_words(goal, len(goal))
            found = replace(found, goal=checked(words) if words else "")
        if not found.person:
            # From now on it is theirs; whoever follows the same link sees nothing, and cannot answer it.
            found = replace(found, person=person, expires=Instant(now + ASKED_SECONDS))
        ticked = frozenset(also) if also is not None else frozenset() if goal is not None else _ticked(found, person)
        draft = self._draft(found, ticked, now)
        stored = self._state.of_kind(AuthorizationRequest)[found.id]
        if draft is None:
            if replace(found, entries=(), later=False, mission="", approval="") != stored:
                found = replace(found, entries=(), later=False, mission="", approval="", revision=found.revision + 1)
                await self._state.change([*self._closed(stored), Keep(found)], [])
            return self._told(found, client, person, None)
        found = self._holding(found, draft)
        digest = self._digest(found, draft.mission)
        open_now = self._state.approvals.get(stored.approval)
        if (
            open_now is None
            or open_now.state is not ApprovalState.WAITING
            or now >= open_now.expires
            or open_now.digest != digest
        ):
            await self._check_budget(found, now)
            question = self._question(found, client, draft, digest, now)
            found = replace(found, approval=question.id, revision=found.revision + 1)
            writes = [*self._closed(stored), PutApproval(question), Keep(found)]
            await self._state.change(writes, [approval_record(question, now), _record("asked", found, now)])
        return self._told(self._state.of_kind(AuthorizationRequest)[found.id], client, person, draft)

    async def answer(self, request: str, answer: ConsentAnswer) -> str:
        """See `Consents.answer`."""
        await self._state.refresh()
        signed = await self._people.session(answer.session)
        found = self._browsers(request, signed.person.id)
        if found.state is RequestState.ASKED:
            if not answer.approve and not found.approval:
                await self._denied(found, signed.person.id)
            else:
                await self._put_answer(found, signed.person.id, answer)
            found = self._browsers(request, signed.person.id)
        if found.state is RequestState.APPROVED and answer.approve:
            return self._address(found, code=self._secret("code", found.id))
        if found.state is RequestState.DENIED and not answer.approve:
            return self._address(found, error="access_denied")
        raise ConflictError("question_moved", f"This request is {found.state} already.", "Begin again at the client.")

    async def _put_answer(self, found: AuthorizationRequest, person: str, answer: ConsentAnswer) -> None:
        if (
            not found.approval
            or answer.question not in ("", found.approval)
            or (answer.approve and not answer.question)
        ):
            raise ConflictError(
                "question_moved", "What was on the screen is not what would happen any more.", "Look at it again."
            )
        how = ConfirmedBy.SESSION
        if answer.approve:
            how = ConfirmedBy.PIN if answer.pin and not answer.assertion else ConfirmedBy.PASSKEY
        given = Answer(answer.approve, person, how, answer.pin, assertion=answer.assertion, session=answer.session)
        await self._approvals.answer(found.approval, given)

    async def _denied(self, found: AuthorizationRequest, person: str) -> None:
        """A no before there was anything to say yes to."""
        now = self._parts.clock()
        ended = _moved(replace(found, person=person), RequestState.DENIED, now + CODE_SECONDS)
        await self._state.change([Keep(ended)], [_record("denied", ended, now, by=person)])

    # ---- the back channel -----------------------------------------------------------------------------------------------------------------

    async def backchannel(self, who: Authenticated, parameters: Mapping[str, str]) -> Pushed:
        """Take a request of an authenticated client that a person answers elsewhere (CIBA)."""
        await self._state.refresh()
        self._check_own(who, parameters)
        if CIBA not in who.client.grant_types:
            raise OAuthError("unauthorized_client", "ciba_not_allowed", "This client does not ask in the back channel.")
        if "request" in parameters:
            raise OAuthError("invalid_request", "request_object", "Signed request objects are not taken here.")
        now = self._parts.clock()
        made = read_asked(
            who.client, who.agent, RequestKind.BACKCHANNEL, parameters, self._parts.issuer, self._parts.new_id("r")
        )
        expiry = read_expiry(parameters.get("requested_expiry", ""), int(self._parts.rules.grants.approval_seconds))
        made = replace(
            made,
            person=self._hinted(parameters),
            message=read_message(parameters.get("binding_message", "")),
            state=RequestState.ASKED,
            made=now,
            expires=Instant(now + expiry),
            interval=INTERVAL,
        )
        twin = self._twin(made, now) if who.proven or made.jkt else None
        if twin is not None:
            return Pushed(self._secret("auth_req_id", twin.id), max(1, int(twin.expires - now)), INTERVAL)
        draft = self._draft(made, frozenset(), now)
        if draft is None:
            raise OAuthError(
                "invalid_request",
                "goal_needed",
                "The person has no mission, and the request says no goal.",
                "authorization_details of type urn:jittrust:mission",
            )
        await self._check_budget(made, now)
        secret = self._secret("auth_req_id", made.id)
        made = self._holding(replace(made, secret=self._keyed(secret)), draft)
        question = self._question(made, who.client, draft, self._digest(made, draft.mission), now)
        made = replace(made, approval=question.id)
        await self._state.change(
            [*self._pruned(now), PutApproval(question), Keep(made)],
            [approval_record(question, now), _record("asked", made, now)],
        )
        return Pushed(secret, expiry, INTERVAL)

    async def poll(self, who: Authenticated, auth_req_id: str, jkt: str = "") -> Redeemed:
        """Spend an answered back-channel request. Raises OAuthError: `authorization_pending`, `slow_down`, `access_denied`, `expired_token`.

        `jkt`: key of the proof that came with it; must be the request's `dpop_jkt` where it named one.
        """
        await self._state.refresh()
        now = self._parts.clock()
        found = self._by_secret(auth_req_id)
        if found is None or found.kind is not RequestKind.BACKCHANNEL or found.client != who.client.id:
            raise OAuthError("invalid_grant", "auth_req_id_unknown", "This auth_req_id is not of this client.")
        if found.jkt not in ("", jkt):
            raise OAuthError("invalid_grant", "key_differs", "The request was made for another key.")
        if found.state is RequestState.DENIED:
            raise OAuthError("access_denied", "person_refused", "The person said no.")
        if found.state is RequestState.REDEEMED:
            raise OAuthError("invalid_grant", "auth_req_id_used", "This auth_req_id was used.")
        if now >= found.expires:
            self._polled.pop(found.id, None)
            raise OAuthError("expired_token", "auth_req_id_expired", "Nobody answered in time.", "Ask again.")
        if found.state is RequestState.APPROVED:
            self._polled.pop(found.id, None)
            return await self._spent(found, now)
        last, interval = self._polled.get(found.id, (Instant(0), found.interval))
        soon = now - last < interval - _SLACK
        interval = min(interval + INTERVAL, INTERVAL_MOST) if soon else interval
        self._polled[found.id] = (now, interval)
        if soon:
            raise OAuthError("slow_down", "polled_too_soon", f"Ask every {interval} seconds at most.")
        raise OAuthError("authorization_pending", "person_asked", "The person has not answered yet.")

    # ---- the token endpoint ---------------------------------------------------------------------------------------------------------------

    async def redeem(self, who: Authenticated, parameters: Mapping[str, str], jkt: str) -> Redeemed:
        """Spend an authorization code: `code`, `redirect_uri`, `code_verifier`. A code that comes twice ends what it gave. Raises OAuthError.

        A code is tried once: with a wrong verifier, redirect URI or key it is spent too, for whoever holds it then is not whom it was made for.
        """
        await self._state.refresh()
        now = self._parts.clock()
        found = self._by_secret(parameters.get("code", ""))
        refused = OAuthError(
            "invalid_grant", "code_unknown", "This code is unknown, used, too old, or not for this client."
        )
        if found is None or found.kind is not RequestKind.CODE or found.client != who.client.id:
            raise refused
        if found.state is RequestState.REDEEMED:
            await self._came_twice(found, now)
            raise refused
        if found.state is not RequestState.APPROVED or now >= found.expires:
            raise refused
        fits = (
            parameters.get("redirect_uri", "") == found.redirect_uri
            and pkce_holds(found.challenge, parameters.get("code_verifier", ""))
            and found.jkt in ("", jkt)
        )
        if not fits:
            ended = replace(_moved(found, RequestState.REDEEMED, now + KEPT_SECONDS), secret="")
            await self._state.change([Keep(ended)], [_record("code_misused", ended, now)])
            raise refused
        return await self._spent(found, now)

    async def gave(self, request: AuthorizationRequest, grant: str) -> None:
        """Note the grant that a redeemed request was given."""
        found = self._state.of_kind(AuthorizationRequest).get(request.id)
        if found is None:
            return
        now = self._parts.clock()
        noted = replace(found, grant=grant, revision=found.revision + 1)
        # No secret any more: the code came a second time while this grant was being made.
        twice = found.kind is RequestKind.CODE and not found.secret
        writes, records = self._ended(noted, now) if twice else ([], [])
        await self._state.change([Keep(noted), *writes], [_record("granted", noted, now), *records])

    async def tick(self) -> None:
        """Forget requests that have long been over."""
        now = self._parts.clock()
        gone = self._pruned(now)
        if gone:
            await self._state.change(gone, [])

    # ---- for the questions ----------------------------------------------------------------------------------------------------------------

    def answered(self, approval: Approval, now: Instant) -> MissionAnswered:
        """See `MissionQuestions.answered`."""
        name = self._found.by_approval.get(approval.id, "")
        found = self._state.of_kind(AuthorizationRequest).get(name)
        if found is None or found.state is not RequestState.ASKED or now >= found.expires:
            raise _moved_on()
        if approval.state is not ApprovalState.APPROVED:
            ended = _moved(found, RequestState.DENIED, max(found.expires, now + CODE_SECONDS))
            return MissionAnswered((Keep(ended),), (_record("denied", ended, now, by=approval.answered_by),))
        mission = self._state.missions.get(found.mission) if found.mission else None
        if found.mission and not self._goes_on(mission, now):
            raise _moved_on()
        if self._digest(found, mission) != approval.digest:
            raise _moved_on()
        writes: list[Write] = []
        records: list[RecordBody] = []
        then = None
        if mission is None:
            begun = self._missions.start_consented(
                found.person,
                Goal((found.goal,), GoalSource.MISSION_START if found.later else GoalSource.CONSENT),
                AuthorityMap(_signed(found.entries, found.person, approval.answered_by), self._lasts(found)[3]),
                self._lasts(found)[0],
                found.agent,
                now,
            )
            mission, then = begun.mission, begun.carry_on
            writes += begun.writes
            records += begun.records
        code = found.kind is RequestKind.CODE
        agreed = replace(
            _moved(
                found, RequestState.APPROVED, now + CODE_SECONDS if code else max(found.expires, now + CODE_SECONDS)
            ),
            mission=mission.id,
            details=granted_details(found),
            secret=self._keyed(self._secret("code", found.id)) if code else found.secret,
        )
        writes.append(Keep(agreed))
        records.append(_record("approved", agreed, now, by=approval.answered_by))
        return MissionAnswered(tuple(writes), tuple(records), then)

    def _read(self, client: OAuthClient, agent: str, parameters: Mapping[str, str]) -> AuthorizationRequest:
        return read_browser(client, agent, parameters, self._parts.issuer, self._parts.new_id("r"))

    def _check_own(self, who: Authenticated, parameters: Mapping[str, str]) -> None:
        if parameters.get("client_id", who.client.id) != who.client.id:
            raise OAuthError("invalid_request", "client_differs", "client_id is not the client that authenticated.")

    def _hinted(self, parameters: Mapping[str, str]) -> str:
        """Whom a back-channel request is for: exactly one hint, and we take `login_hint` only (CIBA Core §7.1)."""
        given = [name for name in _HINTS if parameters.get(name)]
        if given != ["login_hint"]:
            raise OAuthError(
                "invalid_request", "login_hint_needed", "Exactly one hint is needed, and it is login_hint."
            )
        hint = parameters["login_hint"]
        unknown = OAuthError("unknown_user_id", "person_unknown", "Nobody here is called that.")
        known = self._identities.person(hint)
        if known is not None and (known.kind is not SubjectKind.PERSON or known.state is not IdentityState.ACTIVE):
            raise unknown
        # Whoever works here already goes by the name they work under: a local user's missions are under that name.
        here = self._state.newest(hint) is not None or any(
            one.said.person == hint for one in self._state.attachments.values()
        )
        if here:
            return hint
        if known is None:
            raise unknown
        return known.id

    # ---- questions ------------------------------------------------------------------------------------------------------------------------

    def _draft(self, found: AuthorizationRequest, also: frozenset[str], now: Instant) -> Draft | None:
        current = self._missions.running(found.person)
        if not self._goes_on(current, now):
            current = None
        return drafted(found, found.person, also, self._state.tools, current, self._parts.rules, now)

    @staticmethod
    def _goes_on(mission: Mission | None, now: Instant) -> bool:
        return mission is not None and mission.state is MissionState.ACTIVE and now < mission.expires

    @staticmethod
    def _holding(found: AuthorizationRequest, draft: Draft) -> AuthorizationRequest:
        """The request with what a yes to the draft would make true: that, and nothing computed later, is what happens."""
        mission = draft.mission.id if draft.mission is not None else ""
        return replace(found, entries=draft.entries, later=draft.later, mission=mission)

    def _lasts(self, found: AuthorizationRequest) -> tuple[int, int, int, int]:
        """Minutes, gas, uses and lanes at most, by the rules and the request alone. Minutes are 0 under a mission that runs already."""
        rules = self._parts.rules.grants
        minutes = 0 if found.mission else min(found.minutes or rules.mission_minutes, rules.mission_minutes)
        return (
            minutes,
            min(found.gas or rules.gas, rules.gas),
            found.uses,
            min(max(found.lanes, 1), rules.lanes_most),
        )

    def _digest(self, found: AuthorizationRequest, mission: Mission | None) -> str:
        return question_digest(found, found.person, found.goal, mission, self._lasts(found))

    def _question(
        self, found: AuthorizationRequest, client: OAuthClient, draft: Draft, digest: str, now: Instant
    ) -> Approval:
        name, host, _, verified, changed = client_told(client, found.redirect_uri, open_to_all=self._parts.registration)
        tools = self._state.tools
        rows = rows_of(draft.entries, tools, found.person, page=False)
        never = len(never_of(found, draft.entries, tools))
        warnings = warnings_of(draft, verified=verified, changed=changed, reworded=_reworded(found))
        return Approval(
            id=self._parts.new_id("a"),
            kind=ApprovalKind.MISSION,
            mission=found.mission,
            subject=found.agent,
            target=found.person,
            digest=digest,
            text=question_text(found, name, host, found.person, draft, rows, never, self._parts.rules),
            why=" ".join(("An agent asks for a mission of yours.", *warnings)),
            risk=risk_of(draft.entries, tools),
            asked=now,
            expires=found.expires,
            price=Gas(draft.gas),
        )

    def _told(
        self, found: AuthorizationRequest, client: OAuthClient, person: str, draft: Draft | None
    ) -> ConsentQuestion:
        name, host, local, verified, changed = client_told(
            client, found.redirect_uri, open_to_all=self._parts.registration
        )
        tools = self._state.tools
        entries = draft.entries if draft is not None else ()
        never = never_of(found, entries, tools) if draft is not None else ()
        minutes, gas, uses, _ = self._lasts(found)
        reads, payments = worth(gas, self._parts.rules)
        return ConsentQuestion(
            request=found,
            client=client,
            entries=entries,
            minutes=draft.minutes if draft is not None else minutes,
            gas=gas,
            approval=self._state.approvals.get(found.approval),
            client_name=name,
            host=host,
            local=local,
            verified=verified,
            person=person,
            rows=rows_of(entries, tools, person, page=not found.mission),
            never=never[:NEVER_SHOWN],
            never_count=len(never),
            reads=reads,
            payments=payments,
            uses=uses,
            mission=found.mission,
            warnings=warnings_of(draft, verified=verified, changed=changed, reworded=_reworded(found)),
            passkey=self._approvals.passkey_required,
        )

    def _as_answered(self, found: AuthorizationRequest) -> Draft:
        minutes, gas, uses, lanes = self._lasts(found)
        return Draft(found.goal, found.entries, None, found.later, minutes, gas, uses, lanes)

    # ---- budget and room ------------------------------------------------------------------------------------------------------------------

    async def _check_budget(self, found: AuthorizationRequest, now: Instant) -> None:
        """Refuse what would ask a person too much (approver fatigue): what is refused is never shown."""
        others = [one for one in self._found.of(found.person) if one.approval and one.id != found.id]
        elsewhere = found.kind is RequestKind.BACKCHANNEL
        # A page is asked for by a person who sits in front of it: what strangers ask elsewhere does not shut it.
        waiting = [
            one
            for one in others
            if one.state is RequestState.ASKED and now < one.expires and (elsewhere or one.kind is RequestKind.CODE)
        ]
        # In these counts a client is a client id: whoever registers many is held by the bounds over all of them.
        mine = sum(one.client == found.client for one in waiting)
        lately = [
            one.client
            for one in others
            if one.kind is RequestKind.BACKCHANNEL
            and now - one.made < KEPT_SECONDS
            and one.state in (RequestState.ASKED, RequestState.DENIED)
        ]
        strangers = 0 if is_spiffe(found.client) else sum(not is_spiffe(client) for client in lately)
        often = elsewhere and (lately.count(found.client) >= ASKED_AN_HOUR or strangers >= ASKED_BY_STRANGERS)
        if mine < WAITING_MOST and len(waiting) < WAITING_OF_ALL and not often:
            return
        refused = OAuthError(
            "access_denied",
            "asked_too_often",
            "Too many questions of this kind wait for this person already.",
            "Wait until they are answered.",
        )
        if found.kind is RequestKind.BACKCHANNEL:
            raise refused
        stored = self._state.of_kind(AuthorizationRequest)[found.id]
        ended = _moved(replace(stored, person=found.person), RequestState.DENIED, now + CODE_SECONDS)
        await self._state.change([*self._closed(stored), Keep(ended)], [_record("refused_unasked", ended, now)])
        raise SentBackError(refused, self._address(found, error="access_denied"))

    def _room(self, client: str) -> list[Write]:
        """Forget the oldest unseen requests where there are too many: first those of the same client, so that one floods nobody else."""
        unseen = [one for one in self._found.open_requests() if not one.person]
        mine = [one for one in unseen if one.client == client]
        if len(mine) >= UNSEEN_MOST:
            return [Drop(min(mine, key=lambda one: (one.made, one.id)))]
        if len(unseen) < UNSEEN_OF_ALL:
            return []
        by_client: dict[str, list[AuthorizationRequest]] = {}
        for one in unseen:
            by_client.setdefault(one.client, []).append(one)
        largest = by_client[max(by_client, key=lambda name: len(by_client[name]))]
        return [Drop(min(largest, key=lambda one: (one.made, one.id)))]

    def _pruned(self, now: Instant) -> list[Write]:
        if now < self._swept + SWEEP_SECONDS:
            return []
        self._swept = now
        gone: list[Write] = []
        for one in self._state.of_kind(AuthorizationRequest).values():
            if now >= one.expires + (KEPT_SECONDS if one.person else 0):
                gone += [*self._closed(one), Drop(one)]
                self._polled.pop(one.id, None)
        return gone

    def _closed(self, found: AuthorizationRequest) -> list[Write]:
        """What ends the question that was in front of the person until now."""
        question = self._state.approvals.get(found.approval)
        if question is None or question.state is not ApprovalState.WAITING:
            return []
        return [PutApproval(replace(question, state=ApprovalState.EXPIRED))]

    def _twin(self, made: AuthorizationRequest, now: Instant) -> AuthorizationRequest | None:
        """The same request of the same client that waits already: asking twice makes one question."""
        return next(
            (
                one
                for one in self._found.open_requests()
                if one.state is RequestState.ASKED
                and now < one.expires
                and _wish(one) == _wish(made)
                # A person may have changed the goal of a page; a back channel's person is part of what is asked.
                and (made.kind is RequestKind.CODE or one.person == made.person)
                and (made.kind is RequestKind.CODE or self._waits(one, now))
            ),
            None,
        )

    def _waits(self, one: AuthorizationRequest, now: Instant) -> bool:
        question = self._state.approvals.get(one.approval)
        return question is not None and question.state is ApprovalState.WAITING and now < question.expires

    # ---- ends -----------------------------------------------------------------------------------------------------------------------------

    async def _spent(self, found: AuthorizationRequest, now: Instant) -> Redeemed:
        mission = self._state.missions.get(found.mission)
        if not self._goes_on(mission, now):
            raise OAuthError("invalid_grant", "mission_over", "The mission that the person said yes to is over.")
        spent = _moved(found, RequestState.REDEEMED, now + KEPT_SECONDS)
        writes: list[Write] = [Keep(spent)]
        question = self._state.approvals.get(found.approval)
        if question is not None and question.state is ApprovalState.APPROVED:
            writes.append(PutApproval(replace(question, state=ApprovalState.USED)))
        await self._state.change(writes, [_record("redeemed", spent, now)])
        return Redeemed(spent)

    async def _came_twice(self, found: AuthorizationRequest, now: Instant) -> None:
        """A code that comes a second time was stolen by one of the two: nothing that it gave goes on (RFC 6749 §4.1.2)."""
        if not found.secret:
            return
        seen = replace(found, secret="", revision=found.revision + 1)
        writes, records = self._ended(seen, now)
        await self._state.change([Keep(seen), *writes], [_record("code_reused", seen, now), *records])

    def _ended(self, found: AuthorizationRequest, now: Instant) -> tuple[list[Write], list[RecordBody]]:
        """What ends the grants and renewals that the request gave, and what those gave on."""
        why, by = "its authorization code came twice", "policy:code_reused"
        live = self._state.live_grants_of(found.mission)
        families = {one.family for one in live if one.id == found.grant}
        ending = [one for one in live if one.family in families or (one.client and one.client == found.client)]
        writes: list[Write] = [MoveGrant(one.id, GrantState.REVOKED) for one in ending]
        records: list[RecordBody] = [grant_record(one, "revoked", now, why, by) for one in ending]
        writes += [
            Keep(replace(one, ended=why, revision=one.revision + 1))
            for one in self._state.of_kind(Renewal).values()
            if one.mission == found.mission and one.client == found.client and not one.ended
        ]
        return writes, records

    # ---- inside -------------------------------------------------------------------------------------------------------------------------------

    def _browsers(self, request: str, person: str) -> AuthorizationRequest:
        """A request of the browser's way that is this person's, or nobody's yet, and not over."""
        found = self._state.of_kind(AuthorizationRequest).get(request)
        if (
            found is None
            or found.kind is not RequestKind.CODE
            or found.state in (RequestState.PUSHED, RequestState.REDEEMED)
            or found.person not in ("", person)
            or self._parts.clock() >= found.expires
        ):
            raise NotFoundError(
                "request_unknown", "There is no such request, or it is over.", "Go back to the client and begin again."
            )
        return found

    def _by_secret(self, secret: str) -> AuthorizationRequest | None:
        name = self._found.by_secret.get(self._keyed(secret), "") if secret else ""
        return self._state.of_kind(AuthorizationRequest).get(name)

    def _secret(self, purpose: str, request: str) -> str:
        """What finds a request from outside: made of its id with our key, so that it is stored nowhere."""
        told = f"oauth {purpose}\x00{request}".encode()
        return jws.encode(hmac.digest(self._parts.hash_key, told, "sha256")).decode("ascii")

    def _keyed(self, secret: str) -> str:
        told = b"oauth request\x00" + secret.encode("utf-8", "surrogatepass")
        return hmac.digest(self._parts.hash_key, told, "sha256").hex()

    def _address(self, found: AuthorizationRequest, **told: str) -> str:
        return sent_to(found.redirect_uri, found.oauth_state, self._parts.issuer, **told)


def _wish(one: AuthorizationRequest) -> tuple[object, ...]:
    """What makes two requests the same."""
    return (
        one.kind,
        one.client,
        one.agent,
        one.redirect_uri,
        one.oauth_state,
        one.challenge,
        one.nonce,
        one.resource,
        one.details,
        one.message,
        one.jkt,
    )


def _moved(found: AuthorizationRequest, to: RequestState, until: float) -> AuthorizationRequest:
    state = move(REQUEST_MOVES, found.state, to)
    return replace(found, state=state, expires=Instant(until), revision=found.revision + 1)


def _moved_on() -> ConflictError:
    return ConflictError(
        "question_moved",
        "What was shown is not what would happen any more.",
        "Look at it again, or let the agent ask again.",
    )


def _ticked(found: AuthorizationRequest, person: str) -> frozenset[str]:
    return frozenset(one.id for one in found.entries if one.approved_by == person)


def _signed(entries: tuple[AuthorityEntry, ...], person: str, by: str) -> tuple[AuthorityEntry, ...]:
    """What the person approved beyond the goal stands under the name of whoever answered."""
    return tuple(
        replace(one, approved_by=by) if one.state is EntryState.APPROVED and one.approved_by == person else one
        for one in entries
    )


def _reworded(found: AuthorizationRequest) -> bool:
    """Whether the agent's goal had something in it that a person would not have seen."""
    asked = mission_of(found.details)
    return asked is not None and plain_words(" ".join(asked.goal.split()), len(asked.goal) + 1)[1]


def _record(what: str, found: AuthorizationRequest, now: Instant, by: str = "") -> RecordBody:
    """What became of a request; its secrets are in no record."""
    return {
        "kind": "oauth",
        "at": milliseconds(now),
        "what": what,
        "request": found.id,
        "flow": found.kind,
        "client": found.client,
        "agent": found.agent,
        "person": found.person,
        "mission": found.mission,
        "grant": found.grant,
        "approval": found.approval,
        "by": by,
        "why": "",
    }
