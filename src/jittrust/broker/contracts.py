"""Makes the contracts of missions and signs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from jittrust.broker.missions import MissionBook, checked
from jittrust.broker.state import State
from jittrust.core.authority.map import AuthorityMap
from jittrust.core.errors import NotFoundError
from jittrust.core.mission.contract import (
    Contract,
    ContractLimits,
    SignedContract,
    contract_of,
    read_contract,
    sign_contract,
)
from jittrust.core.mission.mission import Goal, GoalSource, Mission
from jittrust.core.mission.states import MissionState
from jittrust.core.model import Tool
from jittrust.core.rules import Rules
from jittrust.core.units import Instant


class ContractBook:
    """`ports.contracts`."""

    def __init__(
        self,
        state: State,
        missions: MissionBook,
        rules: Rules,
        clock: Callable[[], Instant],
        issuer: str,
        keys: Mapping[str, bytes],
        kid: str,
        sign: Callable[[bytes], bytes],
    ) -> None:
        """Wire it up. `keys`: the public keys of tokens by `kid`; `kid` and `sign`: the one that signs."""
        self._state = state
        self._missions = missions
        self._rules = rules
        self._clock = clock
        self._issuer = issuer
        self._keys = keys
        self._kid = kid
        self._sign = sign

    async def plan(self, goal: str, tools: Sequence[Tool], minutes: int) -> SignedContract:
        """See `Contracts.plan`."""
        now = self._clock()
        offered = tuple(tools) or tuple(self._state.tools[name] for name in sorted(self._state.tools))
        planned = Mission(
            id="",
            person="",
            agent="",
            goal=Goal((checked(goal),), GoalSource.MISSION_START),
            state=MissionState.PROPOSED,
            authority=AuthorityMap(),
            created=now,
            confirmed=now,
            expires=Instant(now + 60 * minutes),
        )
        return self._signed(planned.goal, self._missions.extended(planned, offered), offered, planned, minutes)

    async def of(self, mission: str) -> SignedContract:
        """See `Contracts.of`."""
        found = self._state.missions.get(mission)
        if found is None:
            raise NotFoundError("mission_unknown", f"There is no mission {mission}.", "jittrust mission list")
        minutes = max(1, round((found.expires - found.created) / 60))
        return self._signed(found.goal, found.authority, self._state.tools.values(), found, minutes)

    async def read(self, token: str) -> Contract:
        """See `Contracts.read`."""
        return read_contract(token.encode("utf-8", "surrogatepass"), self._keys, self._issuer)

    def _signed(
        self, goal: Goal, authority: AuthorityMap, tools: Iterable[Tool], of: Mission, minutes: int
    ) -> SignedContract:
        grants = self._rules.grants
        limits = ContractLimits(minutes, grants.gas, grants.ttl, authority.lanes)
        contract = contract_of(goal, authority, tools, limits, of.person, of.id)
        return sign_contract(contract, self._issuer, self._clock(), of.expires, self._kid, self._sign)
