"""What a shown pass means: every line of the table in core/grant/lanes.py, to the edge."""

from dataclasses import replace

import pytest

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
from jittrust.core.grant.lanes import (
    LOOK,
    NOBODY_YET,
    RotationRules,
    carried_on,
    challenge,
    closed,
    deliverable,
    delivered,
    idle_lanes,
    in_hand,
    judge,
    known_newer,
    lane_asked,
    may_open,
    open_lane,
    opened_with,
    resent,
    successor,
)
from jittrust.core.grant.passes import PassId
from jittrust.core.grant.states import GrantState
from jittrust.core.units import Gas, Instant

RULES = RotationRules()
NOW = Instant(1_000_000.0)
SPENT_AT = Instant(NOW - 4)
# Pass 6 bought the call "e-1" with digest "d1" four seconds ago; pass 7 is live and was delivered one second later.
LANE = Lane("g-1", 2, seq=7, issued=SPENT_AT, delivered=Instant(NOW - 3), digest="d1", use="e-1", used_at=SPENT_AT)
GRANT = Grant(
    id="g-1",
    mission="m-1",
    family="g-1",
    agent="agent",
    server="files",
    binding=PassBinding.DPOP,
    jkt="k",
    strictness=Strictness.STRICT,
    state=GrantState.ACTIVE,
    gas_left=Gas(10),
    gas_limit=Gas(10),
    lanes=2,
    issued=Instant(NOW - 60),
    expires=Instant(NOW + 60),
)


def shown(iat: float | None = float(NOW), presented: str | None = "text") -> Shown:
    return Shown(PassBinding.DPOP, "g-1", presented, None if iat is None else Instant(iat), "jti", "k")


def seen(
    seq: int | None,
    digest: str = "d2",
    *,
    lane: Lane | None = LANE,
    iat: float | None = float(NOW),
    now: float = float(NOW),
    successor_delivered: float | None = None,
) -> PassStanding:
    read = None if seq is None else PassId("g-1", 2, seq)
    delivery = None if successor_delivered is None else Instant(successor_delivered)
    return judge(lane, read, shown(iat), digest, Instant(now), delivery, RULES).standing


def test_the_live_pass_is_fresh_whatever_it_is_shown_for() -> None:
    assert seen(7, "d1") is PassStanding.FRESH
    assert seen(7, "d2", iat=0) is PassStanding.FRESH
    assert seen(7, lane=replace(LANE, delivered=None)) is PassStanding.FRESH


def test_no_pass_and_an_unreadable_pass_are_challenged() -> None:
    none = judge(LANE, None, shown(presented=None), "d", NOW, None, RULES)
    unreadable = judge(LANE, None, shown(presented="x"), "d", NOW, None, RULES)

    assert (none.standing, none.lane, none.seq) == (PassStanding.CHALLENGE, 2, -1)
    assert (unreadable.standing, unreadable.lane, unreadable.seq) == (PassStanding.CHALLENGE, 2, -1)
    assert none.why != unreadable.why


@pytest.mark.parametrize("seq", [0, 6, 7, 8])
def test_a_pass_of_another_grant_is_challenged_and_never_reuse(seq: int) -> None:
    foreign = PassId("g-2", 2, seq)

    assert judge(LANE, foreign, shown(), "d1", NOW, Instant(0), RULES).standing is PassStanding.CHALLENGE
    assert lane_asked(foreign, shown()) == 0
    assert lane_asked(None, shown()) == 0
    assert lane_asked(PassId("g-1", 2, seq), shown()) == 2


def test_a_pass_of_another_lane_than_the_one_looked_up_is_challenged() -> None:
    assert judge(LANE, PassId("g-1", 3, 6), shown(), "d1", NOW, Instant(0), RULES).standing is PassStanding.CHALLENGE


def test_a_lane_that_does_not_exist_is_challenged() -> None:
    made = judge(None, PassId("g-1", 5, 1), shown(), "d", NOW, None, RULES)

    assert made == Presentation(PassStanding.CHALLENGE, 5, -1, "there is no such lane")


def test_a_pass_newer_than_the_live_one_buys_nothing() -> None:
    assert seen(8) is PassStanding.CHALLENGE


def test_the_same_call_gets_its_answer_again_until_the_window_ends() -> None:
    assert seen(6, "d1") is PassStanding.RESEND
    assert seen(6, "d1", now=SPENT_AT + 10.0, iat=SPENT_AT + 10.0) is PassStanding.RESEND
    assert seen(6, "d1", now=SPENT_AT + 10.001, iat=SPENT_AT + 10.0) is PassStanding.REUSE


