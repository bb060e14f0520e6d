"""The life of ephemeral access grants: which one stands behind a call, opening, lanes, ending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jittrust.broker.identity.index import IdentityIndex, check_active
from jittrust.broker.places import StatusPlaces
from jittrust.broker.record import grant_record, pass_record
from jittrust.broker.responses import check_not_stopped
from jittrust.broker.state import State
from jittrust.core.authority.mask import mask_of
from jittrust.core.errors import BadInputError, NotFoundError, PassSupersededError, RefusedError
from jittrust.core.grant import lanes, passes
from jittrust.core.grant.claims import mint
from jittrust.core.grant.grant import Grant, Lane, PassBinding, PassStanding, Shown, Strictness
from jittrust.core.grant.statement import claims_of
from jittrust.core.grant.states import GrantState
from jittrust.core.identity.identity import Identity
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.reading import goal_code
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Action, Evaluation, Resource, Subject, SubjectKind
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.scoring.trust import counted, opening
from jittrust.core.units import Gas, Instant
from jittrust.ports.commit import MoveGrant, OpenGrant, PutLane, RecordBody, Write
from jittrust.ports.grants import ChildGrant, IssuedGrant, NewGrant

# A grant whose end is this near is replaced before the call, so that a call that was let out does not outlive it (seconds).
_RENEW_WITHIN = 1.0


@dataclass(frozen=True, slots=True)
class BrokerSecrets:
    """What a broker signs with: the pass MAC key (>= 32 bytes) and the signer of access tokens with its key id."""

    pass_key: bytes
    token_kid: str
    sign_token: Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Backing:
    """The grant behind a call, its lane for gateway-kept chains, and what has to be made durable with the call (a grant opened for it)."""

    grant: Grant
    lane: Lane | None
    writes: tuple[Write, ...] = ()
    records: tuple[RecordBody, ...] = ()


class GrantBook:
    """Opens, finds and ends grants."""

    def __init__(
        self,
        state: State,
        rules: Rules,
        secrets: BrokerSecrets,
        issuer: str,
        clock: Callable[[], Instant],
        new_id: Callable[[str], str],
    ) -> None:
        """Wire it up."""
        self._state = state
        self._rules = rules
        self._pass_key = secrets.pass_key
        self._secrets = secrets
        self._issuer = issuer
        self._clock = clock
        self._new_id = new_id
        self._identities = IdentityIndex.of(state)
        self._places = StatusPlaces(state, secrets.pass_key)

    # ---- behind a call ----------------------------------------------------------------------------------------------------------------

    def behind(self, ask: Evaluation, shown: Shown, now: Instant) -> Backing:
        """The grant that stands behind the call.

        For a stdio enforcement point it is the agent's current grant under its person's mission; when that has run out and the session stands
        well enough, a new one is opened together with the call.

        Raises:
            RefusedError: code `invalid_token`: no such grant or attachment, or another key or binding than the grant's.
        """
        if shown.grant:
            grant = self._state.grants.get(shown.grant)
            if grant is None or grant.binding is not shown.binding or grant.jkt != shown.jkt:
                raise RefusedError(
                    "invalid_token",
                    "The token names no grant of this broker, or another key.",
                    "Ask for a new grant: jittrust grant new.",
                )
            lane = self._state.lanes.get((grant.id, 0)) if shown.binding is PassBinding.GATEWAY else None
            return Backing(grant, lane)
        attachment = self._state.attachments.get(shown.attachment)
        if attachment is None:
            raise RefusedError("invalid_token", "This enforcement point has not joined.", "Attach first.")
        if attachment.said.grant:
            # The caller showed an access token when it joined: that grant and its mission, not the person's current one.
            return self.behind(ask, replace(shown, grant=attachment.said.grant, attachment=""), now)
        person, agent = attachment.said.person, ask.subject.id
        mission = self._state.current(person)
        if mission is None:
            raise RefusedError(
                "no_mission", "The person has no mission.", "State a goal: jittrust mission start --goal TEXT."
            )
        # One for all agents of the mission: an agent that introduces itself by another name gets no other budget.
        live = self._state.shared_grant(mission.id)
        if live is not None and (live.expires - now > _RENEW_WITHIN or not self._may_renew(mission, now)):
            return Backing(live, self._state.lanes[live.id, 0])
        grant, lane = self._make(
            NewGrant(person=person, agent=agent, server="", binding=PassBinding.GATEWAY, mission=mission.id),
            mission,
            now,
        )
        return Backing(
            grant, lane, (OpenGrant(grant, lane),), (grant_record(grant, "opened", now, by="policy:current_mission"),)
        )

    def _may_renew(self, mission: Mission, now: Instant) -> bool:
        standing = self._state.standings.get(mission.id)
        stopped = standing is not None and standing.state in (SessionState.SUSPENDED, SessionState.KILLED)
        return mission.state is MissionState.ACTIVE and mission.expires - now > _RENEW_WITHIN and not stopped

    def live_of(self, mission: str) -> Sequence[Grant]:
        """The grants of a mission that have not ended."""
        return self._state.live_grants_of(mission)

    def live_of_family(self, grant: Grant) -> Sequence[Grant]:
        """The grants of its delegation tree that have not ended; all of a tree are under one mission."""
        return [g for g in self._state.live_grants_of(grant.mission) if g.family == grant.family]

    # ---- the port ---------------------------------------------------------------------------------------------------------------------

    async def open(self, new: NewGrant) -> IssuedGrant:
        """See `Grants.open`."""
        now = self._clock()
        if (new.binding is PassBinding.DPOP) != bool(new.jkt):
            raise BadInputError(
                "grant_key", "A DPoP-bound grant needs the thumbprint of a key, a gateway-kept one must not have any."
            )
        mission = self._state.missions.get(new.mission) if new.mission else self._state.current(new.person)
        if mission is None:
            raise RefusedError(
                "no_mission",
                "There is no mission to issue a grant for.",
                "State a goal: jittrust mission start --goal TEXT.",
            )
        check_not_stopped(self._state, new.agent, mission.id)
        check_active(self._identities.agent_standing(new.agent))
        check_active(self._identities.person_standing(mission.person))
        if new.request:
            known = next((g for g in self._state.grants_of(mission.id) if g.request == new.request), None)
            if known is not None:
                return await self._again(known, new, now)
        standing = self._state.standings.get(mission.id)
        stopped = standing is not None and standing.state in (SessionState.SUSPENDED, SessionState.KILLED)
        if mission.state is not MissionState.ACTIVE or now >= mission.expires or stopped:
            state = "expired" if now >= mission.expires else standing.state if stopped and standing else mission.state
            raise RefusedError(
                "mission_not_active",
                f"The mission {mission.id} is {state}.",
                "Resume it (jittrust approve) or start a new one.",
            )
        holder = self._identities.agent(new.agent)
        left = None if holder is None else self._left_to(holder, new.jkt, now)
        if left == 0:
            raise RefusedError(
                "lineage_spent",
                f"{new.agent} and those it has its roots in common with were given all the gas that one of them may get for now.",
                "Wait until some of it is older.",
            )
        grant, lane = self._make(new, mission, now, left)
        if grant.binding is PassBinding.DPOP:
            lane = lanes.delivered(lane, now)
        await self._state.change([OpenGrant(grant, lane)], [grant_record(grant, "opened", now, by=new.person)])
        return self._issued(grant, lane)

    async def _again(self, known: Grant, new: NewGrant, now: Instant) -> IssuedGrant:
        if known.jkt != new.jkt or known.binding is not new.binding or known.server != new.server:
            raise RefusedError(
                "request_reused", "This request id was used for another grant.", "Choose a new request id."
            )
        lane = self._state.lanes[known.id, 0]
        if known.binding is PassBinding.DPOP and known.state is GrantState.ACTIVE:
            # The first answer may have been lost: the newest pass replaces the outstanding one, as a challenge does.
            fresh = lanes.challenge(lane, now)
            await self._state.change(
                [PutLane(fresh, lane.seq)], [grant_record(known, "given_again", now, by=new.person)]
            )
            lane = fresh
        return self._issued(known, lane)

    async def delegate(self, child: ChildGrant, shown: Shown | None) -> IssuedGrant:
        """See `Grants.delegate`."""
        raise NotImplementedError

    async def open_lane(self, shown: Shown) -> tuple[int, str, str]:
        """See `Grants.open_lane`."""
        now = self._clock()
        ask = Evaluation(
            self._new_id("c"), Subject(SubjectKind.AGENT, ""), Action("lanes/open"), Resource("protocol", ""), {}, ""
        )
        grant = self.behind(ask, shown, now).grant
        read = (
            None
            if shown.presented is None
            else passes.read(self._pass_key, self._state.pass_generation, shown.presented)
        )
        number = lanes.lane_asked(read, shown)
        lane = self._state.lanes.get((grant.id, number))
        standing = lanes.judge(lane, read, shown, "", now, None, self._rules.rotation).standing
        if lane is None or standing is not PassStanding.FRESH or shown.binding is not PassBinding.DPOP:
            raise PassSupersededError(
                "pass_stale", "Opening a lane needs a live pass.", "Repeat the request with the newest pass."
            )
        mine = [own for own in self._state.lanes.values() if own.grant == grant.id]
        # The lane that asks is in use, however long ago its pass was handed out.
        closing = [own for own in lanes.idle_lanes(mine, now, self._rules.rotation) if own.number != lane.number]
        open_now = [lanes.closed(own) if own in closing else own for own in mine]
        opened, after = lanes.open_lane(grant, open_now, now)
        writes = [
            *(PutLane(lanes.closed(own), own.seq) for own in closing if own.number != opened.number),
            PutLane(opened, after),
            PutLane(lanes.opened_with(lane, now), lane.seq),
        ]
        records = [pass_record("lane_opened", ask, shown, opened.number, opened.seq, "", now)]
        await self._state.change(writes, records)
        return (
            opened.number,
            self._pass(grant.id, opened.number, opened.seq),
            self._pass(grant.id, lane.number, lane.seq + 1),
        )

    async def list(self, mission: str = "") -> Sequence[Grant]:
        """See `Grants.list`."""
        chosen = (g for g in self._state.grants.values() if not mission or g.mission == mission)
        return sorted(chosen, key=lambda g: (g.issued, g.id), reverse=True)

    async def revoke(self, grant: str, why: str, by: str) -> Grant:
        """See `Grants.revoke`."""
        found = self._state.grants.get(grant)
        if found is None:
            raise NotFoundError("grant_unknown", f"There is no grant {grant}.", "jittrust grant list")
        now = self._clock()
        ending = [] if found.state not in (GrantState.ACTIVE, GrantState.SUSPENDED) else self.live_of_family(found)
        if ending:
            await self._state.change(
                [MoveGrant(g.id, GrantState.REVOKED) for g in ending],
                [grant_record(g, "revoked", now, why, by) for g in ending],
            )
        return self._state.grants[grant]

    # ---- making -----------------------------------------------------------------------------------------------------------------------

    def _left_to(self, holder: Identity, jkt: str, now: Instant) -> int:
        """Gas that may still be given to an identity, together with all that its roots or its key tie it to: a new name buys nothing.

        What live grants hold counts whole, of those that ended what was spent: nobody can spend the rest any more.
        """
        rules = self._rules.grants
        family, since = self._identities.family(holder), now - rules.lineage_spans * rules.ttl
        given = 0
        for grant in self._state.grants.values():
            if grant.issued <= since:
                continue
            agent = self._identities.agent(grant.agent)
            if (agent is not None and agent.id in family) or (jkt and grant.jkt == jkt):
                live = grant.state in (GrantState.ACTIVE, GrantState.SUSPENDED) and now < grant.expires
                given += int(grant.gas_limit) - (0 if live else int(grant.gas_left))
        return max(0, rules.lineage_spans * rules.gas - given)

    def _make(self, new: NewGrant, mission: Mission, now: Instant, left: int | None = None) -> tuple[Grant, Lane]:
        """A new grant. `left`: what its identity may still be given; None = it is no identity, or shares the grant of its mission."""
        rules = self._rules.grants
        holder = self._identities.agent(new.agent)
        again = holder is not None and bool(holder.lineage)
        trust = counted(self._standing(mission.id).trust, self._rules.trust, again=again) / 100.0
        # Life and gas of the next grant follow the trust earned so far; who asks for more gets no more.
        longest = max(rules.ttl_shortest, rules.ttl * trust)
        life = longest if new.ttl is None else min(float(new.ttl), longest)
        most = max(rules.gas_least, round(rules.gas * trust))
        most = most if left is None else min(most, left)
        gas = Gas(most if new.gas is None else min(int(new.gas), most))
        if not 1 <= new.lanes <= max(mission.authority.lanes, rules.lanes):
            raise RefusedError(
                "lanes_too_many",
                f"The mission allows {max(mission.authority.lanes, rules.lanes)} lanes, {new.lanes} were asked for.",
                "Start the mission with more lanes.",
            )
        identity = self._new_id("g")
        grant = Grant(
            id=identity,
            mission=mission.id,
            family=identity,
            agent=new.agent,
            server=new.server,
            binding=new.binding,
            jkt=new.jkt,
            strictness=new.strictness if new.binding is PassBinding.DPOP else Strictness.STRICT,
            state=GrantState.ACTIVE,
            gas_left=gas,
            gas_limit=gas,
            lanes=new.lanes,
            issued=now,
            expires=Instant(min(now + life, mission.expires)),
            request=new.request,
            status=self._places.next(),
        )
        return grant, Lane(identity, 0, 0, now)

    def _pass(self, grant: str, lane: int, seq: int) -> str:
        return passes.mint(self._pass_key, self._state.pass_generation, grant, lane, seq)

    def _standing(self, mission: str) -> Standing:
        return self._state.standings.get(mission) or Standing(opening(self._rules.trust), SessionState.NORMAL)

    def _issued(self, grant: Grant, lane: Lane) -> IssuedGrant:
        mission = self._state.missions[grant.mission]
        within = grant.authority if grant.authority is not None else mission.authority
        claims = claims_of(
            grant,
            mission,
            self._issuer,
            audience(self._issuer, grant.server),
            self._new_id("t"),
            goal_code(read_goal(mission.goal)),
            mask_of(within.approved, self._state.tools).name,
            [self._state.grants[above].agent for above in grant.path],
        )
        token = mint(claims, self._secrets.token_kid, self._secrets.sign_token)
        first = None
        if grant.binding is PassBinding.DPOP:
            first = self._pass(grant.id, lane.number, lane.seq)
        return IssuedGrant(grant, token, first)


def audience(issuer: str, server: str) -> str:
    """`aud` of a grant's token: the URL of its MCP server behind the broker, or the broker itself for a grant for all of them."""
    return f"{issuer}/mcp/{server}" if server else issuer
