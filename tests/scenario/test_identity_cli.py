"""`jittrust identity` as a person types it, against the broker that it starts by itself."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jittrust.adapters.localca.certificate_authority import LocalCertificateAuthority
from jittrust.adapters.memory.key_store import MemoryKeyStore
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.bundle import TrustBundle, write_bundle
from jittrust.core.identity.spiffe_id import TrustDomain
from jittrust.core.units import Instant

Ask = Callable[..., Any]


def bundle_of(name: str) -> str:
    now = Instant(time.time())
    ca = LocalCertificateAuthority(MemoryKeyStore(), secrets.token_bytes)
    made = ca.make(AuthorityKind.X509, TrustDomain(name), now, Instant(now + 3600))
    return write_bundle(TrustBundle(name, tuple(base64.b64decode(root) for root in made.roots), sequence=1))


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    state = tmp_path / "state"
    (tmp_path / "jittrust.yaml").write_text("identity: {trust_domain: one.test}\nstore: {idle_exit_seconds: 5}\n")
    state.mkdir(mode=0o700)
    (tmp_path / "jittrust.yaml").rename(state / "jittrust.yaml")

    def run(*words: str, code: int = 0, refused: str = "") -> Any:  # noqa: ANN401 - whatever the command prints
        command = [sys.executable, "-m", "jittrust.apps.cli.main", "identity", *words, "--json", "--state", str(state)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        told = json.loads((done.stdout or done.stderr).splitlines()[-1])
        if refused:
            assert done.returncode in {1, 2}
            assert told["error"]["code"] == refused
        else:
            assert done.returncode == code, done.stdout + done.stderr
        return told

    return run


def test_a_registry_from_the_first_person_to_a_leaver(ask: Ask) -> None:
    person = ask("enrol", "person", "/person/ada", "--name", "os:ada", "--role", "admin")
    assert person["id"] == "spiffe://one.test/person/ada"
    ask("enrol", "person", "/person/bob", "--name", "os:bob", "--role", "admin")
    drawn = ask("blueprint", "coder", "--owner", "os:bob", "--unlimited")
    assert (drawn["id"], drawn["unlimited"], drawn["revision"]) == ("coder", True, 1)
    agent = ask("enrol", "agent", "/agent/coder", "--owner", "os:bob", "--blueprint", "coder")
    assert agent["owner"] == "spiffe://one.test/person/bob"
    entry = ask("entry", "add", "/agent/coder", "--owner", "os:bob", "--kind", "agent", "--blueprint", "coder")
    assert len(ask("entry", "invite", entry["id"])["token"]) > 40
    assert [e["id"] for e in ask("entry", "ls")["entries"]] == [entry["id"]]
    assert ask("change", "os:bob", "--suspend", "--why", "left")["owned"] == ["spiffe://one.test/agent/coder"]
    shown = ask("show", "/agent/coder")["identity"]
    assert (shown["state"], shown["why"]) == ("suspended", "owner_left")
    ask("change", "os:ada", "--suspend", refused="last_admin")
    assert len(ask("ls", "--is", "suspended")["identities"]) == 2
    ask("entry", "rm", entry["id"])
    assert ask("revoke", "/agent/coder")["identity"]["state"] == "retired"


def test_rotation_trust_and_what_is_refused(ask: Ask, tmp_path: Path) -> None:
    bundle = ask("bundle")["bundle"]
    assert {key["use"] for key in bundle["keys"]} == {"x509-svid", "jwt-svid"}
    (first,) = [a for a in ask("rotate")["authorities"] if a["kind"] == "x509"]
    ask("taint", first["id"], refused="illegal_move")
    ask("rotate", "prepare")
    ask("rotate", "prepare", refused="authority_prepared")
    ask("rotate", "activate")
    assert ask("taint", first["id"])["state"] == "tainted"
    assert ask("revoke", first["id"])["state"] == "revoked"
    after = ask("bundle")["bundle"]
    assert after["spiffe_sequence"] > bundle["spiffe_sequence"]
    old = [key["x5c"] for key in bundle["keys"] if key["use"] == "x509-svid"]
    assert not [key for key in after["keys"] if key.get("x5c") in old]
    assert ask("issued", first["id"])["issued"] == []

    theirs = tmp_path / "theirs.json"
    theirs.write_text(json.dumps(bundle))
    ask("federate", "two.test", "--bundle", str(theirs), "--accept", "spiffe://two.test/ci/*", refused="bundle_bad")
    theirs.write_text(bundle_of("two.test"))
    (made,) = ask("federate", "two.test", "--bundle", str(theirs), "--accept", "spiffe://two.test/ci/*")["domains"]
    assert made["accepts"] == ["spiffe://two.test/ci/*"]
    assert ask("bundle", "--of", "two.test")["bundle"]["keys"]
    assert ask("federate", "two.test", "--end") == {"ended": "two.test"}
    ask("federate", "three.test", "--url", "https://three.test/b", refused="federation_bad")
    ask("trust", "github", "--issuer", "https://issuer.example", "--audience", "jittrust")
    assert ask("trust")["sources"][0]["id"] == "github"
    assert len(ask("directory-token", "corp")["token"]) > 40
    ask("show", "/agent/nobody", refused="identity_unknown")


def test_an_export_is_taken_over_and_tells_of_secrets_without_showing_them(ask: Ask, tmp_path: Path) -> None:
    ask("enrol", "person", "/person/ada", "--name", "os:ada", "--role", "admin")
    export = Path(__file__).parents[1] / "exports" / "keycloak.json"
    planned = ask("import", str(export), "--owner", "os:ada", "--dry-run", code=1)
    assert planned["report"]["dry_run"]
    assert planned["report"]["created"]
    assert len(ask("ls")["identities"]) == 1
    done = ask("import", str(export), "--owner", "os:ada", code=1)
    assert done["report"]["created"] == planned["report"]["created"]
    assert ask("import", str(export), "--owner", "os:ada", code=1)["report"]["created"] == []
    assert done["findings"]
    assert "secret_value" not in json.dumps(done)
