"""`ports.missions` over the broker's socket."""

from __future__ import annotations

from collections.abc import Sequence

from jittrust.adapters.unixsocket.connection import LocalConnection
from jittrust.core.mission.mission import GoalSource, Mission
from jittrust.ports.missions import MissionChange, MissionView, NewMission


class SocketMissions:
    """`Missions` of a broker in another process."""

    def __init__(self, connection: LocalConnection) -> None:
        """Calls go over `connection`."""
        self._connection = connection

    async def start(self, new: NewMission) -> Mission:
        told: Mission = await self._connection.call("missions.start", new=new)
        return told

    async def say(self, person: str, text: str, source: GoalSource, session: str) -> Mission:
        told: Mission = await self._connection.call(
            "missions.say", person=person, text=text, source=source, session=session
        )
        return told

    async def change(self, mission: str, change: MissionChange) -> Mission:
        told: Mission = await self._connection.call("missions.change", mission=mission, change=change)
        return told

    async def list(self, person: str = "") -> Sequence[MissionView]:
        told: Sequence[MissionView] = await self._connection.call("missions.list", person=person)
        return told
