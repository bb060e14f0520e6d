"""`ports.attenuation` with Biscuits: whoever holds the token adds a block of checks to it and hands it on; nobody takes a block off again.

The first block, which only we sign, says `grant`, `jkt`, `audience` and `expires`. What holders may look at in their checks:

| fact | of the call |
|---|---|
| `action("tools/call")` | its MCP method |
| `server("files")`, `tool("read_file")` | where it goes |
| `arg("path", "/tmp/a")` | every argument that is text |
| `time(2026-11-24T12:00:00Z)` | now |

A further block holds checks and nothing else (`check if`, `check all`), and what they ask for must be there: an argument that is no text, or longer
than `LONGEST_ARGUMENT`, fails every check on it. `reject if` is not taken, because it would pass for what it does not see.

The library's own limits are looked at between two steps of an evaluation, not inside one, so a holder could make one step last for minutes. What
makes that possible is refused by its spelling: facts and rules of a holder's own, `arg($any, …)` (it would match every argument, and two of them every
pair), closures, patterns, joined texts. Then every condition matches one fact at most, and time is linear in the length of the token.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jittrust.core.errors import BadInputError, RefusedError, UnavailableError
from jittrust.core.units import Instant
from jittrust.ports.attenuation import Attenuated, Attenuation

MOST_BYTES = 8192
"""Longest token, as for every other access token: what common servers take in a header field."""
MOST_BLOCKS = 16
MOST_CONDITIONS = 4096
"""Longest text of all further blocks together, in characters."""
LONGEST_ARGUMENT = 4096
"""Longest argument that a condition sees, in characters."""
MOST_ARGUMENTS = 256
MOST_FACTS = 500
MOST_ROUNDS = 10
MOST_TIME = timedelta(milliseconds=20)
_REMEMBERED = 512
_LATEST = 2**53
_PURPOSE: Final = b"jittrust biscuit root key 1"
# Nothing that would have to be escaped in Datalog.
_TEXT = r"[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]{1,512}"
_FIRST = re.compile(
    rf'grant\("(?P<grant>{_TEXT})"\);\njkt\("(?P<jkt>{_TEXT})"\);\naudience\("(?P<audience>{_TEXT})"\);\n'
    r"expires\((?P<expires>[0-9]{1,16})\);\n"
)
_TOKEN = re.compile(r"[A-Za-z0-9_-]+={0,2}")
# Both look at what the library prints, where texts are not escaped: what they let through is the safe kind whatever stands in a text.
_CHECKS = re.compile(r"(?:check (?:if|all) [^\n]+;\n)+")
_COSTLY = re.compile(r"\barg\((?!\")|->|\bmatches\(| \+ |\bextern\b|\btrusting\b")


def attenuation_of(key: bytes) -> Attenuation | None:
    """Such tokens, their root key derived from a secret of the broker (>= 32 bytes); None where the extra `biscuit` is not installed."""
    try:
        return BiscuitAttenuation(hmac.new(key, _PURPOSE, hashlib.sha256).digest())
    except UnavailableError:
        return None


class BiscuitAttenuation:
    """Makes and reads them. One thread at a time, as the broker's loop is one."""

    def __init__(self, seed: bytes) -> None:
        """`seed`: 32 bytes, the private Ed25519 key of the first block, used for nothing else.

        Raises:
            UnavailableError: code `extra_missing`: biscuit-python is not installed.
        """
        try:
            self._library: Any = importlib.import_module("biscuit_auth")
        except ImportError:
            raise UnavailableError(
                "extra_missing", "Narrowing needs biscuit-python.", "pip install 'jittrust[biscuit]'"
            ) from None
        self._key = self._library.PrivateKey.from_bytes(seed, self._library.Algorithm.Ed25519)
        self._root = self._library.KeyPair.from_private_key(self._key).public_key
        self._known: OrderedDict[str, tuple[Attenuated, Any]] = OrderedDict()

    @property
    def public_key(self) -> bytes:
        """The root's public Ed25519 key, 32 bytes: holders whose library wants to verify a token before it adds a block need it."""
        return bytes(self._root.to_bytes())

    def mint(self, first: Attenuated) -> str:
        """See `Attenuation.mint`. Raises BadInputError: code `bad_value`: a text that a first block does not hold."""
        parameters = {
            "grant": first.grant,
            "jkt": first.jkt,
            "audience": first.audience,
            "expires": int(first.expires),
        }
        source = "grant({grant}); jkt({jkt}); audience({audience}); expires({expires});"
        if not all(re.fullmatch(_TEXT, text) for text in (first.grant, first.jkt, first.audience)):
            raise BadInputError("bad_value", "A grant, key or audience has a sign that such a token does not hold.")
        return str(self._library.BiscuitBuilder(source, parameters).build(self._key).to_base64()).rstrip("=")

    def read(self, token: str) -> Attenuated:
        """See `Attenuation.read`."""
        return self._verified(token)[0]

    def forbids(self, token: str, facts: Mapping[str, str], now: Instant) -> str:
        """See `Attenuation.forbids`."""
        try:
            first, biscuit = self._verified(token)
        except RefusedError as error:
            return error.message
        if now >= first.expires:
            return "the token has expired"
        arguments = {name[4:]: value for name, value in facts.items() if name.startswith("arg:")}
        if len(arguments) > MOST_ARGUMENTS:
            return f"it has more than {MOST_ARGUMENTS} arguments"
        told = [
            self._library.Fact("arg({name}, {value})", {"name": name, "value": value})
            for name, value in arguments.items()
            if len(value) <= LONGEST_ARGUMENT
        ]
        told += [
            self._library.Fact(f"{name}({{value}})", {"value": facts[name]})
            for name in ("action", "tool", "server")
            if name in facts
        ]
        told.append(self._library.Fact("time({now})", {"now": datetime.fromtimestamp(float(now), UTC)}))
        try:
            builder = self._library.AuthorizerBuilder("allow if true")
            for fact in told:
                builder.add_fact(fact)
            limits = builder.limits()
            limits.max_facts, limits.max_iterations, limits.max_time = MOST_FACTS, MOST_ROUNDS, MOST_TIME
            builder.set_limits(limits)
            builder.build(biscuit).authorize()
        except BaseException as error:  # a panic of the library is no Exception
            if not _of_library(error):
                raise
            return _in_words(error)
        return ""

    def _verified(self, token: str) -> tuple[Attenuated, Any]:
        known = self._known.get(token)
        if known is not None:
            self._known.move_to_end(token)
            return known
        if len(token) > MOST_BYTES or _TOKEN.fullmatch(token) is None:
            raise _invalid("it is no token of this kind")
        biscuit, strangers, sources = self._opened(token)
        if len(sources) > MOST_BLOCKS:
            raise _invalid(f"it has {len(sources)} blocks, {MOST_BLOCKS} are taken")
        if strangers:
            raise _invalid("a third party signed a block of it")
        found = _FIRST.fullmatch(sources[0])
        if found is None or int(found["expires"]) >= _LATEST:
            raise _invalid("its first block is not one of this broker's")
        if sum(map(len, sources[1:])) > MOST_CONDITIONS:
            raise _invalid(f"its conditions have more than {MOST_CONDITIONS} characters")
        if not all(_CHECKS.fullmatch(source) for source in sources[1:]):
            raise _invalid("its further blocks may hold `check if` and `check all` only, each on one line")
        if any(_COSTLY.search(source) for source in sources[1:]):
            raise _invalid("a condition names no argument, joins texts, or has a pattern or a closure")
        first = Attenuated(found["grant"], found["jkt"], found["audience"], Instant(int(found["expires"])))
        self._known[token] = (first, biscuit)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return first, biscuit

    def _opened(self, token: str) -> tuple[Any, bool, list[str]]:
        """The token with its signatures checked, whether a third party signed a block of it, and its blocks in words."""
        try:
            biscuit = self._library.Biscuit.from_base64(token + "=" * (-len(token) % 4), self._root)
            numbers = range(int(biscuit.block_count()))
            strangers = any(biscuit.block_external_key(number) is not None for number in numbers)
            return biscuit, strangers, [str(biscuit.block_source(number)) for number in numbers]
        except BaseException as error:  # as above
            if not _of_library(error):
                raise
            raise _invalid("it cannot be read, or its signatures do not hold") from None


def _of_library(error: BaseException) -> bool:
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _in_words(error: BaseException) -> str:
    said = str(error)
    failed = said.partition("checks failed: ")[2] or said
    return failed[:400] or type(error).__name__


def _invalid(why: str) -> RefusedError:
    return RefusedError("invalid_token", f"The narrowed token is no good: {why}.", "Ask for a new grant.")
