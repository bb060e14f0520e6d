"""The main address over HTTPS: the bundle as profile https_web, and what a wrong certificate or key is told."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from jittrust.apps.tls import server_context
from jittrust.core.errors import BadInputError


def certificate(folder: Path) -> tuple[Path, Path]:
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        [
            *(
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
            ),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(chain)),
        ],
        check=True,
        capture_output=True,
    )
    key.chmod(0o600)
    return chain, key


async def test_the_bundle_is_served_over_https_and_not_sent_twice(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    config = tmp_path / "jittrust.yaml"
    config.write_text(
        f"servers: {{none: {{command: '{sys.executable}', args: ['-c', '0']}}}}\n"
        f"listen: {{tls_certificate: '{chain}', tls_key: '{key}'}}\n"
    )
    command = [*(sys.executable, "-m", "jittrust.apps.cli.main", "serve", "--config", str(config)), "--json"]
    command += ["--state", str(tmp_path / "state"), "--port", "0"]
    trusting = ssl.create_default_context(cafile=str(chain))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: ASYNC220 - once
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["url"].startswith("https://")
        assert told["console"].startswith("https://localhost:")
        address = told["url"].replace("127.0.0.1", "localhost") + "/.well-known/spiffe-bundle"
        async with aiohttp.ClientSession() as http:
            async with http.get(address, ssl=trusting) as first:
                bundle = json.loads(await first.text())
                assert first.headers["content-type"] == "application/json"
            assert {key["use"] for key in bundle["keys"]} == {"x509-svid", "jwt-svid"}
            assert bundle["spiffe_sequence"] >= 1
            unchanged = {"if-none-match": first.headers["etag"]}
            async with http.get(address, ssl=trusting, headers=unchanged) as second:
                assert (second.status, await second.read()) == (304, b"")
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await http.get(address)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_a_key_that_others_may_read_or_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    server_context(chain, key)
    key.chmod(0o640)
    with pytest.raises(BadInputError) as exposed:
        server_context(chain, key)
    assert exposed.value.code == "tls_key_exposed"
    (tmp_path / "other").mkdir()
    _, other = certificate(tmp_path / "other")
    for wrong in (other, tmp_path / "nothing.pem"):
        with pytest.raises(BadInputError) as unusable:
            server_context(chain, wrong)
        assert unusable.value.code == "tls_unusable"
