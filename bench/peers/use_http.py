"""One server process for `bench use`: a raw ASGI application that does a full checked use, or checks the two signatures and nothing else."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvicorn
import uvloop
from bench.use import URL, Full, Holder, opened, sqlite
from nacl.signing import VerifyKey

from jittrust.adapters.system.clock import SteadyClock
from jittrust.core.errors import JitError
from jittrust.core.grant import jws
from jittrust.core.grant.present import PresentedRequest
from jittrust.pep.asgi import AsgiApp, Receive, Scope, Send


async def answer(send: Send, status: int, live: str = "") -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    if live:
        headers.append((b"dpop-nonce", live.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def asked_of(scope: Scope) -> PresentedRequest:
    named = dict(scope["headers"])
    return PresentedRequest("POST", URL, [named[b"authorization"].decode()], [named[b"dpop"].decode()])


def full_app(full: Full) -> AsgiApp:
    count = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal count
        await receive()
        count += 1
        try:
            following = await full.use(asked_of(scope), count)
        except JitError:
            following = None
        await answer(send, 403 if following is None else 200, following or "")

    return app


def bare_app(token_key: bytes, known: dict[str, bytes]) -> AsgiApp:
    """Both signatures with libsodium, claims parsed, no more: the same headers in and out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        asked = asked_of(scope)
        token = asked.authorization[0][5:]
        for text, key in ((token, token_key), (asked.proofs[0], known[token])):
            signed, _, signature = text.rpartition(".")
            VerifyKey(key).verify(signed.encode(), jws.decode(signature.encode()))
            json.loads(jws.decode(signed.split(".")[1].encode()))
        await answer(send, 200, "n" * 60)

    return app


async def main(mode: str, port: int, folder: Path, flight: int) -> None:
    async with opened(sqlite(folder), SteadyClock()) as full:
        held: list[tuple[bytes, Holder]] = []
        known: dict[str, bytes] = {}
        for holder in await full.holders(flight):
            held.append((bytes(holder.signer.key), holder))
            known[holder.token] = bytes(holder.signer.key.verify_key)
        app = full_app(full) if mode == "full" else bare_app(full.keys["k1"], known)
        config = uvicorn.Config(app, port=port, log_level="error", access_log=False, lifespan="off", loop="none")
        serving = asyncio.create_task(uvicorn.Server(config).serve())
        told = [{"secret": secret.hex(), "token": one.token, "pass": one.live} for secret, one in held]
        print(json.dumps({"holders": told}), flush=True)
        await serving


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
