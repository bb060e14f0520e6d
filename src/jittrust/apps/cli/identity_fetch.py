"""`jittrust identity fetch`: documents from a SPIFFE Workload API into files, kept fresh."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.output import emit, say
from jittrust.core.errors import BadInputError, JitError, RefusedError, UnavailableError

if TYPE_CHECKING:
    from jittrust.adapters.workloadapi.client import FetchedX509, WorkloadClient

SOCKET_VARIABLE: Final = "SPIFFE_ENDPOINT_SOCKET"
CHAIN, KEY, BUNDLE, JWT_BUNDLES = "svid.pem", "svid_key.pem", "svid_bundle.pem", "jwt_bundles.json"
_AGAIN_SECONDS: Final = (0.2, 0.5, 1.0, 2.0, 5.0)
_JWT_EVERY_SECONDS: Final = 60.0
"""How often JWT-SVIDs are fetched anew; they live for a few minutes."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_CURRENT: Final = ".current"
_ROTATION: Final = ".rotation-"


def fetch(
    socket: str = "",
    write: Path | None = None,
    *,
    once: bool = False,
    audience: Sequence[str] = (),
    spiffe_id: str = "",
    as_json: bool = False,
) -> int:
    """Fetch what this process is entitled to; write it to files, or say what it is.

    Args:
        socket: path or `unix:` URL; empty = `$SPIFFE_ENDPOINT_SOCKET`.
        write: folder for `svid.pem` (chain), `svid_key.pem` (0600), `svid_bundle.pem`, `jwt_bundles.json`, `federated.NAME.pem` and, for each
            audience, `jwt_svid.AUDIENCE.token` (0600). All files of one rotation change together: each is a link through one link to a folder.
        once: end after the first; else follow rotation until Ctrl-C.
        audience: also fetch a JWT-SVID for each of these.
        spiffe_id: which of several identities; empty = the first.
        as_json: tell programs.

    Raises:
        BadInputError: code `workload_socket_bad`, `folder_bad`, `workload_request_bad`, `workload_answer_bad`.
        RefusedError: code `workload_no_identity`.
        UnavailableError: code `workload_unreachable`, `workload_lost`.
    """
    path = socket_path(socket or os.environ.get(SOCKET_VARIABLE, ""))
    asyncio.run(_follow(path, write, tuple(audience), spiffe_id, once=once or write is None, as_json=as_json))
    return DONE


def socket_path(text: str) -> Path:
    """The socket that a path or `unix:` URL names (Workload API §4). Raises BadInputError: code `workload_socket_bad`."""
    url = urlsplit(text)
    if url.scheme == "unix" and not (url.netloc or url.query or url.fragment):
        text = unquote(url.path)
    elif url.scheme:
        text = ""
    if not text.startswith("/"):
        raise BadInputError(
            "workload_socket_bad",
            f"No socket of a Workload API is named ({text[:80]!r}).",
            f"Give --socket PATH, or set {SOCKET_VARIABLE}=unix:///path/workload.sock.",
        )
    return Path(text)


async def _follow(
    path: Path, write: Path | None, audience: tuple[str, ...], spiffe_id: str, *, once: bool, as_json: bool
) -> None:
    from jittrust.adapters.workloadapi.client import WorkloadClient

    failures = 0
    began = False
    while True:
        try:
            async with WorkloadClient(path) as client:
                async for files, told in _rotations(client, audience, spiffe_id):
                    failures = 0
                    if write is not None:
                        put_together(write, files)
                    _tell(told, write, as_json=as_json)
                    began = True
                    if once:
                        return
        except UnavailableError:
            # A broker that starts again is waited for; one that was never there is an error.
            if once or not began:
                raise
            await asyncio.sleep(_AGAIN_SECONDS[min(failures, len(_AGAIN_SECONDS) - 1)])
            failures += 1


