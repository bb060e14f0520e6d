"""Lanes: what a shown pass means, and how the chain goes on. The rule everywhere is "always use the newest pass".

| shown | judged |
|---|---|
| the live pass of an open lane | `fresh` |
| no pass, an unreadable one, one of another grant or broker, one that was never given out | `challenge` |
| the pass before the live one with the digest of the call that spent it, within the window, at most so many times | `resend` |
| stock grants: any other old pass that proves nothing (below) | `challenge` |
| any other old pass, proof made no later than its sender could know a newer one + slack | `lost_race` |
| any other old pass, proof made later | `reuse` |
| the live pass of a closed lane | `closed` |

An old pass never buys a call, whatever the proof says about its own time. Who holds no key never gets here: `core.grant.present` refuses first.

Stock clients differ in where they take the newest pass from: every answer (npm `oauth4webapi`), or challenges only (`requests-oauth2client`). The
second kind shows the pass that bought its last call again, and cannot be told from the first kind until a pass that came with an answer buys a
call (`Lane.follows`). An old pass of a stock grant therefore proves nothing
- when no call was bought with it or a newer one: only challenges replaced it, and nobody gained anything;
- when it bought the newest call itself, in a lane that does not follow yet: its client never knew the pass that came with the answer;
- in such a lane also when a challenge gave it and nothing was bought since it was first seen in use: it may only just have been read.
A second holder of the key gets out of this neither way: he buys with the owner's own pass (in a lane that follows), or with a newer one from a
challenge. Both make the owner's next pass an old one that proves something.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from jittrust.core.errors import RefusedError
from jittrust.core.grant.grant import (
    Grant,
    Lane,
    PassBinding,
    PassStanding,
    Presentation,
    RetiredPass,
    Shown,
    Strictness,
)
from jittrust.core.grant.passes import PassId
from jittrust.core.grant.states import GrantState
from jittrust.core.units import Instant, Seconds


@dataclass(frozen=True, slots=True)
class RotationRules:
    """The numbers of rotation; rows of docs/scoring.md, table "Rotation".

    Attributes:
        retry_window: how long after a pass was spent the same call may fetch its answer again. 10 s; never above 30 s, because a window is time
            in which a copied request is worth something (ADR on passes; 43 of 60 crashes had an honest client in it).
        resends: how often, in that window. 3: the first retry, one after a reconnect, one for luck; a fourth is no longer a lost answer.
        slack: how long after its holder could know a newer one (`known_newer`) a proof with an old pass still counts as a race lost. 2 s: covers one
            slow network round trip and the whole seconds of `iat` (RFC 9449 §4.2), and no more.
        idle: after which time unused a lane other than 0 closes. 5 s.
        lost_answer: after which time a lane whose pass was never delivered counts as unused (its call died with the caller or the broker). 60 s.
        hold: how long a pass that was told to a stock client counts as on its way to it. 1 s: an answer that is overtaken by more than that is rare
            even on a bad mobile network, and a person hardly notices; half a second left one suspension in 50,000 calls made in bursts.
        queue: how long a stock client's call waits for its turn behind others that show an old pass, before 429. 5 s.
    """

    retry_window: Seconds = Seconds(10)
    resends: int = 3
    slack: Seconds = Seconds(2)
    idle: Seconds = Seconds(5)
    lost_answer: Seconds = Seconds(60)
    hold: Seconds = Seconds(1)
    queue: Seconds = Seconds(5)


def lane_asked(read: PassId | None, shown: Shown) -> int:
    """Number of the lane that the broker must look up to judge what was shown: the pass's own; 0 when it names none of this grant."""
    return read.lane if read is not None and read.grant == shown.grant else 0


