"""`python -m bench questions`: how often is a person asked in a session, answering call by call, and endorsing a source when a question offers it?

Recorded sessions (`--data`), the benign ones unless `--attacked`; the person says yes to everything. One row a session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jittrust.adapters.cedar.policy import CedarPolicy
from jittrust.apps.replay import RecordedSession, recorded_sessions, replay_session, shipped_rules
from jittrust.core.approval import Approval, ConfirmedBy
from jittrust.ports.approvals import Answer

DATA = "JITTRUST_DATA"
PIN = "replay-pin-7153"


class YesSayer:
    """A person who says yes, and counts how often they are asked."""

    def __init__(self, *, endorses: bool) -> None:
        """`endorses`: to the source where a question offers one."""
        self._endorses = endorses
        self.asked: list[Approval] = []
        self.endorsed = 0

    def __call__(self, approval: Approval) -> Answer | None:
        """Yes."""
        self.asked.append(approval)
        endorse = self._endorses and approval.offer is not None
        self.endorsed += endorse
        return Answer(approve=True, by="person", confirmed_by=ConfirmedBy.PIN, pin=PIN, endorse=endorse)


def main() -> int:
    """Measure and print."""
    told = argparse.ArgumentParser(prog="python -m bench questions", description=__doc__)
    told.add_argument(
        "--data", type=Path, default=Path(os.environ.get(DATA, "../shared/data")), help="folder of the sessions"
    )
    told.add_argument("--suite", action="append", required=True, help="name of a file without `.jsonl`; repeatable")
    told.add_argument("--session", action="append", default=[], help="only sessions whose id holds this; repeatable")
    told.add_argument("--attacked", action="store_true", help="the attacked sessions instead of the benign ones")
    told.add_argument("--every", type=int, default=1, help="each N-th session only")
    told.add_argument("--json", action="store_true", help="one JSON object, nothing else")
    chosen = told.parse_args()
    rows: list[dict[str, Any]] = []
    with asyncio.Runner() as runner:
        for suite in chosen.suite:
            file = chosen.data / "dev" / f"{suite}.jsonl"
            with file.open("rb") as source:
                kept = [one for one in recorded_sessions(source, str(file)) if _wanted(one, chosen)]
            rows.extend(runner.run(_measured(one)) for one in kept[:: chosen.every])
    totals = {
        "sessions": len(rows),
        "asked_call_by_call": sum(row["call_by_call"] for row in rows),
        "asked_endorsing": sum(row["endorsing"] for row in rows),
        "sessions_with_an_offer": sum(bool(row["endorsed"]) for row in rows),
    }
    if not chosen.json:
        for row in rows:
            print(
                f"{row['session']:<60} {row['call_by_call']:>3} → {row['endorsing']:>3}  endorsed {row['endorsed']}  {row['left']}"
            )
    print(json.dumps({**totals, "rows": rows} if chosen.json else totals))
    return 0


def _wanted(one: RecordedSession, chosen: argparse.Namespace) -> bool:
    attacked = not one.id.endswith("/benign")
    return attacked == chosen.attacked and (not chosen.session or any(part in one.id for part in chosen.session))


async def _measured(session: RecordedSession) -> dict[str, Any]:
    policy, rules = CedarPolicy.load(), shipped_rules()
    found: dict[str, Any] = {"session": session.id}

    async def run(who: Callable[[Approval], Answer | None]) -> None:
        await replay_session(session, policy, rules, person=who, pin=PIN)

    single, source = YesSayer(endorses=False), YesSayer(endorses=True)
    await run(single)
    await run(source)
    found["call_by_call"], found["endorsing"] = len(single.asked), len(source.asked)
    found["endorsed"] = source.endorsed
    found["left"] = [f"{one.target.partition('/')[2]}{' (source)' if one.offer else ''}" for one in source.asked]
    return found
