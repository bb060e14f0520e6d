"""Laws of rotation, against a slow and obvious model that remembers everything."""

from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from jittrust.core.grant.grant import Lane, PassBinding, PassStanding, Shown
from jittrust.core.grant.lanes import RotationRules, challenge, delivered, judge, resent, successor
from jittrust.core.grant.passes import PassId
from jittrust.core.units import Instant

RULES = RotationRules()

instants = st.floats(0, 100).map(Instant)
digests = st.sampled_from(["", "d1", "d2"])
lanes = st.builds(
    Lane,
    grant=st.just("g"),
    number=st.integers(0, 1),
    seq=st.integers(0, 6),
    issued=instants,
    delivered=st.none() | instants,
    digest=digests,
    use=st.just("e"),
    used_at=st.none() | instants,
    resends=st.integers(0, 4),
    open=st.booleans(),
)
reads = st.none() | st.builds(PassId, grant=st.sampled_from(["g", "h"]), lane=st.integers(0, 1), seq=st.integers(0, 7))
shows = st.builds(
    Shown, binding=st.just(PassBinding.DPOP), grant=st.just("g"), presented=st.just("n"), iat=st.none() | instants
)


@given(lanes, reads, shows, digests, instants, st.none() | instants)
def test_only_the_live_pass_of_an_open_lane_buys_a_call(
    lane: Lane, read: PassId | None, shown: Shown, digest: str, now: Instant, known: Instant | None
) -> None:
    made = judge(lane, read, shown, digest, now, known, RULES)

    live = read is not None and (read.grant, read.lane, read.seq) == ("g", lane.number, lane.seq) and lane.open
    assert (made.standing is PassStanding.FRESH) == live


@given(lanes, reads, shows, digests, instants, st.none() | instants)
def test_only_the_owner_of_a_readable_old_pass_is_ever_accused(
    lane: Lane, read: PassId | None, shown: Shown, digest: str, now: Instant, known: Instant | None
) -> None:
    made = judge(lane, read, shown, digest, now, known, RULES)

    old = read is not None and (read.grant, read.lane) == ("g", lane.number) and read.seq < lane.seq
    accused = made.standing in {PassStanding.REUSE, PassStanding.LOST_RACE, PassStanding.RESEND}
    assert accused == old


@given(lanes, shows, digests, instants, instants, st.none() | instants)
def test_an_earlier_proof_is_never_judged_more_harshly(
    lane: Lane, shown: Shown, digest: str, now: Instant, earlier: Instant, known: Instant | None
) -> None:
    read = PassId("g", lane.number, max(0, lane.seq - 1))
    late = Instant(100.0)

    first = judge(lane, read, replace(shown, iat=earlier), digest, now, known, RULES).standing
    second = judge(lane, read, replace(shown, iat=late), digest, now, known, RULES).standing

    assert first is not PassStanding.REUSE or second is PassStanding.REUSE


@dataclass
class Chain:
    """The model: every pass ever, with who spent it, when it was spent and when it was handed out."""

    spent_by: list[str | None] = field(default_factory=lambda: [None])
    spent_at: list[float] = field(default_factory=lambda: [0.0])
    handed: list[float | None] = field(default_factory=lambda: [0.0])
    asked_again: int = 0


class Rotation(RuleBasedStateMachine):
    """Calls, challenges, deliveries and retries in any order, on one lane."""

    @initialize()
    def start(self) -> None:
        self.now = 1000.0
        self.lane = Lane("g", 0, 0, Instant(self.now), Instant(self.now))
        self.model = Chain(handed=[self.now])

    @rule(by=st.floats(0, 15))
    def wait(self, by: float) -> None:
        self.now += by

    @rule()
    def deliver(self) -> None:
        self.lane = delivered(self.lane, Instant(self.now))
        if self.model.handed[-1] is None:
            self.model.handed[-1] = self.now

    @rule(back=st.integers(0, 8), call=st.sampled_from(["a", "b", "c"]), age=st.floats(0, 20))
    def show(self, back: int, call: str, age: float) -> None:
        seq = max(0, self.lane.seq - back)
        iat = self.now - age
        shown = Shown(PassBinding.DPOP, "g", "text", Instant(iat))
        known = self.model.handed[seq + 1] if seq + 1 < len(self.model.handed) else None
        delivery = None if known is None else Instant(known)

        standing = judge(self.lane, PassId("g", 0, seq), shown, call, Instant(self.now), delivery, RULES).standing

        assert standing is self.expected(seq, call, iat)
        if standing is PassStanding.FRESH:
            self.spend(call)
        elif standing is PassStanding.RESEND:
            self.model.asked_again += 1
            self.model.handed[-1] = self.now
            self.lane = resent(self.lane, Instant(self.now))
        elif standing is PassStanding.LOST_RACE:
            self.challenged()

    @rule()
    def challenged(self) -> None:
        self.lane = challenge(self.lane, Instant(self.now))
        self.append(None, self.now)

    def spend(self, call: str) -> None:
        self.lane = successor(self.lane, call, f"e-{self.lane.seq}", Instant(self.now))
        self.append(call, None)

    def append(self, call: str | None, handed: float | None) -> None:
        self.model.spent_by[-1] = call
        self.model.spent_at[-1] = self.now
        self.model.spent_by.append(None)
        self.model.spent_at.append(0.0)
        self.model.handed.append(handed)
        self.model.asked_again = 0

    def expected(self, seq: int, call: str, iat: float) -> PassStanding:
        model, last = self.model, len(self.model.spent_by) - 1
        if seq == last:
            return PassStanding.FRESH
        retry = seq == last - 1 and model.spent_by[seq] == call
        if retry and self.now - model.spent_at[seq] <= 10 and model.asked_again < 3:
            return PassStanding.RESEND
        handed = model.handed[seq + 1]
        if handed is None:
            # On its way as long as it is the newest; later nobody knows, and unknown is never good.
            return PassStanding.LOST_RACE if seq == last - 1 else PassStanding.REUSE
        return PassStanding.LOST_RACE if iat <= handed + 2 else PassStanding.REUSE

    @invariant()
    def the_chain_never_forks(self) -> None:
        assert self.lane.seq == len(self.model.spent_by) - 1


TestRotation = Rotation.TestCase
