"""An agent with nothing but its X.509-SVID: it authenticates by TLS, gets a grant bound to the certificate, and nobody else can use the token."""

from __future__ import annotations

import base64
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import serialization
from tests.attesting import fresh, pem, request_of
from tests.serving import gateway

from jittrust.apps.cli.reach import person
from jittrust.core.authority.map import AuthorityEntry, EntryState
from jittrust.core.identity.entry import RegistrationEntry
from jittrust.core.identity.identity import Role
from jittrust.core.model import SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.driving import Driving
from jittrust.ports.identities import NewIdentity

ECHO = Path(__file__).parents[2] / "bench" / "peers" / "echo_stdio.py"
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "hello"}}}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "echo",
}


def certificate(folder: Path) -> tuple[Path, Path]:
    """The server's own, for its address."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "1",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(chain)], check=True, capture_output=True)
    key.chmod(0o600)
    return chain, key


async def enrolled(driving: Driving, path: str) -> str:
    """A join token for an agent of the person at this machine."""
    domain = (
        await driving.identities.enrol(
            NewIdentity(
                SubjectKind.PERSON,
                f"/person{path}",
                names=(f"os:{person()}",) if path == "/agent/one" else (),
                role=Role.ADMIN,
            )
        )
    ).id.removesuffix(f"/person{path}")
    owner = f"{domain}/person{path}"
    entry = await driving.enrolment.put(
        RegistrationEntry("", f"{domain}{path}", SubjectKind.AGENT, (), owner, by="root")
    )
    return (await driving.enrolment.invite(entry.id, Seconds(600), "root")).token


async def documents(
    http: aiohttp.ClientSession, url: str, trusting: ssl.SSLContext, token: str, folder: Path
) -> dict[str, Any]:
    """An X.509-SVID for a join token; chain and key lie in the folder."""
    key = fresh()
    asked = {
        "evidence": {"kind": "join_token", "document": token},
        "request": base64.b64encode(request_of(key)).decode(),
    }
    async with http.post(f"{url}/identity/v1/svid", json=asked, ssl=trusting) as reply:
        assert reply.status == 200, await reply.text()
        told: dict[str, Any] = await reply.json()
    folder.mkdir()  # noqa: ASYNC240 - once
    (folder / "svid.pem").write_text(pem([base64.b64decode(der) for der in told["chain"]]))
    (folder / "svid.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return told


def showing(trusting: ssl.SSLContext, folder: Path, chain: Path) -> ssl.SSLContext:
    del trusting
    made = ssl.create_default_context(cafile=str(chain))
    made.load_cert_chain(folder / "svid.pem", folder / "svid.key")
    return made


async def test_a_grant_bound_to_a_certificate_is_worth_nothing_without_it(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    listen = {"port": 0, "tls_certificate": str(chain), "tls_key": str(key)}
    servers = {"echo": {"command": sys.executable, "args": [str(ECHO)]}}
    trusting = ssl.create_default_context(cafile=str(chain))
    with gateway(tmp_path / "g", servers, listen=listen) as there:
        entry = AuthorityEntry("e-1", "echo/echo", state=EntryState.APPROVED, approved_by="ada", why="said so")
        async with aiohttp.ClientSession() as http:
            async with there.person() as driving:
                first, second = await enrolled(driving, "/agent/one"), await enrolled(driving, "/agent/two")
            told = await documents(http, there.url, trusting, first, tmp_path / "one")
            await documents(http, there.url, trusting, second, tmp_path / "two")
            await there.mission("Echo what I say.", [entry])
            # The gateway looks for new roots every few seconds; ours was there from the first.
            mine, other = (showing(trusting, tmp_path / name, chain) for name in ("one", "two"))
            form = {
                "grant_type": "client_credentials",
                "client_id": told["spiffe_id"],
                "resource": f"{there.url}/mcp/echo",
            }
            async with http.post(f"{there.url}/oauth/token", data=form, ssl=mine) as reply:
                assert reply.status == 200, await reply.text()
                token = (await reply.json())["access_token"]
            async with http.post(f"{there.url}/oauth/token", data=form, ssl=other) as reply:
                assert reply.status == 401
            body = {**CALL, "params": {**CALL["params"], "_meta": META}}  # type: ignore[dict-item]
            answers = {}
            for name, context in (("mine", mine), ("other", other), ("none", trusting)):
                headers = {**HEADERS, "Authorization": f"Bearer {token}"}
                async with http.post(f"{there.url}/mcp/echo", json=body, headers=headers, ssl=context) as reply:
                    answers[name] = (reply.status, b"hello" in await reply.read())
            assert answers == {"mine": (200, True), "other": (401, False), "none": (401, False)}
