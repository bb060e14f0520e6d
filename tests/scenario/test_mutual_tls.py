"""Processes that hold nothing but what the Workload API gave them know each other by mutual TLS, and keep strangers out."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from spiffe import SpiffeId, X509Source
from spiffetls import ListenOptions, ServerTlsMode, dial, listen
from spiffetls.errors import TLSConnectionError
from spiffetls.tlsconfig.authorize import authorize_id
from tests.workload import ME, LiveWorkloads, live_workloads

from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.identity import IdentityState

ROOT = Path(__file__).parents[2]
# Fetches documents into a folder, shows them to the peer, checks the peer's chain against the bundle and its SPIFFE ID against the one expected.
PROGRAM = """
import json, socket, ssl, sys, time
from pathlib import Path
from jittrust.apps.cli.failure import guarded
from jittrust.apps.cli.identity_fetch import fetch

role, folder, expected, port = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
code = guarded(lambda: fetch(write=folder, once=True, audience=("db",), as_json=True), as_json=True)
if code:
    sys.exit(code)
server = role == "server"
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(folder / "svid.pem", folder / "svid_key.pem")
context.load_verify_locations(folder / "svid_bundle.pem")

def known(peer):
    names = [value for kind, value in peer.getpeercert()["subjectAltName"] if kind == "URI"]
    if names != [expected]:
        raise ssl.SSLError(f"the peer is {names}")
    return names[0]

def say(**told):
    print(json.dumps(told), flush=True)

if server:
    listening = socket.create_server(("127.0.0.1", 0))
    say(port=listening.getsockname()[1])
    while True:
        plain, _ = listening.accept()
        plain.settimeout(10)
        try:
            with context.wrap_socket(plain, server_side=True) as peer:
                name = known(peer)
                peer.sendall(b"hello " + name.encode())
                say(peer=name)
        except OSError as error:
            say(refused=str(error))
else:
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as plain, context.wrap_socket(plain) as peer:
            say(peer=known(peer), got=peer.recv(1000).decode())
    except OSError as error:
        say(refused=str(error))
"""


def interpreter(folder: Path, name: str) -> Path:
    """An interpreter under a path of its own, so that the kernel tells two programs of one user apart."""
    made = folder / name
    shutil.copy(Path(sys.executable).resolve(), made)
    return made


def environment(live: LiveWorkloads) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONHOME": sys.base_prefix,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), sysconfig.get_path("purelib")]),
        "LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib"),
        "SPIFFE_ENDPOINT_SOCKET": live.address,
    }


def command(python: Path, role: str, expected: str, port: int = 0) -> list[str]:
    return [str(python), "-c", PROGRAM, role, str(python.parent / f"{python.name}-files"), expected, str(port)]


@contextmanager
def serving(live: LiveWorkloads, python: Path, expected: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    running = subprocess.Popen(
        command(python, "server", expected), stdout=subprocess.PIPE, text=True, env=environment(live)
    )
    assert running.stdout is not None
    try:
        assert json.loads(running.stdout.readline())["spiffe_id"]
        yield json.loads(running.stdout.readline())["port"], running
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def calling(live: LiveWorkloads, python: Path, expected: str, port: int) -> dict[str, str]:
    done = subprocess.run(
        command(python, "client", expected, port),
        capture_output=True,
        text=True,
        env=environment(live),
        timeout=30,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return told


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveWorkloads]:
    with live_workloads(tmp_path) as found:
        yield found


def test_two_processes_know_each_other_and_refuse_everybody_else(live: LiveWorkloads, tmp_path: Path) -> None:
    web, db, other = (interpreter(tmp_path, name) for name in ("web", "db", "other"))
    for python in (web, db, other):
        live.entitle(f"/workload/{python.name}", ME, f"unix:path:{python}")
    web_id, db_id = live.id("/workload/web"), live.id("/workload/db")

    with serving(live, db, expected=web_id) as (port, server):
        assert server.stdout is not None
        told = calling(live, web, db_id, port)
        assert told == {"peer": db_id, "got": f"hello {web_id}"}
        assert json.loads(server.stdout.readline()) == {"peer": web_id}

        # Somebody of the same trust domain whom the server does not expect.
        calling(live, other, db_id, port)
        assert "workload/other" in json.loads(server.stdout.readline())["refused"]

        # A server that is not the one the client expects.
        told = calling(live, web, live.id("/workload/other"), port)
        assert "workload/db" in told["refused"]


def test_the_svid_of_another_trust_domain_is_refused_by_both(live: LiveWorkloads, tmp_path: Path) -> None:
    web, db = interpreter(tmp_path, "web"), interpreter(tmp_path, "db")
    live.entitle("/workload/db", ME, f"unix:path:{db}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with live_workloads(elsewhere, "evil.test") as foreign:
        foreign.entitle("/workload/web", ME)
        with serving(live, db, expected=live.id("/workload/web")) as (port, server):
            assert server.stdout is not None
            told = calling(foreign, web, live.id("/workload/db"), port)
            assert "verify failed" in told["refused"]
            assert json.loads(server.stdout.readline())["refused"]


def test_documents_of_before_a_rotation_and_after_it_know_each_other(live: LiveWorkloads, tmp_path: Path) -> None:
    web, db = interpreter(tmp_path, "web"), interpreter(tmp_path, "db")
    for python in (web, db):
        live.entitle(f"/workload/{python.name}", ME, f"unix:path:{python}")
    live.do(live.broker.driving.bundles.own())
    prepared = live.do(live.broker.driving.authorities.prepare(AuthorityKind.X509, "ada"))

    with serving(live, db, expected=live.id("/workload/web")) as (port, _):
        live.do(live.broker.driving.authorities.activate(prepared.id, "ada"))
        told = calling(live, web, live.id("/workload/db"), port)

    assert told["peer"] == live.id("/workload/db")
    assert told["got"] == f"hello {live.id('/workload/web')}"


def test_a_process_whose_identity_was_stopped_gets_no_documents(live: LiveWorkloads, tmp_path: Path) -> None:
    web = interpreter(tmp_path, "web")
    live.entitle("/workload/web", ME, f"unix:path:{web}")
    assert "refused" in calling(live, web, live.id("/workload/db"), 1)
    live.stand("/workload/web", IdentityState.SUSPENDED)

    told = calling(live, web, live.id("/workload/db"), 1)

    assert told["error"]["code"] == "workload_no_identity"  # type: ignore[index]


def test_the_files_are_private_where_they_must_be_and_of_one_rotation(live: LiveWorkloads, tmp_path: Path) -> None:
    web = interpreter(tmp_path, "web")
    live.entitle("/workload/web", ME, f"unix:path:{web}")
    calling(live, web, live.id("/workload/db"), 1)
    folder = tmp_path / "web-files"

    modes = {one.name: one.stat().st_mode & 0o777 for one in folder.iterdir() if not one.name.startswith(".")}

    assert modes == {
        "jwt_bundles.json": 0o644,
        "jwt_svid.db.token": 0o600,
        "svid.pem": 0o644,
        "svid_bundle.pem": 0o644,
        "svid_key.pem": 0o600,
    }
    assert {one.resolve().parent for one in folder.iterdir() if not one.name.startswith(".")} == {
        (folder / ".current").resolve()
    }
    text = (folder / "svid.pem").read_text(encoding="utf-8")
    assert text.count("BEGIN CERTIFICATE") >= 2


def test_fetched_files_follow_the_rotation_until_ctrl_c(live: LiveWorkloads, tmp_path: Path) -> None:
    web = interpreter(tmp_path, "web")
    live.entitle("/workload/web", ME, f"unix:path:{web}")
    folder = tmp_path / "files"
    program = f"""