async def _rotations(
    client: WorkloadClient, audience: tuple[str, ...], spiffe_id: str
) -> AsyncIterator[tuple[Mapping[str, bytes], FetchedX509]]:
    """Everything to write, now and whenever some of it is another."""
    news: asyncio.Queue[object] = asyncio.Queue()

    async def pump(source: AsyncIterator[object]) -> None:
        try:
            async for one in source:
                news.put_nowait(one)
        except JitError as error:
            news.put_nowait(error)

    pumps = [asyncio.create_task(pump(client.x509_svids())), asyncio.create_task(pump(client.jwt_bundles()))]
    svids: tuple[FetchedX509, ...] = ()
    bundles: Mapping[str, bytes] | None = None
    written: Mapping[str, bytes] = {}
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_JWT_EVERY_SECONDS if audience and written else None):
                    got = await news.get()
                if isinstance(got, JitError):
                    raise got
                svids = got if isinstance(got, tuple) else svids
                bundles = got if isinstance(got, dict) else bundles
            if not svids or bundles is None:
                continue
            chosen = _chosen(svids, spiffe_id)
            files = {**_x509_files(chosen), **_jwt_files(bundles)}
            for one in audience:
                tokens = await client.jwt_svids((one,), chosen.spiffe_id)
                files[jwt_name(one)] = tokens[0].token.encode()
            if files != written:
                yield files, chosen
            written = files
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _chosen(svids: Sequence[FetchedX509], spiffe_id: str) -> FetchedX509:
    for one in svids:
        if spiffe_id in {"", one.spiffe_id}:
            return one
    known = ", ".join(one.spiffe_id for one in svids)
    raise RefusedError("workload_no_identity", f"This process is not entitled to {spiffe_id}.", f"It has: {known}")


def _x509_files(svid: FetchedX509) -> dict[str, bytes]:
    files = {CHAIN: svid.chain, KEY: svid.key, BUNDLE: svid.bundle}
    for name, roots in svid.federated.items():
        files[f"federated.{_safe(name.removeprefix('spiffe://'))}.pem"] = roots
    return files


def _jwt_files(bundles: Mapping[str, bytes]) -> dict[str, bytes]:
    told = {name: json.loads(document) for name, document in sorted(bundles.items())}
    return {JWT_BUNDLES: json.dumps(told, indent=1).encode() + b"\n"}


def jwt_name(audience: str) -> str:
    """The file of the JWT-SVID for an audience. What a file's name cannot hold is replaced, and then a digest keeps two audiences apart."""
    safe = _safe(audience)
    if safe != audience:
        safe = f"{safe}-{hashlib.sha256(audience.encode()).hexdigest()[:8]}"
    return f"jwt_svid.{safe}.token"


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text)[:100].strip("._") or "_"


def put_together(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put all files in place in one step: readers see all of the old ones or all of the new ones.

    The files are links to `.current/NAME`, and `.current` is a link that is replaced. The rotation before stays for who is reading it.

    Raises:
        BadInputError: code `folder_bad`.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=_ROTATION, dir=folder))
        fresh.chmod(0o755)
        for name, content in files.items():
            mode = 0o600 if name == KEY or name.endswith(".token") else 0o644
            opened = os.open(fresh / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(opened, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        current = folder / _CURRENT
        before = current.readlink().name if current.is_symlink() else ""
        _link(current, fresh.name)
        for name in files:
            if not (folder / name).is_symlink():
                _link(folder / name, f"{_CURRENT}/{name}")
        for old in folder.glob(f"{_ROTATION}*"):
            if old.name not in {fresh.name, before}:
                shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise BadInputError("folder_bad", f"{folder} cannot be written: {error}", "Name another folder.") from None


def _link(path: Path, target: str) -> None:
    fresh = path.with_name(f".new-{path.name}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(path)


def _tell(svid: FetchedX509, write: Path | None, *, as_json: bool) -> None:
    where = None if write is None else str(write)
    if as_json:
        emit({"spiffe_id": svid.spiffe_id, "hint": svid.hint, "folder": where})
    else:
        say(f"{svid.spiffe_id}{f' ({svid.hint})' if svid.hint else ''}")
        if where:
            say(f"  written to {where}")
    # Whoever reads us through a pipe waits for the line that says that the files are there.
    sys.stdout.flush()