def test_the_same_call_gets_its_answer_again_while_the_first_is_still_on_its_way() -> None:
    assert seen(6, "d1", lane=replace(LANE, delivered=None)) is PassStanding.RESEND


def test_the_answer_is_given_again_three_times_and_not_a_fourth() -> None:
    lane, standings = LANE, []
    for _ in range(4):
        standings.append(seen(6, "d1", lane=lane, iat=float(NOW) + 5, now=float(NOW) + 5))
        lane = resent(lane, NOW)

    assert standings == [PassStanding.RESEND, PassStanding.RESEND, PassStanding.RESEND, PassStanding.REUSE]


def test_the_same_call_is_not_answered_again_once_the_successor_was_used() -> None:
    later = successor(LANE, "d9", "e-9", NOW)

    assert seen(6, "d1", lane=later, successor_delivered=NOW - 3) is PassStanding.REUSE
    assert seen(6, "d1", lane=later, successor_delivered=NOW - 2) is PassStanding.LOST_RACE


def test_a_retry_is_answered_again_although_its_lane_closed_meanwhile() -> None:
    assert seen(6, "d1", lane=closed(LANE)) is PassStanding.RESEND


def test_after_a_challenge_nothing_can_be_asked_for_again() -> None:
    challenged = challenge(LANE, NOW)

    assert challenged.digest == ""
    assert seen(7, "", lane=challenged) is PassStanding.LOST_RACE
    assert seen(7, "", lane=challenged, iat=NOW + 2.001, now=NOW + 3) is PassStanding.REUSE


def test_an_old_pass_for_another_call_is_a_lost_race_up_to_two_seconds_after_delivery() -> None:
    assert LANE.delivered is not None
    assert seen(6, iat=LANE.delivered + 2.0) is PassStanding.LOST_RACE
    assert seen(6, iat=LANE.delivered + 2.001) is PassStanding.REUSE
    assert seen(6, iat=0) is PassStanding.LOST_RACE


def test_a_much_older_pass_is_judged_by_the_delivery_of_its_own_successor() -> None:
    assert seen(3, iat=NOW - 98, successor_delivered=NOW - 100) is PassStanding.LOST_RACE
    assert seen(3, iat=NOW - 97, successor_delivered=NOW - 100) is PassStanding.REUSE


def test_while_the_winner_waits_for_its_answer_nobody_can_be_late() -> None:
    flying = replace(LANE, delivered=None)

    assert seen(6, lane=flying) is PassStanding.LOST_RACE
    assert seen(6, lane=flying, iat=NOW + 200) is PassStanding.LOST_RACE


def test_what_nobody_knows_any_more_counts_as_late() -> None:
    assert seen(3) is PassStanding.REUSE
    assert seen(3, iat=None, successor_delivered=NOW) is PassStanding.REUSE
    assert seen(6, iat=None) is PassStanding.REUSE


def test_an_old_pass_is_never_fresh_however_its_proof_is_dated() -> None:
    for seq in range(7):
        for iat in (0.0, float(SPENT_AT), float(NOW), float(NOW) + 300):
            for digest in ("d1", "d2", ""):
                assert seen(seq, digest, iat=iat, successor_delivered=NOW) is not PassStanding.FRESH


def test_a_closed_lane_takes_no_calls_but_still_knows_a_thief() -> None:
    shut = closed(LANE)

    assert seen(7, lane=shut) is PassStanding.CLOSED
    assert seen(6, lane=shut, iat=NOW) is PassStanding.REUSE


def test_a_chain_kept_by_the_enforcement_point_always_shows_the_live_pass() -> None:
    kept = Shown(PassBinding.GATEWAY, "g-1")

    assert judge(LANE, None, kept, "d1", NOW, None, RULES) == Presentation(
        PassStanding.FRESH, 2, 7, "the enforcement point keeps the chain"
    )
    assert judge(closed(LANE), None, kept, "d1", NOW, None, RULES).standing is PassStanding.CLOSED


def test_a_spent_lane_remembers_the_call_and_its_successor_is_undelivered() -> None:
    after = successor(replace(LANE, resends=3), "d9", "e-9", NOW)

    assert after == replace(
        LANE,
        seq=8,
        issued=NOW,
        delivered=None,
        digest="d9",
        use="e-9",
        used_at=NOW,
        resends=0,
        spent=7,
        follows=True,
    )


def stock(lane: Lane, seq: int, *, iat: float = float(NOW), newer: float | None = None) -> PassStanding:
    known = None if newer is None else Instant(newer)
    return judge(lane, PassId("g-1", 2, seq), shown(iat), "d", NOW, known, RULES, Strictness.STOCK).standing


