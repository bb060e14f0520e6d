"""`jittrust audit`: the ledger, checked and exported offline. Works beside a running broker and on copies."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import typer

from jittrust.apps.cli.failure import DONE, REFUSED
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, say, working
from jittrust.apps.cli.reach import state_of
from jittrust.core.errors import BadInputError
from jittrust.core.ledger.checkpoint import LedgerKey, LedgerSigner
from jittrust.core.ledger.verify import LedgerVerified, verify
from jittrust.core.model import Json

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")

DATABASE: Final = "jittrust.db"
_CHECKPOINTS: Final = 2000
_MOST_LINE: Final = 16 << 20
_SQLITE: Final = b"SQLite format 3\x00"

FileArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]", help="A store (jittrust.db) or an exported ledger (.jsonl); default: that of --state."
    ),
]


@dataclass(frozen=True, slots=True)
class LedgerSource:
    """A ledger to be checked. `vouched` says where the key came from."""

    leaves: Iterable[bytes]
    checkpoint: str
    earlier: Sequence[str]
    key: LedgerKey
    vouched: str


@app.command("verify")
def verify_(
    file: FileArgument = None,
    key: Annotated[
        str,
        typer.Option(
            "--key", metavar="VKEY", help="The verifier key you trust (text or file); kept from an earlier export."
        ),
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Hashes and signature only; records are not read one by one.")
    ] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Check that the ledger is exactly what was signed, and name the first bad record. Exit 1 on a finding.

    [bold]For example[/bold]

      jittrust audit verify

      jittrust audit verify ledger.jsonl --key ledger.vkey     # an export, on another machine
    """
    with _opened(file, key, state_of(state)) as source, working("Verifying the ledger …", as_json=as_json):
        if not source.checkpoint:
            size = sum(1 for _ in source.leaves)
            good = size == 0
            told: dict[str, Json] = {"records": size, "verified": good, "code": "" if good else "no_checkpoint"}
        else:
            found = verify(source.leaves, source.checkpoint, source.key, source.earlier, whole=not quick)
            good = isinstance(found, LedgerVerified)
            told = (
                {"records": found.size, "verified": True, "root": found.root.hex(), "checkpoints": found.earlier + 1}
                if isinstance(found, LedgerVerified)
                else {"records": None, "verified": False, "index": found.index, "code": found.code, "why": found.why}
            )
    told |= {"key": str(source.key), "key_from": source.vouched}
    if as_json:
        emit(told)
    elif good:
        say(
            f"Verified: {told['records']} records are exactly what was signed, under {told.get('checkpoints', 0)} checkpoints."
        )
        say(f"Key {source.key}\n    ({source.vouched})")
    else:
        where = "the checkpoint" if told.get("index") is None else f"record {told['index']}"
        say(f"BROKEN at {where} [{told['code']}]: {told.get('why', 'there are records and no checkpoint')}")
        say("Next: compare with an export or a backup; keep the file as it is.")
    return DONE if good else REFUSED


@app.command()
def export(
    out: Annotated[
        Path,
        typer.Option(
            "--out", metavar="FILE", help="Where to: FILE (records), FILE.checkpoint and FILE.vkey beside it."
        ),
    ],
    file: FileArgument = None,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Write the ledger out: one record a line as canonical JSON, the signed checkpoint, the verifier key. Never overwrites.

    Keep FILE.vkey and a checkpoint somewhere the agent cannot write: they show a history that was rewritten and signed anew.

    [bold]For example[/bold]

      jittrust audit export --out ledger.jsonl
    """
    from jittrust.adapters.sqlite.ledger_file import LedgerFile

    path = file or state_of(state) / DATABASE
    count = 0
    with LedgerFile(path) as ledger, working("Exporting …", as_json=as_json):
        checkpoint, vkey = ledger.checkpoint() or "", ledger.ledger_key()
        with _new_file(out) as lines:
            for leaf in ledger.leaves():
                lines.write(leaf + b"\n")
                count += 1
    for suffix, text in ((".checkpoint", checkpoint), (".vkey", vkey + "\n")):
        with _new_file(out.with_name(out.name + suffix)) as beside:
            beside.write(text.encode())
    if as_json:
        emit({"records": count, "file": str(out), "checkpoint": f"{out}.checkpoint", "key": f"{out}.vkey"})
    else:
        say(f"{count} records in {out}; checkpoint and key beside it.\nNext: jittrust audit verify {out}")
    return DONE


def verified_records(state: Path) -> tuple[bool, str]:
    """Whether the ledger of a state directory is what was signed, and a sentence about it."""
    with _opened(None, "", state) as source:
        if not source.checkpoint:
            return True, "empty"
        found = verify(source.leaves, source.checkpoint, source.key, source.earlier)
    if isinstance(found, LedgerVerified):
        return True, f"{found.size} records verified"
    return False, f"record {found.index} [{found.code}]: {found.why}"


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BadInputError(
            "export_failed", f"{path} cannot be made: {error.strerror}", "Name a file that does not exist yet."
        ) from error
    with os.fdopen(opened, "wb") as out:
        yield out


@contextmanager
def _opened(file: Path | None, key: str, state: Path) -> Iterator[LedgerSource]:
    from jittrust.adapters.sqlite.ledger_file import LedgerFile

    path = file or state / DATABASE
    given = _key(key) if key else None
    if file is not None and not _is_store(file):
        yield _exported(file, given)
        return
    with LedgerFile(path) as ledger:
        named = LedgerKey.parse(ledger.ledger_key())
        trusted, vouched = (given, "given by you") if given else _own_key(named, path.parent)
        notes = ledger.checkpoints(_CHECKPOINTS)
        yield LedgerSource(ledger.leaves(), notes[0] if notes else "", notes[1:], trusted, vouched)


def _own_key(named: LedgerKey, folder: Path) -> tuple[LedgerKey, str]:
    """The key of the broker's own key file; the one the store names only where there is no key file."""
    if not (folder / "keys" / "ledger").exists():
        return named, "named by the store itself: shows damage, not a forger who re-signed; give --key"
    from jittrust.adapters.files.keys import load_keys

    return LedgerSigner.from_seed(named.name, load_keys(folder).ledger.reveal()).key, "from the broker's key file"


def _exported(file: Path, given: LedgerKey | None) -> LedgerSource:
    def lines() -> Iterator[bytes]:
        with file.open("rb") as opened:
            while line := opened.readline(_MOST_LINE + 1):
                yield line.removesuffix(b"\n")

    beside = file.with_name(file.name + ".vkey")
    named = given or _key(str(beside))
    vouched = "given by you" if given else f"from {beside.name}: shows damage, not a forger who re-signed; give --key"
    note = _text(file.with_name(file.name + ".checkpoint"))
    return LedgerSource(lines(), note, (), named, vouched)


def _is_store(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise BadInputError(
            "ledger_missing", f"{file} cannot be read: {error.strerror}", "Name a store or an export."
        ) from error


def _key(text: str) -> LedgerKey:
    return LedgerKey.parse((_text(Path(text)) if Path(text).is_file() else text).strip())


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            "ledger_missing", f"{file} cannot be read", "An export has FILE.checkpoint and FILE.vkey beside it."
        ) from error
