"""The life of ephemeral access grants: which one stands behind a call, opening, lanes, ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jittrust.broker.delegation import check_asked, part_of_grant, part_of_mission
from jittrust.broker.identity.index import IdentityIndex, check_active
from jittrust.broker.places import StatusPlaces
from jittrust.broker.record import grant_record, hop_record, pass_record
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
from jittrust.core.intent.cascade import read_task
from jittrust.core.intent.goal import read_goal
from jittrust.core.intent.reading import goal_code
from jittrust.core.mission.mission import Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Action, Evaluation, Resource, Subject, SubjectKind
from jittrust.core.response.session import SessionState, Standing
from jittrust.core.rules import Rules
from jittrust.core.scoring.trust import counted, opening
from jittrust.core.units import Gas, Instant, Seconds
from jittrust.ports.commit import MoveGrant, OpenGrant, PutLane, RecordBody, Write
from jittrust.ports.grants import ChildGrant, IssuedGrant, NewGrant

# A grant whose end is this near is replaced before the call, so that a call that was let out does not outlive it (seconds).
_CLIENT = "client"  # kind of resource that a server's question of its client is about
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
            other = grant is None or grant.binding is not shown.binding or grant.jkt != shown.jkt
            if grant is None or other or grant.x5t not in ("", shown.x5t):
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
        person, agent = attachment.said.person, ask.subject.id
        if attachment.said.grant:
            joined = self._state.grants.get(attachment.said.grant)
            bound = joined is not None and (joined.binding is PassBinding.DPOP or joined.x5t != "")
            if joined is None or not bound or ask.resource.type != _CLIENT:
                # The caller showed an access token when it joined: that grant and its mission, not the person's current one.
                return self.behind(ask, replace(shown, grant=attachment.said.grant, attachment=""), now)
            # What a server asks of a client in the middle of a call comes with no proof of the caller's: it is judged under the same mission, on
            # the chain that enforcement points keep. Nothing else is let through that way.
            chain = [joined, *(self._state.grants.get(above) for above in joined.path)]
            mission = self._state.missions.get(joined.mission)
            if mission is None or any(
                one is None or one.state is not GrantState.ACTIVE or now >= one.expires for one in chain
            ):
                raise RefusedError("invalid_token", "The grant takes no calls any more.", "Ask for a new grant.")
            return self._kept_for(mission, mission.person, agent, now)
        mission = self._state.current(person)
        if mission is None:
            raise RefusedError(
                "no_mission", "The person has no mission.", "State a goal: jittrust mission start --goal TEXT."
            )
        return self._kept_for(mission, person, agent, now)

    def _kept_for(self, mission: Mission, person: str, agent: str, now: Instant) -> Backing:
        """The grant of a mission whose chain enforcement points keep.

        One for all agents of the mission: an agent that introduces itself by another name gets no other budget.
        """
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
        check_asked(new)
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
        known = self._state.requested(mission.id, new.request)
        if known is not None:
            same = (known.binding, known.jkt, known.x5t, known.agent, known.server, known.path)
            if same != (new.binding, new.jkt, new.x5t, new.agent, new.server, ()):
                raise _reused()
            return await self._again(known, now, new.person)
        self._check_mission(mission, now)
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
        # Before anything is written: what cannot be said in a token is not opened.
        issued = self._issued(grant, lane)
        await self._state.change([OpenGrant(grant, lane)], [grant_record(grant, "opened", now, by=new.person)])
        return issued

    async def _again(self, known: Grant, now: Instant, by: str, spent: Sequence[PutLane] = ()) -> IssuedGrant:
        lane = self._state.lanes[known.id, 0]
        writes: list[Write] = list(spent)
        if known.binding is PassBinding.DPOP and self._state.in_force(known, now):
            # The first answer may have been lost: the newest pass replaces the outstanding one, as a challenge does.
            fresh = lanes.challenge(lane, now)
            writes.append(PutLane(fresh, lane.seq))
            lane = fresh
        if writes:
            await self._state.change(writes, [grant_record(known, "given_again", now, by=by)])
        return self._issued(known, lane)

    def _check_mission(self, mission: Mission, now: Instant) -> None:
        standing = self._state.standings.get(mission.id)
        stopped = standing is not None and standing.state in (SessionState.SUSPENDED, SessionState.KILLED)
        if mission.state is not MissionState.ACTIVE or now >= mission.expires or stopped:
            state = "expired" if now >= mission.expires else standing.state if stopped and standing else mission.state
            raise RefusedError(
                "mission_not_active",
                f"The mission {mission.id} is {state}.",
                "Resume it (jittrust approve) or start a new one.",
            )

    async def delegate(self, child: ChildGrant, shown: Shown | None) -> IssuedGrant:
        """See `Grants.delegate`."""
        check_asked(child)
        parent = self._state.grants.get(child.parent)
        if parent is None:
            raise NotFoundError("grant_unknown", f"There is no grant {child.parent}.", "jittrust grant list")
        if child.task:
            # An agent wrote it, so it is read away from the loop; what was read is remembered for the calls that follow.
            goal = self._state.missions[parent.mission].goal
            await asyncio.to_thread(read_task, goal, child.task, self._rules.cascade)
            parent = self._state.grants[parent.id]
        now = self._clock()
        spent: list[PutLane] = []
        lane: Lane | None = None
        if shown is not None:
            before, lane = self._shown_by_parent(parent, shown, child.request, now)
            spent.append(PutLane(lane, before.seq))
        elif not any(self._same_agent(child.agent, name) for name in parent.may_act):
            raise RefusedError(
                "may_not_act",
                f"The grant {parent.id} does not say that {child.agent} may take a part of it.",
                "Its holder asks for the part, or names the agent in may_act.",
            )
        mission = self._state.missions[parent.mission]
        check_not_stopped(self._state, child.agent, mission.id, parent)
        for agent in (child.agent, parent.agent):
            check_active(self._identities.agent_standing(agent))
        check_active(self._identities.person_standing(mission.person))
        self._check_mission(mission, now)
        self._check_in_force(parent, now)
        known = self._state.requested(mission.id, child.request)
        if known is None and spent and spent[0].lane.seq == spent[0].after:
            raise PassSupersededError("pass_stale", "That pass bought something else.", "Show the newest pass.")
        if known is not None:
            same = (known.parent, known.jkt, known.x5t, known.agent, known.server, known.task)
            if same != (parent.id, child.jkt, child.x5t, child.agent, child.server or parent.server, child.task):
                raise _reused()
            issued = await self._again(known, now, parent.agent, spent)
        else:
            grant, taken = part_of_grant(parent, child, mission, self._rules.grants, now, self._new_id)
            grant = replace(grant, status=self._places.next())
            first = Lane(grant.id, 0, 0, now)
            if grant.binding is PassBinding.DPOP:
                first = lanes.delivered(first, now)
            issued = self._issued(grant, first)
            record = {
                **grant_record(grant, "delegated", now, by=parent.agent),
                "path": list(grant.path),
                "uses": grant.uses_limit,
                "asked_by": "parent" if shown is not None else "child",
                "hop": hop_record(grant, read_task(mission.goal, grant.task, self._rules.cascade)),
            }
            await self._state.change([*spent, OpenGrant(grant, first, taken)], [record])
        if lane is None or parent.binding is not PassBinding.DPOP:
            return issued
        return replace(issued, next_pass=self._pass(parent.id, lane.number, lane.seq))

    def _shown_by_parent(self, parent: Grant, shown: Shown, request: str, now: Instant) -> tuple[Lane, Lane]:
        """The lane whose pass the parent's holder showed, as it is and as it goes on.

        The pass is the live one, or the one that this very request spent a moment ago: its answer may have been lost.
        """
        if shown.narrowing:
            # The conditions are on the token, not on the grant: a part of the grant would be free of them.
            raise RefusedError(
                "narrowing_forbids",
                "A token that was narrowed hands nothing on.",
                "Show the grant's own token, or narrow this one further.",
            )
        ask = self._protocol("grants/delegate")
        if self.behind(ask, shown, now).grant.id != parent.id:
            raise RefusedError("invalid_token", "The token is not the parent's.", "Show the parent's token.")
        digest = f"delegate {request}" if request else ""
        lane, resend = self._live_lane(parent, shown, now, "Handing a part on needs a live pass.", digest)
        if resend:
            return lane, lanes.resent(lane, now)
        return lane, replace(lanes.opened_with(lane, now), digest=digest, used_at=now)

    def _same_agent(self, one: str, other: str) -> bool:
        if one == other:
            return True
        known = self._identities.agent(one)
        named = self._identities.agent(other)
        return known is not None and named is not None and known.id == named.id

    def _check_in_force(self, grant: Grant, now: Instant) -> None:
        if not self._state.in_force(grant, now):
            raise RefusedError(
                "grant_not_active",
                f"The grant {grant.id}, or one that it was carved from, takes no calls.",
                "Ask for a new grant.",
            )

    def _protocol(self, name: str) -> Evaluation:
        """A question about the grant itself."""
        return Evaluation(
            self._new_id("c"), Subject(SubjectKind.AGENT, ""), Action(name), Resource("protocol", ""), {}, ""
        )

    def _live_lane(self, grant: Grant, shown: Shown, now: Instant, why: str, digest: str = "") -> tuple[Lane, bool]:
        """The lane whose live pass was shown; True: the pass before that, which bought what `digest` names."""
        read = (
            None
            if shown.presented is None
            else passes.read(self._pass_key, self._state.pass_generation, shown.presented)
        )
        number = lanes.lane_asked(read, shown)
        lane = self._state.lanes.get((grant.id, number))
        standing = lanes.judge(lane, read, shown, digest, now, None, self._rules.rotation).standing
        if lane is None or standing not in (PassStanding.FRESH, PassStanding.RESEND):
            raise PassSupersededError("pass_stale", why, "Repeat the request with the newest pass.")
        return lane, standing is PassStanding.RESEND

    async def open_lane(self, shown: Shown) -> tuple[int, str, str]:
        """See `Grants.open_lane`."""
        now = self._clock()
        ask = self._protocol("lanes/open")
        grant = self.behind(ask, shown, now).grant
        if shown.binding is not PassBinding.DPOP:
            raise PassSupersededError(
                "pass_stale", "Opening a lane needs a live pass.", "This grant's passes are kept."
            )
        lane, _ = self._live_lane(grant, shown, now, "Opening a lane needs a live pass.")
        self._check_in_force(grant, now)
        check_not_stopped(self._state, grant.agent, grant.mission, grant)
        numbers = range(max(grant.lanes, 1))
        mine = [own for own in (self._state.lanes.get((grant.id, number)) for number in numbers) if own is not None]
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
        if found.state in (GrantState.ACTIVE, GrantState.SUSPENDED):
            # One row, whatever hangs below: what was carved from it is dead with it, because its path is looked at.
            await self._state.change(
                [MoveGrant(found.id, GrantState.REVOKED)], [grant_record(found, "revoked", now, why, by)]
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
        names = {name for one in family for name in self._identities.agent_names(one)}
        for grant in self._state.held_since(names, jkt, Instant(since)).values():
            if grant.path:
                # What was carved from another grant was given with that one.
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
        life = longest if new.ttl is None else min(float(Seconds(new.ttl)), longest)
        most = max(rules.gas_least, round(rules.gas * trust))
        most = most if left is None else min(most, left)
        gas = Gas(most if new.gas is None else min(Gas(new.gas), most))
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
            client=new.client,
            x5t=new.x5t,
            authority=part_of_mission(new, mission, rules),
            uses_left=new.uses,
            uses_limit=new.uses,
            may_act=new.may_act,
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


def _reused() -> RefusedError:
    return RefusedError("request_reused", "This request id was used for another grant.", "Choose a new request id.")


def audience(issuer: str, server: str) -> str:
    """`aud` of a grant's token: the URL of its MCP server behind the broker, or the broker itself for a grant for all of them."""
    return f"{issuer}/mcp/{server}" if server else issuer