def judge(
    lane: Lane | None,
    read: PassId | None,
    shown: Shown,
    digest: str,
    now: Instant,
    successor_delivered: Instant | None,
    rules: RotationRules,
    strictness: Strictness = Strictness.STRICT,
) -> Presentation:
    """Say what the shown pass means.

    Args:
        lane: the lane `lane_asked` names, as stored; None if there is no such lane.
        read: the pass, as `passes.read` understood it; None if the proof carried none or no readable one.
        shown: what the caller showed, its signatures already checked.
        digest: digest of the request that is shown with it.
        now: when the request came.
        successor_delivered: when the holder of the shown pass could know a newer one (`known_newer`); needed for old passes only. None where
            nobody knows any more: then it was long ago, and the proof counts as late. The live pass is the exception: `lane` itself says
            whether it has been delivered, and while it has not, nobody can be late.
        rules: the numbers.
        strictness: of the grant: what an old pass proves.
    """
    if lane is None:
        return Presentation(PassStanding.CHALLENGE, lane_asked(read, shown), -1, "there is no such lane")
    if shown.binding is PassBinding.GATEWAY:
        standing = PassStanding.FRESH if lane.open else PassStanding.CLOSED
        return Presentation(standing, lane.number, lane.seq, "the enforcement point keeps the chain")
    if read is None:
        why = "the proof carries no pass" if shown.presented is None else "the nonce is no pass of this broker"
        return Presentation(PassStanding.CHALLENGE, lane.number, -1, why)
    if read.grant != shown.grant or read.grant != lane.grant or read.lane != lane.number:
        return Presentation(PassStanding.CHALLENGE, lane.number, -1, "the pass belongs to another grant or lane")
    if read.seq > lane.seq:
        return Presentation(PassStanding.CHALLENGE, lane.number, read.seq, "the pass is newer than the live one")
    if read.seq == lane.seq:
        if lane.open:
            return Presentation(PassStanding.FRESH, lane.number, read.seq, "the live pass")
        return Presentation(PassStanding.CLOSED, lane.number, read.seq, "the lane closed unused")
    return _judge_old(lane, read, shown, digest, now, successor_delivered, rules, strictness)


LOOK = 64
"""How many passes after an old one are looked at: those that its client's other callers were told and did not come to use, on a bad day."""

NOBODY_YET = Instant(2.0**53)
"""When the holder of an old pass could know a newer one, where nothing has happened yet that he must have known it for."""


def proves_nothing(lane: Lane, seq: int) -> bool:
    """Whether the old pass `seq`, shown under a stock grant, says nothing about a second holder of the key."""
    return seq > lane.spent or (seq == lane.spent and not lane.follows)


def speaks_from(lane: Lane, seq: int, retired: Iterable[RetiredPass], answered: int | None) -> int | None:
    """Number of the first pass whose purchase would show that a single holder has put the old pass `seq` away; None: there is none.

    Whoever takes passes from challenges only takes each one once, from one answer. A pass that was seen in use has been taken; what was told later is
    taken later; and what has bought was taken before. From then on he holds that one or a newer one, however late his answers reach him. A pass
    that a challenge gave and nobody has shown may reach him at any time: it says nothing.

    Args:
        lane: the lane.
        seq: the old pass.
        retired: what became of the passes `seq - 1`..`seq + LOOK`.
        answered: the pass that was told when `seq` was first shown; None if nobody has seen that.
    """
    if lane.follows:
        # A client that takes passes from answers holds its newest one unseen, so it cannot wait to be seen.
        return seq
    known = {old.seq: old for old in retired}
    own, before = known.get(seq), known.get(seq - 1)
    if own is None or own.bought or before is None or before.bought:
        return seq + 1
    return answered


