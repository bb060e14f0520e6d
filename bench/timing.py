"""Whether the time of a refusal tells what is known: Welch's t between two kinds of wrong, interleaved, in process where nothing hides it.

    python -m bench timing [--samples 20000] [--json]

|t| < 4.5 passes (the bound of TVLA and dudect), and so does a difference of the medians below 50 ns: in process and without a network, tens
of nanoseconds come from where texts lie and what the processor has guessed. Both the whole samples and those below their common 95th
percentile are compared, and the larger |t| counts: on a busy machine outliers hide differences. What nobody keeps secret is measured and
told, and does not fail the run: whether a client id is known (RFC 6749 §2.2), and whether there is a chain of refresh tokens of that id (a
dictionary that finds compares one text more: about 10 ns).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gc
import inspect
import itertools
import json
import math
import random
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from joserfc.jwk import ECKey
from tests.attack.test_token_attacks import ATTACKS, KEYS, RULES
from tests.authenticator import Authenticator
from tests.oauthing import CREDENTIALS, TOKEN, KeyClient, OAuthWorld, key, oauth_world, working
from tests.people import people

from jittrust.broker.oauth.clients import CONNECT
from jittrust.core.errors import JitError
from jittrust.core.grant import passes
from jittrust.core.grant.grant import PassBinding
from jittrust.core.grant.present import check_presentation
from jittrust.core.oauth.renewal import Renewal
from jittrust.core.oauth.spiffe_client import JWT_ASSERTION
from jittrust.core.units import Instant
from jittrust.ports.authorization_server import ClientProof
from jittrust.ports.grants import NewGrant

BOUND: Final = 4.5
LEAST_NS: Final = 50.0
"""Below this a difference counts as none, whatever its t: half of what careful attackers resolve on a local network (Crosby et al., 2009)."""
Once = Callable[[str], object]
_LONG: Final = 0.05  # seconds


def welch(first: Sequence[float], second: Sequence[float]) -> float:
    """Welch's t of two samples."""
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return (statistics.fmean(first) - statistics.fmean(second)) / math.sqrt(spread) if spread else 0.0