import sys
from pathlib import Path
from jittrust.apps.cli.failure import guarded
from jittrust.apps.cli.identity_fetch import fetch
sys.exit(guarded(lambda: fetch(write=Path({str(folder)!r})), as_json=False))
"""
    running = subprocess.Popen([str(web), "-c", program], stdout=subprocess.PIPE, text=True, env=environment(live))
    assert running.stdout is not None
    try:
        assert running.stdout.readline().strip() == live.id("/workload/web")
        assert "written" in running.stdout.readline()
        before = (folder / "svid.pem").read_bytes()
        live.rotate(AuthorityKind.X509)
        began = time.monotonic()
        while (folder / "svid.pem").read_bytes() == before:
            assert time.monotonic() - began < 2
            time.sleep(0.005)
        running.send_signal(signal.SIGINT)
        assert running.wait(5) == 130
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # it leaves the socket of a refused call open
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # spiffe-tls uses what others deprecated
def test_spiffe_tls_of_others_speaks_with_what_it_got_here(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    web = SpiffeId(live.id("/workload/web"))
    told: list[bytes] = []
    with X509Source(socket_path=live.address) as source:
        options = ListenOptions(tls_mode=ServerTlsMode.MTLS, authorize_fn=authorize_id(web))
        listening = listen("127.0.0.1:0", source, options)
        port = listening.getsockname()[1]

        def serve() -> None:
            for _ in range(2):
                peer, _address = listening.accept()
                try:
                    told.append(peer.recv(100))
                except Exception as error:  # noqa: BLE001 - whatever it is, the peer was refused
                    told.append(type(error).__name__.encode())
                peer.close()

        serving_thread = threading.Thread(target=serve)
        serving_thread.start()
        try:
            with closing(dial(f"127.0.0.1:{port}", source, authorize_fn=authorize_id(web))) as known:
                known.sendall(b"hello")
            other = SpiffeId(live.id("/workload/other"))
            with pytest.raises(TLSConnectionError):
                dial(f"127.0.0.1:{port}", source, authorize_fn=authorize_id(other))
        finally:
            serving_thread.join(10)
            listening.close()
    assert told[0] == b"hello"
    assert told[1] == b"Error"
    gc.collect()  # what it left open belongs to this test