def test_under_a_stock_grant_an_old_pass_that_only_challenges_replaced_proves_nothing() -> None:
    asked = challenge(challenge(replace(LANE, spent=6, follows=True), Instant(NOW - 90)), Instant(NOW - 80))

    assert (asked.seq, stock(asked, 8), stock(asked, 7)) == (9, PassStanding.CHALLENGE, PassStanding.CHALLENGE)
    assert stock(asked, 6, newer=NOW - 99) is PassStanding.REUSE, "with this one a call was bought"
    assert judge(asked, PassId("g-1", 2, 8), shown(), "d", NOW, None, RULES).standing is PassStanding.REUSE, "strict"


def test_the_pass_that_bought_the_newest_call_may_be_shown_again_until_the_lane_follows() -> None:
    lane = replace(LANE, spent=6, delivered=Instant(NOW - 90))

    assert stock(lane, 6) is PassStanding.CHALLENGE
    assert stock(replace(lane, follows=True), 6) is PassStanding.REUSE
    assert stock(replace(lane, follows=True, delivered=Instant(NOW - 2)), 6) is PassStanding.LOST_RACE
    assert stock(lane, 5, newer=NOW - 90) is PassStanding.REUSE
    assert stock(lane, 5, newer=NOW - 2) is PassStanding.LOST_RACE


def test_a_clock_that_is_ahead_makes_nobody_late() -> None:
    lane = replace(LANE, delivered=Instant(NOW - 2))

    assert seen(6, lane=lane, iat=NOW + 50.0) is PassStanding.LOST_RACE
    assert seen(6, lane=lane, iat=NOW + 50.0, now=NOW + 0.1) is PassStanding.REUSE


def old_pass(seq: int, at: float, *, bought: bool, handed: float = 0.0) -> RetiredPass:
    return RetiredPass(seq, bought, Instant(handed), Instant(at))


def test_a_stock_client_knows_a_newer_pass_when_one_has_bought_a_call_however_early_it_was_sent() -> None:
    old = [
        old_pass(4, 9, bought=False),
        old_pass(5, 10, bought=True),
        old_pass(6, 20, bought=True, handed=15),  # spent by the enforcement point for the same caller
        old_pass(7, 30, bought=False),
        old_pass(8, 90, bought=True),
    ]
    lane = replace(LANE, seq=9, spent=8)

    assert known_newer(lane, 5, old, Strictness.STOCK) == Instant(90)
    assert known_newer(lane, 7, old, Strictness.STOCK) == Instant(90), "it came with an answer"
    assert known_newer(replace(lane, follows=True), 5, old, Strictness.STOCK) == Instant(15)
    assert known_newer(replace(lane, follows=True), 7, old, Strictness.STOCK) == Instant(90)
    assert known_newer(lane, 5, old, Strictness.STRICT) == Instant(15)
    assert known_newer(replace(lane, spent=5), 5, old[:4], Strictness.STOCK) == NOBODY_YET
    assert known_newer(lane, 5, old[:4], Strictness.STOCK) == NOBODY_YET, "the purchase is still being stored"


def test_a_challenged_pass_that_nobody_has_shown_says_nothing_and_later_only_about_what_was_told_after_that() -> None:
    old = [old_pass(seq, 10 * seq, bought=seq in (5, 7)) for seq in range(3, 9)]
    lane = replace(LANE, seq=9, spent=7)

    assert known_newer(lane, 4, old, Strictness.STOCK) == NOBODY_YET
    assert known_newer(lane, 4, old, Strictness.STOCK, 8) == NOBODY_YET, "nothing was bought since"
    assert known_newer(lane, 4, old, Strictness.STOCK, 6) == Instant(70)
    assert known_newer(replace(lane, follows=True), 4, old, Strictness.STOCK) == Instant(50)


def test_a_purchase_beyond_what_is_looked_at_is_no_earlier_than_that() -> None:
    old = [old_pass(5, 10, bought=True), *(old_pass(seq, seq, bought=False) for seq in range(6, 6 + LOOK))]
    lane = replace(LANE, seq=400, spent=300)

    assert known_newer(lane, 5, old, Strictness.STOCK) == Instant(5 + LOOK)