def larger(first: Sequence[float], second: Sequence[float]) -> float:
    """The larger |t| of the whole samples and of what lies below their common 95th percentile."""
    pooled = sorted((*first, *second))
    edge = pooled[int(len(pooled) * 0.95)]
    below = [one for one in first if one < edge], [one for one in second if one < edge]
    return max(abs(welch(first, second)), abs(welch(*below)))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two kinds of wrong that are asked in the same way; `secret`: whether they must not be told apart.

    Each text is asked about once, where there are enough: where a text lies in memory takes its own time, and would be measured instead.
    """

    ask: Once
    first: Sequence[str]
    second: Sequence[str]
    secret: bool = True


def interleaved(first: Callable[[], str], second: Callable[[], str], samples: int) -> tuple[list[str], list[str]]:
    """Texts of both kinds, made in turn and in the same way, so that they lie in memory alike."""
    made = [(str.encode(first()).decode(), str.encode(second()).decode()) for _ in range(samples)]
    return [one for one, _ in made], [other for _, other in made]


async def sampled(pair: Pair, samples: int) -> tuple[list[float], list[float]]:
    """Nanoseconds of both, in an order that is drawn, after a warm-up."""
    found: tuple[list[float], list[float]] = ([], [])
    draw = random.Random(57)
    order = [0, 1] * (samples + 200)
    draw.shuffle(order)
    texts = itertools.cycle(pair.first), itertools.cycle(pair.second)
    gc.collect()
    gc.disable()
    try:
        for turn, which in enumerate(order):
            text = next(texts[which])
            began = time.perf_counter_ns()
            try:
                said = pair.ask(text)
                if inspect.isawaitable(said):
                    await said
            except JitError:
                pass
            took = time.perf_counter_ns() - began
            if turn >= 400:
                found[which].append(float(took))
            if not turn % 1000:
                gc.collect()
    finally:
        gc.enable()
    return found


def forged(seen: str, at: int) -> str:
    """A pass with one byte of its MAC changed, counted from its end."""
    data = bytearray(base64.urlsafe_b64decode(seen + "=" * (-len(seen) % 4)))
    data[at] ^= 1
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def nearly(secret: str) -> Callable[[], str]:
    """Makes the same text but for its last characters.

    Beside what is nearly right stands what is as nearly something else: alike texts are read faster than random ones, whatever they are compared with.
    """
    return lambda: secret[:-4] + secrets.token_urlsafe(3)


async def chained(there: OAuthWorld) -> str:
    """A live refresh token."""
    mission = there.broker.state.current("ada")
    assert mission is not None
    server: Any = there.broker.inner.authorization
    opened = await there.broker.driving.grants.open(NewGrant("ada", CONNECT, "srv", PassBinding.DPOP, key().jkt))
    renewal = Renewal(
        id="n-1", person="ada", agent=CONNECT, client=CONNECT, mission=mission.id, server="srv", jkt=key().jkt,
        grant=opened.grant.id, expires=mission.expires,
    )  # fmt: skip
    token: str = await server._renewals.begin(renewal)  # noqa: SLF001 - as an answered code does
    return token


async def pairs(there: OAuthWorld, samples: int) -> dict[str, Pair]:
    """By name."""
    server: Any = there.broker.inner.authorization
    status: Any = there.broker.inner.tokens
    live, pass_key = await chained(there), secrets.token_bytes(32)
    find = server._renewals.find  # noqa: SLF001 - the part that is measured, without the signatures around it that would hide it
    numbers = itertools.count()

    def mac() -> str:
        return secrets.token_urlsafe(32)

    def forged_at(at: int) -> Callable[[], str]:
        return lambda: forged(passes.mint(pass_key, 1, "g-7f3a9c21", 0, next(numbers)), at)

    chains = interleaved(lambda: f"jtr_n-2.0.{mac()}", lambda: f"jtr_n-1.0.{mac()}", samples)
    await there.client(CREDENTIALS, name="client-k")
    stranger = ECKey.generate_key("P-256", {"kid": "c1"})
    caller = ClientProof(client=CONNECT)
    desk = await people()
    session = (await desk.enrol(Authenticator())).secret

    def assertions(name: str) -> list[str]:
        client = KeyClient(there, name, stranger)
        return [client.assertion() for _ in range(min(samples, 256))]

    def authenticate(assertion: str) -> object:
        proof = ClientProof(assertion=assertion, assertion_type=JWT_ASSERTION)
        return server._clients.authenticate(proof, (TOKEN,))  # noqa: SLF001 - as above

    cookies = interleaved(nearly(session), nearly(secrets.token_urlsafe(64)[: len(session)]), samples)
    shown = interleaved(forged_at(-16), forged_at(-1), samples)
    tokens = interleaved(nearly(live), nearly(f"jtr_n-1.0.{mac()}"), samples)
    return {
        "session: a cookie that is nearly right, or not at all": Pair(
            desk.world.broker.driving.people.session, *cookies
        ),
        "pass: first or last byte of the MAC": Pair(lambda text: passes.read(pass_key, 1, text), *shown),
        "renewal: unknown chain, or a known one with a wrong secret": Pair(find, *chains, secret=False),
        "renewal: a secret that is nearly right, or not at all": Pair(find, *tokens),
        "introspection: unknown chain, or a known one with a wrong secret": Pair(
            lambda token: status.introspect(token, caller), *chains, secret=False
        ),
        "client: unknown id, or a known one with a wrong signature": Pair(
            authenticate, assertions("client-z"), assertions("client-k"), secret=False
        ),
    }


def refusals() -> dict[str, Any]:
    """How long the refusal of each attack on tokens and proofs takes, in processor time."""
    took: list[float] = []
    for attack in ATTACKS:
        request = attack.request()
        began = time.process_time()
        with contextlib.suppress(JitError):
            check_presentation(request, KEYS, RULES, Instant(attack.now))
        took.append(time.process_time() - began)
    return {
        "attacks": len(took),
        "over_50_ms": sum(one > _LONG for one in took),
        "slowest_ms": round(max(took) * 1000, 2),
    }


async def measured(samples: int) -> dict[str, Any]:
    """One object: each pair's |t|, and whether it may be told apart."""
    there = await oauth_world()
    await working(there)
    rows: dict[str, Any] = {}
    for name, pair in (await pairs(there, samples)).items():
        one, other = await sampled(pair, samples)
        t, apart = larger(one, other), abs(statistics.median(one) - statistics.median(other))
        rows[name] = {
            "t": round(t, 2),
            "median_us": [round(statistics.median(side) / 1000, 2) for side in (one, other)],
            "secret": pair.secret,
            "difference_ns": round(apart, 1),
            "passed": t < BOUND or apart < LEAST_NS or not pair.secret,
        }
    return {
        "id": "timing",
        "value": max(row["t"] for row in rows.values() if row["secret"]),
        "bound": BOUND,
        "samples": [samples, samples],
        "pairs": rows,
        "refusals": refusals(),
        "passed": all(row["passed"] for row in rows.values()),
    }


def main() -> int:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    result = asyncio.run(measured(chosen.samples))
    print(json.dumps(result, indent=None if chosen.json else 2))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
