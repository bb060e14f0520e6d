"""The lanes that this client holds, and the discipline of the strict client. Pure.

| rule | why |
|---|---|
| a pass is taken out of its lane when it is shown, and only an answer puts one in | two requests never show one pass |
| a request without a pass belongs to lane 0, and to nobody else meanwhile | a challenge replaces the pass of lane 0, whoever asked |
| a lane whose pass was lost on the way is forgotten; lane 0 is asked for by a challenge | an old pass shown late is a thief's |
| a lane unused for four seconds is forgotten | the broker closes it after five |
"""

from __future__ import annotations

from dataclasses import dataclass, field

IDLE_SECONDS = 4.0
"""After how many unused seconds a lane other than 0 is given up; the broker closes it after 5 (docs/scoring.md, "Rotation")."""
WINDOW_SECONDS = 8.5
"""How long after a call was first sent the very same call may be sent again; the broker's window is 10 s from when it took the call."""
RESENDS = 3
"""How often at most, as the broker counts."""


@dataclass(slots=True)
class HeldLane:
    """One lane. `newest` is the pass to show next, a secret; None: not known. `turn` counts the passes it has been given."""

    number: int
    newest: str | None = field(default=None, repr=False)
    used: float = 0.0
    turn: int = 0
    owner: object | None = None
    streaming: bool = False


class HeldLanes:
    """The lanes of one grant. Times are seconds of any steady clock."""

    def __init__(self, first_pass: str | None, most: int, now: float) -> None:
        """`first_pass`: of lane 0; None: it is asked for by a challenge. `most`: how many lanes the grant allows, as far as is known."""
        self._lanes = {0: HeldLane(0, first_pass or None, now)}
        self.most = max(1, most)
        self.opening = 0  # asked for, not answered yet

    def free(self, now: float) -> list[HeldLane]:
        """Lanes that nobody uses, those used last first. Idle ones are forgotten here."""
        for number, lane in list(self._lanes.items()):
            if number and lane.owner is None and now - lane.used > IDLE_SECONDS:
                del self._lanes[number]
        found = [lane for lane in self._lanes.values() if lane.owner is None]
        return sorted(found, key=lambda lane: (-lane.used, lane.number))

    def take(self, owner: object, now: float) -> HeldLane | None:
        """A lane for one request; None when all are in use. A lane whose answer is already streaming is taken when nothing else is left."""
        free = self.free(now)
        # Without a pass a request costs one more turn, so a lane that has one goes first.
        free.sort(key=lambda lane: lane.newest is None)
        left = free or [lane for lane in self._lanes.values() if lane.streaming and lane.newest is not None]
        if not left:
            return None
        lane = left[0]
        lane.owner, lane.streaming = owner, False
        return lane

    @property
    def may_grow(self) -> bool:
        """Whether one more lane may be asked for."""
        return len(self._lanes) + self.opening < self.most

    def opened(self, number: int, first_pass: str, now: float) -> None:
        """The broker has opened a lane."""
        self._lanes[number] = HeldLane(number, first_pass, now)

    def full(self) -> None:
        """The broker opens no more lanes than there are."""
        self.most = len(self._lanes)

    @staticmethod
    def show(lane: HeldLane) -> str | None:
        """The pass for a request that goes out now. It leaves the lane: nobody shows it for anything else."""
        shown, lane.newest = lane.newest, None
        return shown

    @staticmethod
    def put(lane: HeldLane, newest: str, now: float) -> None:
        """An answer brought a pass."""
        lane.newest, lane.used = newest, now
        lane.turn += 1

    @staticmethod
    def streams(lane: HeldLane, owner: object) -> None:
        """The answer streams and its headers have brought the next pass: others may use the lane when they must."""
        if lane.owner is owner:
            lane.streaming = True

    def leave(self, lane: HeldLane, owner: object) -> None:
        """The request is over. A lane that has no pass now is forgotten, lane 0 excepted."""
        if lane.owner is not owner:
            return
        lane.owner, lane.streaming = None, False
        if lane.number and lane.newest is None and self._lanes.get(lane.number) is lane:
            del self._lanes[lane.number]


@dataclass(slots=True)
class SentCall:
    """What is known of one request that was sent and not answered yet.

    Attributes:
        shown: the pass it showed, a secret; None: none.
        since: when it may have reached the broker first; None: it certainly has not.
        resends: how often it was sent again since.
    """

    shown: str | None = field(default=None, repr=False)
    since: float | None = None
    resends: int = 0

    @property
    def in_doubt(self) -> bool:
        """Whether it may have been carried out. Without a pass nothing is."""
        return self.since is not None and self.shown is not None

    def may_resend(self, now: float) -> bool:
        """Whether the very same bytes may be sent again with the very same pass."""
        return self.since is None or (now - self.since <= WINDOW_SECONDS and self.resends < RESENDS)

    def lost(self, sent: float) -> None:
        """It went out at `sent` and no answer came."""
        if self.since is None:
            self.since = sent
        else:
            self.resends += 1