def known_newer(
    lane: Lane, seq: int, retired: Iterable[RetiredPass], strictness: Strictness, answered: int | None = None
) -> Instant | None:
    """When the holder of the old pass `seq` could know a newer one; None if nobody knows (the live pass is for `judge` itself).

    For strict clients that is the delivery of the next pass. When an answer was sent says nothing about when a stock client has read it, on a slow
    machine or a bad network; so there it is the first purchase that says something (`speaks_from`), in a lane that follows no sooner than the next
    pass was delivered. It is fixed before anybody sees a later use of the old pass.

    Args:
        lane: the lane.
        seq: the old pass.
        retired: what became of the passes `seq - 1`..`seq + LOOK`, as far as they are old.
        strictness: of the grant.
        answered: as for `speaks_from`.
    """
    known = {old.seq: old for old in retired}
    newer = known.get(seq + 1)
    if strictness is Strictness.STRICT:
        return None if newer is None else newer.handed
    first = speaks_from(lane, seq, known.values(), answered)
    if first is None or lane.spent < first:
        return NOBODY_YET
    # In a lane that does not follow, what bought right after another purchase was spent by the enforcement point for the same caller.
    bought = (
        number
        for number in sorted(known)
        if number >= first
        and (number == lane.spent or (known[number].bought and (lane.follows or _asked(known.get(number - 1)))))
    )
    if (number := next(bought, None)) is None:
        # Beyond what was looked at, and no earlier than that; or it is under way, and the store does not know it yet.
        return known[seq + LOOK].retired if seq + LOOK in known else NOBODY_YET
    at = known[number].retired
    return at if newer is None or not lane.follows else max(at, newer.handed)


def _asked(before: RetiredPass | None) -> bool:
    """Whether a challenge gave the pass after this one."""
    return before is not None and not before.bought


def in_hand(lane: Lane, now: Instant, rules: RotationRules) -> float:
    """For how many seconds more the live pass of a stock grant's lane counts as on its way to the client, which will show it; 0 = not at all.

    A pass that came with an answer counts only in a lane that follows: elsewhere its client may never look at it.
    """
    told = lane.delivered is not None and lane.seq > 0 and (lane.digest == "" or lane.follows)
    return max(0.0, lane.delivered + rules.hold - now) if told and lane.delivered is not None else 0.0


def _judge_old(
    lane: Lane,
    read: PassId,
    shown: Shown,
    digest: str,
    now: Instant,
    successor_delivered: Instant | None,
    rules: RotationRules,
    strictness: Strictness,
) -> Presentation:
    before_live = read.seq == lane.seq - 1
    same = before_live and lane.digest != "" and lane.digest == digest
    if same and lane.used_at is not None and now - lane.used_at <= rules.retry_window and lane.resends < rules.resends:
        return Presentation(PassStanding.RESEND, lane.number, read.seq, "the same call asks for its answer again")
    if strictness is Strictness.STOCK and proves_nothing(lane, read.seq):
        return Presentation(PassStanding.CHALLENGE, lane.number, read.seq, "nobody bought a call with a newer pass")
    if before_live:
        if lane.delivered is None:
            why = "another call spent the pass and its answer is still on the way"
            return Presentation(PassStanding.LOST_RACE, lane.number, read.seq, why)
        delivered: Instant | None = lane.delivered
    else:
        delivered = successor_delivered
    # A proof is never younger than its arrival, whatever the sender's clock says.
    if delivered is not None and shown.iat is not None and min(shown.iat, now) <= delivered + rules.slack:
        why = "the proof was made before its sender could know the newer pass"
        return Presentation(PassStanding.LOST_RACE, lane.number, read.seq, why)
    why = "an old pass was shown after its successor had been delivered"
    return Presentation(PassStanding.REUSE, lane.number, read.seq, why)


def successor(lane: Lane, digest: str, use: str, now: Instant) -> Lane:
    """The lane after its live pass was spent by the call `use` with `digest`: the next pass is live, not yet delivered."""
    return replace(
        lane,
        seq=lane.seq + 1,
        issued=now,
        delivered=None,
        digest=digest,
        use=use,
        used_at=now,
        resends=0,
        spent=lane.seq,
        follows=lane.follows or lane.digest != "",
    )


def carried_on(before: Lane, after: Lane, began: int) -> Lane:
    """The lane `after` a call whose enforcement point spent the live pass of `before` for its caller, who itself showed the pass `began`.

    The caller has not seen the passes between, so they say nothing about where it takes its passes from.
    """
    return replace(after, spent=max(before.spent, began), follows=before.follows)


