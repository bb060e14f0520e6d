"""docs/openapi.yaml against a running server: what Schemathesis makes up from it never ends in a 5xx, and every answer is one that it describes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from nacl.signing import SigningKey
from starlette.routing import BaseRoute, Route
from tests.authzen import FOLDER
from tests.model.world import SEED, world
from tests.serving import Running, gateway

from jittrust.api.authzen.app import authzen_routes
from jittrust.api.authzen.callers import Callers
from jittrust.api.authzen.evaluation import TokenCheck
from jittrust.api.oauth.app import oauth_routes
from jittrust.core.secret import Secret

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "openapi.yaml"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
EXAMPLES = 10
SEED_NUMBER = 7


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("described")
    command = {"command": sys.executable, "args": [str(ROOT / "examples/servers/files.py"), "--data", str(folder)]}
    with gateway(folder, {"files": command}, authzen={"folder": str(FOLDER)}, oauth={"registration": True}) as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "least"), [("/access/|authzen", 500), ("/oauth|/schemas", 200)], ids=["decisions", "tokens"]
)
def test_whatever_is_sent_is_answered_as_described_and_never_with_a_5xx(
    running: Running, part: str, least: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "run", str(DOCUMENT), "--url", running.url]
    command += ["--checks", CHECKS, "--seed", str(SEED_NUMBER), "--max-examples", str(EXAMPLES)]
    command += ["--include-path-regex", part, "--workers", "1", "--no-color"]
    if "access" in part:
        # An enforcement point; clients of the authorization server have no secret to send.
        command += ["-H", f"Authorization: Bearer {(running.state / 'pep.token').read_text('ascii').strip()}"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path)

    found = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert found is not None
    assert int(found[1]) == int(found[2]) >= least
    assert "Traceback" not in running.log.read_text("utf-8")


def described() -> set[tuple[str, str]]:
    told: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text("utf-8"))
    return {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}


async def test_every_endpoint_is_described_and_nothing_else() -> None:
    broker = (await world()).broker
    driving, inner = broker.driving, broker.inner
    callers = Callers(Secret(b"pep"), driving.bundles, driving.identities, "urn:test")
    tokens = TokenCheck("urn:test", {"kid": bytes(SigningKey(SEED).verify_key)}, lambda: 0.0)  # type: ignore[arg-type, return-value]
    routes: list[BaseRoute] = [
        *oauth_routes(inner, "http://localhost", "http://localhost", ("files",), registration=True),
        *authzen_routes(driving, inner, "http://localhost", callers, None, tokens),
    ]
    served = {route.path for route in routes if isinstance(route, Route)}

    paths = {path for _, path in described()}
    written = {path.replace("mcp/{server}", "mcp/files") for path in paths}
    written = {re.sub(r"/search/\w+$", "/search/{kind}", path) for path in written}
    assert written == served