def test_a_pass_told_to_a_stock_client_is_on_its_way_for_a_second() -> None:
    told = challenge(LANE, NOW)
    answered = replace(LANE, delivered=NOW)

    assert [in_hand(told, Instant(NOW + later), RULES) for later in (0.0, 0.25, 1.0, 9.0)] == [1.0, 0.75, 0.0, 0.0]
    assert in_hand(replace(LANE, delivered=None), NOW, RULES) == 0.0, "not told yet"
    assert in_hand(answered, NOW, RULES) == 0.0, "its client may never look at it"
    assert in_hand(replace(answered, follows=True), NOW, RULES) == 1.0
    assert in_hand(Lane("g-1", 0, 0, NOW, NOW), NOW, RULES) == 0.0, "the first one came with the grant"


def test_passes_spent_for_a_caller_within_one_request_are_no_passes_it_knows() -> None:
    lane = replace(LANE, spent=6)
    after = carried_on(lane, successor(lane, "d", "e", NOW), began=6)

    assert (after.seq, after.spent, after.follows) == (8, 6, False)
    assert stock(replace(after, delivered=Instant(NOW - 90)), 6) is PassStanding.CHALLENGE


def test_a_pass_that_opened_a_lane_has_bought_something() -> None:
    after = opened_with(replace(LANE, spent=6), NOW)

    assert (after.seq, after.spent, after.follows, after.digest) == (8, 7, True, "")


def test_a_lane_follows_once_a_pass_that_came_with_an_answer_has_bought_a_call() -> None:
    opened = Lane("g-1", 0, 0, NOW, NOW)
    first = successor(opened, "d1", "e-1", NOW)
    asked = successor(challenge(first, NOW), "d2", "e-2", NOW)
    answered = successor(asked, "d3", "e-3", NOW)

    assert [(one.spent, one.follows) for one in (opened, first, challenge(first, NOW))] == [
        (-1, False),
        (0, False),
        (0, False),
    ]
    assert (asked.spent, asked.follows) == (2, False)
    assert (answered.spent, answered.follows) == (3, True)
    assert successor(challenge(answered, NOW), "d4", "e-4", NOW).follows


def test_a_challenge_makes_the_outstanding_pass_old_and_is_delivered_at_once() -> None:
    after = challenge(LANE, NOW)

    assert after == Lane("g-1", 2, seq=8, issued=NOW, delivered=NOW)
    assert not deliverable(after, 7)
    assert deliverable(after, 8)


def test_the_first_delivery_counts_and_a_resend_counts_anew() -> None:
    assert delivered(LANE, NOW) == LANE
    assert delivered(replace(LANE, delivered=None), NOW).delivered == NOW
    assert resent(LANE, NOW) == replace(LANE, resends=1, delivered=NOW)


def test_lanes_open_up_to_the_number_in_the_authority() -> None:
    first = Lane("g-1", 0, 4, NOW, NOW)
    foreign = Lane("g-2", 0, 4, NOW, NOW)

    second, after = open_lane(GRANT, [first, foreign], NOW)

    assert (second, after) == (Lane("g-1", 1, 0, NOW, NOW), None)
    assert may_open(GRANT, [first, foreign], NOW)
    assert not may_open(GRANT, [first, second], NOW)
    with pytest.raises(RefusedError, match="too_many_lanes"):
        open_lane(GRANT, [first, second], NOW)


def test_a_lane_opened_again_goes_on_with_its_chain() -> None:
    first, shut = Lane("g-1", 0, 4, NOW, NOW), Lane("g-1", 1, 9, NOW, NOW, "d", "e", NOW, open=False)

    again, after = open_lane(GRANT, [first, shut], NOW)

    assert (again, after) == (Lane("g-1", 1, 10, NOW, NOW), 9)


@pytest.mark.parametrize(
    "grant",
    [
        replace(GRANT, expires=NOW),
        *(replace(GRANT, state=state) for state in GrantState if state is not GrantState.ACTIVE),
    ],
)
def test_a_grant_that_takes_no_calls_opens_no_lanes(grant: Grant) -> None:
    assert not may_open(grant, [], NOW)
    with pytest.raises(RefusedError, match="grant_not_active"):
        open_lane(grant, [], NOW)


def test_unused_lanes_close_after_five_seconds_and_lane_zero_never() -> None:
    zero = Lane("g-1", 0, 1, Instant(0), Instant(0))
    edge = Lane("g-1", 1, 1, Instant(NOW - 5), Instant(NOW - 5))
    due = Lane("g-1", 2, 1, Instant(NOW - 9), Instant(NOW - 5.001))
    flying = Lane("g-1", 3, 1, Instant(NOW - 60), None)
    lost = Lane("g-1", 4, 1, Instant(NOW - 60.001), None)
    shut = replace(due, number=5, open=False)

    assert idle_lanes([zero, edge, due, flying, lost, shut], NOW, RULES) == (due, lost)