def challenge(lane: Lane, now: Instant) -> Lane:
    """The lane after a challenge: a new live pass that no call has paid for, handed out with the refusal itself.

    The pass that was outstanding is old from now on, so that whoever did not ask for the challenge is noticed at the next use.
    """
    return replace(lane, seq=lane.seq + 1, issued=now, delivered=now, digest="", use="", used_at=None, resends=0)


def opened_with(lane: Lane, now: Instant) -> Lane:
    """The lane after its live pass opened another lane: as after a challenge, but the pass has bought something."""
    return replace(challenge(lane, now), spent=lane.seq, follows=lane.follows or lane.digest != "")


def deliverable(lane: Lane, seq: int) -> bool:
    """Whether an answer may still carry the pass `seq` that its call put in place: only while it is the live one.

    A pass that a challenge has replaced in the meantime is not handed out any more: its holder would show an old pass through no fault of
    his own. An answer without a nonce leaves the client with the newest it has (RFC 9449 §8.2).
    """
    return lane.seq == seq


def delivered(lane: Lane, now: Instant) -> Lane:
    """The lane after its live pass was handed to the caller for the first time."""
    return lane if lane.delivered is not None else replace(lane, delivered=now)


def resent(lane: Lane, now: Instant) -> Lane:
    """The lane after the answer of its last call was given again; the successor counts as delivered now."""
    return replace(lane, resends=lane.resends + 1, delivered=now)


def closed(lane: Lane) -> Lane:
    """The lane, taking no more calls."""
    return replace(lane, open=False)


def reopened(lane: Lane, now: Instant) -> Lane:
    """A closed lane, taking calls again. Its chain goes on with a new pass: none of its old ones ever comes back to life."""
    return replace(challenge(lane, now), open=True)


def may_open(grant: Grant, lanes: Iterable[Lane], now: Instant) -> bool:
    """Whether one more lane may be opened now: the grant is active and in time, and fewer lanes are open than its authority allows."""
    opened = sum(lane.open for lane in lanes if lane.grant == grant.id)
    return grant.state is GrantState.ACTIVE and now < grant.expires and opened < grant.lanes


def open_lane(grant: Grant, lanes: Iterable[Lane], now: Instant) -> tuple[Lane, int | None]:
    """One more lane of the grant, its pass handed out with the answer, and the `after` of its `PutLane`.

    A closed lane is opened again before a new number is taken.

    Args:
        grant: the grant.
        lanes: all its lanes, closed ones too.
        now: the time.

    Raises:
        RefusedError: code `too_many_lanes`, or `grant_not_active`.
    """
    own = [lane for lane in lanes if lane.grant == grant.id]
    if not may_open(grant, own, now):
        if grant.state is not GrantState.ACTIVE or now >= grant.expires:
            raise RefusedError("grant_not_active", f"the grant is {grant.state} or has run out")
        raise RefusedError(
            "too_many_lanes",
            f"the grant allows {grant.lanes} lanes at once",
            "Wait for a running call to end, or ask for a grant with more lanes.",
        )
    for lane in sorted(own, key=lambda lane: lane.number):
        if not lane.open:
            return reopened(lane, now), lane.seq
    number = max((lane.number for lane in own), default=-1) + 1
    return Lane(grant.id, number, seq=0, issued=now, delivered=now), None


def idle_lanes(lanes: Iterable[Lane], now: Instant, rules: RotationRules) -> tuple[Lane, ...]:
    """The open lanes that are due to be closed: unused for longer than `idle` since their pass was delivered.

    Lane 0 never closes. A lane whose pass is still on its way to the caller is in use, until `lost_answer` has passed.
    """
    return tuple(lane for lane in lanes if lane.open and lane.number != 0 and _unused(lane, now, rules))


def _unused(lane: Lane, now: Instant, rules: RotationRules) -> bool:
    if lane.delivered is None:
        return now - lane.issued > rules.lost_answer
    return now - lane.delivered > rules.idle
