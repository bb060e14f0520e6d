"""`jittrust demo`: opens the stage in a folder of its own, tells the stories, checks the ledger offline, leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jittrust.apps.cli.failure import DONE, REFUSED
from jittrust.apps.cli.reach import person
from jittrust.apps.state_dir import make_private
from jittrust.core.errors import BadInputError
from jittrust.core.model import Json

if TYPE_CHECKING:
    from jittrust.apps.demo.teller import Teller
    from jittrust.apps.demo.telling import StoryEnd

_TERMINATED: Final = 143  # 128 + SIGTERM
_CHILD_SUBREAPER: Final = 36  # prctl(2) PR_SET_CHILD_SUBREAPER
_GRACE_SECONDS: Final = 4.0


def demo(state: Path | None = None, *, as_json: bool = False, keep: bool = False) -> int:
    """Tell the three stories; 0 only when each ended as told and the ledger is whole.

    Args:
        state: folder for the demo's own broker; must be empty or not exist, and is kept. None: a temporary one.
        as_json: JSON lines instead of words.
        keep: keep the temporary folder.

    Raises:
        BadInputError: code `demo_extra_missing`, `demo_state_used`.
        NotFoundError: code `demo_samples_missing`.
        UnavailableError: something the stories stand on does not work.
    """
    from jittrust.apps.demo.teller import JsonTeller, TextTeller
    from jittrust.apps.demo.world import examples

    found = examples()
    teller: Teller = JsonTeller() if as_json else TextTeller()
    with _folder(state, keep=keep) as folder, _no_child_left():
        worlds = folder / "worlds"
        worlds.mkdir(mode=0o700)
        try:
            ends = asyncio.run(_lived(folder, worlds, found, teller))
        except asyncio.CancelledError:
            return _TERMINATED
        ledger = verified(folder)
        kept = folder if keep or state is not None else None
        teller.close(ends, ledger, _next_steps(kept))
    good = all(end.as_told for end in ends) and ledger["verified"] is True
    return DONE if good else REFUSED


async def _lived(state: Path, worlds: Path, examples: Path, teller: Teller) -> Sequence[StoryEnd]:
    from jittrust.apps.demo.stage import open_stage
    from jittrust.apps.demo.stories import benign, hijacked, stolen_pass

    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    if task is not None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
    async with open_stage(state, worlds, examples, person()) as stage:
        return [await story(stage, teller) for story in (benign, hijacked, stolen_pass)]


def verified(state: Path) -> dict[str, Json]:
    """Check the ledger of a broker that has ended, offline, against the key that signed it."""
    from jittrust.adapters.files.keys import load_keys
    from jittrust.adapters.sqlite.ledger_file import LedgerFile
    from jittrust.apps.wiring import DATABASE
    from jittrust.core.ledger.checkpoint import LedgerKey, LedgerSigner
    from jittrust.core.ledger.verify import LedgerVerified, verify

    with LedgerFile(state / DATABASE) as file:
        checkpoint = file.checkpoint()
        if checkpoint is None:
            return {"records": 0, "verified": False, "why": "nothing was signed"}
        # The public half of the key on disk, not what the database says of itself.
        key: LedgerKey = LedgerSigner.from_seed(checkpoint.partition("\n")[0], load_keys(state).ledger.reveal()).key
        answer = verify(file.leaves(), checkpoint, key, file.checkpoints(1000), whole=True)
        if isinstance(answer, LedgerVerified):
            return {"records": answer.size, "verified": True}
        return {"records": sum(1 for _ in file.leaves()), "verified": False, "why": f"{answer.why} [{answer.code}]"}


def _next_steps(kept: Path | None) -> Sequence[tuple[str, str]]:
    """Commands and what each is good for."""
    own = [
        ('jittrust mission plan --goal "..." -- COMMAND', "what a goal would let one of your own MCP servers do"),
        ("jittrust run -- COMMAND", "in your MCP client, in the place of COMMAND: that server behind your broker"),
        ("jittrust doctor", "what is really enforced on this machine, and what is not"),
    ]
    if kept is None:
        return own
    return [
        (f"jittrust log -n 100 --state {kept}", "every decision of the stories"),
        (f"jittrust audit verify --state {kept}", "the ledger once more, by yourself"),
        own[0],
    ]


@contextlib.contextmanager
def _folder(state: Path | None, *, keep: bool) -> Iterator[Path]:
    if state is not None:
        folder = state.expanduser().absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadInputError(
                "demo_state_used",
                f"{folder} is not empty, and the demo touches nothing of yours",
                "Name a new folder, or leave --state out.",
            )
        yield make_private(folder)
        return
    folder = Path(tempfile.mkdtemp(prefix="jittrust-demo-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _no_child_left() -> Iterator[None]:
    """Whatever the stories start, and whatever that starts, has ended when the block has."""
    # Linux hands the orphans of our descendants to us, so that none is overlooked; elsewhere they end when their pipes close.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        until = time.monotonic() + _GRACE_SECONDS
        while _reap() and time.monotonic() < until:
            time.sleep(0.02)
        for number in (signal.SIGTERM, signal.SIGKILL):
            for child in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
            until = time.monotonic() + 1.0
            while _reap() and time.monotonic() < until:
                time.sleep(0.02)


def _reap() -> bool:
    """Collect children that have ended; whether any is left."""
    with contextlib.suppress(ChildProcessError):
        while True:
            child, _ = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return True
    return False


def _children() -> list[int]:
    with contextlib.suppress(OSError):
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii")
        return [int(child) for child in listed.split()]
    return []
