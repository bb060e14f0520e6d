"""`jittrust doctor`: what is really enforced on this machine, what is not, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from jittrust.apps.cli.audit import DATABASE
from jittrust.apps.cli.failure import DONE, REFUSED
from jittrust.apps.cli.options import AsJson, Config, State
from jittrust.apps.cli.output import emit, say, table
from jittrust.apps.cli.reach import state_of
from jittrust.core.errors import JitError, UnavailableError
from jittrust.ports.baselines import BaselineInForce

# Releases before this moment did not exist: a clock that shows less is wrong. 2026-01-01T00:00:00Z.
_EARLIEST = 1_767_225_600


class HostStanding(StrEnum):
    """How one thing stands. `broken` is a finding."""

    ENFORCED = "enforced"
    LIMITED = "limited"
    ABSENT = "not used"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class HostCheck:
    """One thing that was looked at. `fix` is what to do, empty when there is nothing to do."""

    name: str
    stands: HostStanding
    what: str
    fix: str = ""


def doctor(config: Config = None, state: State = None, as_json: AsJson = False) -> int:
    """Look at files, store, ledger, policy, clock and broker, and say plainly what this machine cannot protect. Exit 1 on a finding.

    [bold]For example[/bold]

      jittrust doctor
    """
    folder = state_of(state)
    checks: list[HostCheck] = []
    for name, look in _LOOKS.items():
        try:
            checks += look(folder, config)
        except JitError as error:
            checks.append(HostCheck(name, HostStanding.BROKEN, f"{error.message} [{error.code}]", error.next_step))
        except (OSError, sqlite3.Error) as error:
            checks.append(HostCheck(name, HostStanding.BROKEN, str(error), "Look at the state directory."))
    broken = [check for check in checks if check.stands is HostStanding.BROKEN]
    if as_json:
        emit({"checks": checks, "findings": len(broken), "state": str(folder)})
    else:
        table(("CHECK", "STANDS", "WHAT", "FIX"), ((c.name, c.stands, c.what, c.fix or "-") for c in checks), "")
        say(f"\n{len(broken)} finding(s) in {folder}")
    return REFUSED if broken else DONE


def _files(folder: Path, _: Path | None) -> Iterator[HostCheck]:
    if not folder.exists():
        yield HostCheck(
            "state directory",
            HostStanding.ABSENT,
            f"{folder} does not exist yet",
            "It is made by the first command that needs it.",
        )
        return
    open_ones = []
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        # The Workload API takes whoever reaches it, and asks the kernel who that is; here the folder decides who does.
        if stat.S_ISSOCK(status.st_mode) and path == folder / "workload.sock":
            continue
        if stat.S_ISLNK(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            open_ones.append(path.relative_to(folder).as_posix())
    if open_ones:
        named = ", ".join(open_ones[:5]) + (f" and {len(open_ones) - 5} more" if len(open_ones) > 5 else "")  # noqa: PLR2004
        yield HostCheck(
            "file modes",
            HostStanding.BROKEN,
            f"open to others, a link, or not yours: {named}",
            f"chmod -R go= {folder}",
        )
    else:
        yield HostCheck(
            "file modes", HostStanding.ENFORCED, "everything in the state directory is readable by you alone"
        )


def _same_user(_: Path, __: Path | None) -> Iterator[HostCheck]:
    yield HostCheck(
        "same user id",
        HostStanding.LIMITED,
        "a program that runs as you can read the keys, the hook's token and the ledger, copy the PIN's hash, state a goal (as a process that has left "
        "its agent, or through the hook), start a server without the broker and end the broker",
        "Run agents under another user id or in a container; keep `audit export` checkpoints elsewhere.",
    )
    if os.getuid() == 0:
        yield HostCheck(
            "root",
            HostStanding.LIMITED,
            "you are root: file modes protect nothing from other root processes",
            "Use an ordinary user.",
        )


def _store(folder: Path, _: Path | None) -> Iterator[HostCheck]:
    path = folder / DATABASE
    if not path.exists():
        yield HostCheck("store", HostStanding.ABSENT, "no store yet")
        return
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        journal = db.execute("PRAGMA journal_mode").fetchone()[0]
        sound = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    db.close()
    if journal != "wal":
        yield HostCheck(
            "store",
            HostStanding.BROKEN,
            f"journal mode is {journal}, not WAL",
            "Let the broker open it once, on a local disk.",
        )
    elif sound != "ok":
        yield HostCheck("store", HostStanding.BROKEN, f"SQLite says: {sound}", "Restore from a backup.")
    else:
        # `synchronous` belongs to a connection, not to the file: the broker sets FULL and refuses to start when it reads back anything else.
        yield HostCheck(
            "store", HostStanding.ENFORCED, "WAL, sound; the broker reads synchronous=FULL back at every start"
        )


def _ledger(folder: Path, _: Path | None) -> Iterator[HostCheck]:
    from jittrust.apps.cli.audit import verified_records

    if not (folder / DATABASE).exists():
        return
    good, what = verified_records(folder)
    stands = HostStanding.ENFORCED if good else HostStanding.BROKEN
    yield HostCheck("ledger", stands, what, "" if good else "jittrust audit verify")


def _policy(folder: Path, config: Path | None) -> Iterator[HostCheck]:
    from jittrust.adapters.cedar.policy import CedarPolicy
    from jittrust.apps.settings import load_settings
    from jittrust.apps.state_dir import find_config

    file = find_config(config, folder)
    settings = load_settings(file)
    yield HostCheck("configuration", HostStanding.ENFORCED, f"{file or 'none: defaults'}")
    policy = CedarPolicy.load(settings.policy.file)
    permits = [rule.id for rule in policy.rules if rule.permits]
    own = f"{settings.policy.file}" if settings.policy.file else "the shipped rules alone"
    widened = f"; permits: {', '.join(permits)}" if permits else "; nothing is permitted by rule"
    yield HostCheck("policy", HostStanding.ENFORCED, f"{len(policy.rules)} rules from {own}{widened}")
    if settings.policy.observe:
        yield HostCheck(
            "observe",
            HostStanding.LIMITED,
            "OBSERVE: verdicts are recorded and nothing is stopped",
            "Set policy.observe: false.",
        )


def _pin(folder: Path, _: Path | None) -> Iterator[HostCheck]:
    from jittrust.adapters.files.pin import PinFile
    from jittrust.adapters.system.clock import SteadyClock

    if PinFile(folder, SteadyClock()).is_set():
        yield HostCheck("approver's PIN", HostStanding.ENFORCED, "set; wrong tries are counted and lock")
    else:
        yield HostCheck(
            "approver's PIN", HostStanding.LIMITED, "not set: nothing can be approved", "jittrust approve --set-pin"
        )


def _clock(folder: Path, _: Path | None) -> Iterator[HostCheck]:
    from jittrust.adapters.system.clock import SteadyClock

    now = float(SteadyClock()())
    newest = max((path.stat().st_mtime for path in folder.glob("*")), default=0.0)
    if now < _EARLIEST:
        yield HostCheck(
            "clock",
            HostStanding.BROKEN,
            "the clock is years behind",
            "Set the clock: grants and proofs are checked against it.",
        )
    elif newest > now + 60:
        yield HostCheck(
            "clock",
            HostStanding.BROKEN,
            f"files here are {newest - now:.0f} s in the future: the clock has jumped back",
            "Set the clock.",
        )
    else:
        yield HostCheck("clock", HostStanding.ENFORCED, "plausible, and not behind the newest file")


def _broker(folder: Path, _: Path | None) -> Iterator[HostCheck]:
    from jittrust.adapters.unixsocket.join import driving_of, join

    async def waiting() -> tuple[int, BaselineInForce]:
        # Joined, never started: a look changes nothing.
        connection = await join(folder)
        try:
            driving = driving_of(connection)
            return len(await driving.approvals.waiting()), await driving.baselines.show()
        finally:
            await connection.close()

    try:
        count, usual = asyncio.run(waiting())
    except UnavailableError as error:
        if error.code != "broker_unreachable":
            raise
        yield HostCheck("broker", HostStanding.ABSENT, "does not run; the first command that needs it starts it")
        return
    yield HostCheck(
        "broker", HostStanding.ENFORCED, f"answers; {count} question(s) wait", "jittrust approve" if count else ""
    )
    if usual.adopted is not None and usual.adopted.stands:
        seen = f"adopted by {usual.adopted.by}; it asked about {usual.asked} of the last {usual.judged} calls"
        if not usual.readable:
            yield HostCheck(
                "baseline", HostStanding.BROKEN, "an older version wrote it: not in force", "jittrust calibrate --adopt"
            )
        elif usual.alarm:
            yield HostCheck(
                "baseline", HostStanding.BROKEN, f"{seen}, more than it promised", "Calibrate anew, or look who asks."
            )
        else:
            yield HostCheck("baseline", HostStanding.ENFORCED, seen)


def _not_used(_: Path, __: Path | None) -> Iterator[HostCheck]:
    yield HostCheck(
        "sandbox",
        HostStanding.ABSENT,
        "bubblewrap is not used in this version: servers run with all your rights",
        "Run them in a container.",
    )
    yield HostCheck(
        "kernel sensors",
        HostStanding.ABSENT,
        f"eBPF is not used in this version ({sys.platform}): what an agent does outside MCP is not seen",
    )


_LOOKS: dict[str, Callable[[Path, Path | None], Iterator[HostCheck]]] = {
    "state directory": _files,
    "same user id": _same_user,
    "store": _store,
    "ledger": _ledger,
    "policy": _policy,
    "approver's PIN": _pin,
    "clock": _clock,
    "broker": _broker,
    "not used": _not_used,
}
