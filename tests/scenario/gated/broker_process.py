"""A broker of its own process for the tests of join-or-start: `broker_process.py STATE [HOW]`. Notes each start in STATE/starts."""

# ruff: noqa: ASYNC110 - a process that watches from outside has no event to wait for
from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))


async def main() -> None:
    from tests.scenario.gated.world import world

    state = Path(sys.argv[1])
    with (state / "starts").open("a", encoding="utf-8") as file:
        file.write(f"{os.getpid()}\n")
    if sys.argv[2:] == ["fails"]:
        sys.exit("broken: the store cannot be read")
    async with world(state) as made:
        while made.face.quiet_for() < 0.7:
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())
