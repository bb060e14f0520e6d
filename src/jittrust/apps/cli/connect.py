"""`jittrust connect`: any stdio MCP client with a key of its own and the newest pass. Parses its own few flags; a client starts this with every server."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jittrust.core.errors import BadInputError, JitError, UnavailableError

if TYPE_CHECKING:
    from jittrust.core.grant.proof import ProofSigner
    from jittrust.core.secret import Secret
    from jittrust.pep.connect.logins import Login, Machine
    from jittrust.pep.connect.transport import BrokerTransport
    from jittrust.ports.agent_key import AgentKeyStore

HELP: Final = """\
Usage: jittrust connect [OPTIONS] URL

Is a stdio MCP server that carries everything to the MCP server URL behind a broker (jittrust serve), over HTTP. It holds a key, proves it with every
request, keeps the newest pass, and renews its grant while it may. Put it where the server's command stood in your MCP client.

Options:
  --goal TEXT             What the agent is to do; the person who says yes reads it. Default: work with the server. (browser, ciba)
  --agent NAME            Name of the agent: each has a key of its own. Default: connect.
  --key FILE|keyring      Where the key is, or is made: a file of mode 0600, or the keyring of this machine. Default: in the state directory.
  --login WAY             How it gets its grant. Default: browser.
                            browser          a person says yes in the browser of this machine
                            ciba             a person says yes elsewhere: jittrust approve
                            svid             this workload's JWT-SVID, from --svid or $SPIFFE_ENDPOINT_SOCKET
                            token-file FILE  what `jittrust grant new --json` printed, mode 0600; its key is --key
  --svid FILE|SOCKET      A file with a JWT-SVID, or a Workload API socket (unix:///…).
  --person NAME           Who is asked (ciba). Default: you.
  --lanes N               Most calls at once that are asked for, 1 to 16. Default: 4.
  --minutes N             How long the mission is to last. Default: as the server has it.
  --gas N                 Spending limit of each grant. Default: as the server has it.
  --state DIR             Where all state lies; default: the platform's data directory.
  --json                  Errors as one JSON object.
  --help                  This page.

For example, in an MCP client's configuration:
  {"mcpServers": {"git": {"command": "jittrust", "args": ["connect", "https://trust.example.org/mcp/git", "--goal", "Review the open changes"]}}}
"""
_TEXTS: Final = (
    *("--goal", "--agent", "--key", "--login", "--svid", "--person", "--lanes", "--minutes", "--gas", "--state"),
)
_WAYS: Final = ("browser", "ciba", "svid", "token-file")
_KEYRING: Final = "keyring"
_MOST: Final = {"--lanes": 16, "--minutes": 1440, "--gas": 1_000_000}
_LONGEST_GOAL: Final = 4000
_LONGEST_NAME: Final = 64
DEFAULT_LANES: Final = 4


@dataclass(frozen=True, slots=True)
class ConnectAsked:
    """What was asked for. `token_file`: the file after `--login token-file`; 0 leaves a number to the server."""

    url: str = ""
    goal: str = ""
    agent: str = "connect"
    key: str = ""
    login: str = "browser"
    token_file: str = ""
    svid: str = ""
    person: str = ""
    lanes: int = DEFAULT_LANES
    minutes: int = 0
    gas: int = 0
    state: str = ""
    wants_help: bool = False


def parse(arguments: Sequence[str]) -> ConnectAsked:
    """Read the flags.

    Raises:
        BadInputError: code `unknown_option` (with a suggestion), `option_without_value`, `option_twice`, `option_bad_value`, `url_missing` or
            `bad_usage`.
    """
    left, found, urls, token_file = list(arguments), {}, [], ""
    while left:
        word, equals, value = left.pop(0).partition("=")
        if word in {"--help", "-h"}:
            return ConnectAsked(wants_help=True)
        if word == "--json" and not equals:
            continue
        if word in _TEXTS:
            value = value if equals else _value(word, left)
            if word in found:
                raise BadInputError("option_twice", f"{word} is given twice", _SEE)
            found[word] = value
            if (word, value) == ("--login", "token-file"):
                token_file = _value("--login token-file", left)
        elif word.startswith("-"):
            raise _unknown(word)
        else:
            urls.append(f"{word}{equals}{value}")
    if len(urls) != 1:
        raise BadInputError("url_missing", "Give the address of one MCP server", "jittrust connect URL")
    return _checked(urls[0], found, token_file)


_SEE: Final = "See: jittrust connect --help"


def _value(word: str, left: list[str]) -> str:
    if not left or left[0].startswith("--"):
        raise BadInputError("option_without_value", f"{word} needs a value", _SEE)
    return left.pop(0)


def _unknown(word: str) -> BadInputError:
    from difflib import get_close_matches

    near = get_close_matches(word, [*_TEXTS, "--json"], n=1)
    return BadInputError(
        "unknown_option", f"jittrust connect has no option {word}", f"Did you mean {near[0]}?" if near else _SEE
    )


def _checked(url: str, found: dict[str, str], token_file: str) -> ConnectAsked:
    way, agent, goal = found.get("--login", "browser"), found.get("--agent", "connect"), found.get("--goal", "")
    if way not in _WAYS:
        raise BadInputError("option_bad_value", f"--login takes {', '.join(_WAYS)}, not {way[:40]!r}", _SEE)
    plain = agent.isascii() and all(letter.isalnum() or letter in "._-" for letter in agent)
    if not plain or not 0 < len(agent) <= _LONGEST_NAME or agent.startswith("."):
        raise BadInputError(
            "option_bad_value", f"--agent takes a name of at most {_LONGEST_NAME} letters, digits, . _ and -", _SEE
        )
    if len(goal) > _LONGEST_GOAL or not all(letter.isprintable() or letter == "\n" for letter in goal):
        raise BadInputError("option_bad_value", f"--goal takes at most {_LONGEST_GOAL} readable characters", _SEE)
    if way == "token-file" and not found.get("--key"):
        raise BadInputError(
            "bad_usage",
            "A token from a file is bound to a key",
            "Name it: --key FILE, as in jittrust grant new --new-key FILE",
        )
    if way in {"svid", "token-file"} and goal:
        raise BadInputError(
            "bad_usage",
            f"With --login {way} nobody is asked, so no goal is stated",
            "jittrust mission start --goal TEXT",
        )
    if "--svid" in found and way != "svid":
        raise BadInputError("bad_usage", "--svid goes with --login svid", _SEE)
    numbers = {name: _number(name, found[name]) for name in _MOST if name in found}
    return ConnectAsked(
        url=url,
        goal=goal,
        agent=agent,
        key=found.get("--key", ""),
        login=way,
        token_file=token_file,
        svid=found.get("--svid", ""),
        person=found.get("--person", ""),
        lanes=numbers.get("--lanes", DEFAULT_LANES),
        minutes=numbers.get("--minutes", 0),
        gas=numbers.get("--gas", 0),
        state=found.get("--state", ""),
    )


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:12]) <= _MOST[name]):
        raise BadInputError("option_bad_value", f"{name} takes 1 to {_MOST[name]}, not {text[:40]!r}", _SEE)
    return int(text)


def main(arguments: Sequence[str]) -> int:
    """Carry messages until the client leaves."""
    asked = parse(arguments)
    if asked.wants_help:
        print(HELP, end="")
        return 0
    import asyncio

    try:
        return asyncio.run(_connect(asked))
    except JitError as error:
        if "--json" not in arguments:
            raise
        # Standard output belongs to the protocol.
        import json

        told = {"code": error.code, "message": error.message, "next_step": error.next_step}
        print(json.dumps({"error": told}), file=sys.stderr)
        return error.exit_code


async def _connect(asked: ConnectAsked) -> int:
    from jittrust.pep.connect.bridge import ConnectOptions
    from jittrust.pep.connect.carrier import Carrier
    from jittrust.pep.connect.discovery import base_of, check_address
    from jittrust.pep.connect.holder import GrantHolder
    from jittrust.pep.connect.run import run_connect
    from jittrust.pep.connect.transport import BrokerTransport

    check_address(asked.url)
    machine = _machine(agent_key(key_store(asked), make=asked.login != "token-file"))
    async with BrokerTransport() as transport:
        holder = GrantHolder(
            _login(asked, transport, machine), machine, limit=lambda grant: min(grant.lanes, asked.lanes)
        )
        return await run_connect(Carrier(transport, holder, machine, asked.url, base_of(asked.url)), ConnectOptions())


def key_store(asked: ConnectAsked) -> AgentKeyStore:
    """Where the agent's key is kept.

    Raises:
        JitError: the state directory or the keyring cannot be used.
    """
    if asked.key == _KEYRING:
        from jittrust.adapters.keyring.agent_key import AgentKeyring

        return AgentKeyring(asked.agent)
    from jittrust.adapters.files.agent_key import AgentKeyFile
    from jittrust.apps.cli.reach import state_of
    from jittrust.apps.state_dir import make_private

    if asked.key:
        return AgentKeyFile(Path(asked.key).expanduser().absolute())
    folder = make_private(make_private(state_of(Path(asked.state) if asked.state else None)) / "connect")
    return AgentKeyFile(folder / f"{asked.agent}.jwk")


def agent_key(store: AgentKeyStore, *, make: bool) -> ProofSigner:
    """The agent's key, made on first use unless `make` is off.

    Raises:
        UnavailableError: code `state_exposed`, `agent_key_unusable`.
        BadInputError: code `key_missing` or `key_broken`.
    """
    import json
    import secrets

    from jittrust.core.grant.jws import encode
    from jittrust.core.grant.proof import Es256Signer
    from jittrust.core.secret import Secret

    kept = store.read()
    if kept is None:
        if not make:
            raise BadInputError(
                "key_missing", "There is no key file", "Make it with: jittrust grant new --new-key FILE"
            )
        # The first bit is cleared, so that the number is always below the order of the curve.
        secret = bytes((secrets.randbits(7) | 1,)) + secrets.token_bytes(31)
        made = Es256Signer.from_secret(secret)
        jwk = {**made.jwk, "alg": "ES256", "d": encode(secret).decode("ascii")}
        kept = store.make(Secret(json.dumps(jwk).encode("ascii") + b"\n"))
    return read_key(kept)


def read_key(kept: Secret) -> ProofSigner:
    """The signer behind a private JWK: P-256, or Ed25519 (RFC 7517, RFC 8037).

    Raises:
        BadInputError: code `key_broken`.
    """
    from jittrust.core.grant.jws import decode
    from jittrust.core.grant.proof import Ed25519Signer, Es256Signer
    from jittrust.core.strict_json import parse_object

    try:
        jwk = parse_object(kept.reveal(), max_bytes=16384)
        secret = decode(str(jwk.get("d")).encode("ascii"))
        made: Es256Signer | Ed25519Signer | None = (
            Ed25519Signer.from_secret(secret) if jwk.get("kty") == "OKP" else Es256Signer.from_secret(secret)
        )
        whole = made is not None and all(jwk.get(name) == value for name, value in made.jwk.items())
    except (BadInputError, ValueError):
        whole, made = False, None
    if made is None or not whole:
        raise BadInputError(
            "key_broken", "The key is no private key of ours (JWK, P-256 or Ed25519)", "Name another: --key FILE."
        )
    return made


def _machine(signer: ProofSigner) -> Machine:
    import secrets
    import time

    from jittrust.adapters.system.clock import SteadyClock
    from jittrust.apps.cli.failure import clean
    from jittrust.pep.connect.logins import Machine

    def tell(words: str) -> None:
        sys.stderr.write(f"jittrust: {clean(words)}\n")
        sys.stderr.flush()

    clock = SteadyClock()
    return Machine(
        signer=signer,
        steady=time.monotonic,
        wall=lambda: float(clock()),
        random=lambda: secrets.token_urlsafe(32),
        draw=lambda: secrets.randbelow(1 << 32) / (1 << 32),
        tell=tell,
        browse=_browse,
    )


def _browse(address: str) -> bool:
    """Show an address; what a browser prints goes to standard error, for standard output belongs to the protocol."""
    import os
    import webbrowser

    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _login(asked: ConnectAsked, transport: BrokerTransport, machine: Machine) -> Login:
    from jittrust.apps.cli.reach import person
    from jittrust.pep.connect.logins import BackchannelLogin, BrowserLogin, FileLogin, Wanted, WorkloadLogin

    if asked.login == "token-file":
        return FileLogin(machine, lambda: _private(Path(asked.token_file).expanduser()))
    goal = asked.goal or f"Work with the MCP server at {asked.url}."
    wanted = Wanted(asked.url, goal, asked.agent, asked.person or person(), asked.minutes, asked.gas, asked.lanes)
    if asked.login == "svid":
        return WorkloadLogin(transport, machine, wanted, _svid_source(asked.svid))
    return (BrowserLogin if asked.login == "browser" else BackchannelLogin)(transport, machine, wanted)


def _private(path: Path) -> bytes:
    from jittrust.adapters.files.agent_key import read_private

    found = read_private(path)
    if found is None:
        raise UnavailableError("token_file_missing", f"There is no file {path}", "See: jittrust connect --help")
    return found


def _svid_source(named: str) -> Callable[[str], Awaitable[str]]:
    """A fresh JWT-SVID for an audience: from a file that somebody keeps fresh, or from the Workload API."""
    import os

    from jittrust.apps.cli.identity_fetch import SOCKET_VARIABLE, socket_path

    where = named or os.environ.get(SOCKET_VARIABLE, "")
    file = Path(named).expanduser()
    if named and not named.startswith("unix:") and not file.is_socket():

        async def from_file(audience: str) -> str:  # noqa: ARG001 - whoever wrote the file chose it
            return _private(file).decode("ascii", "replace").strip()

        return from_file
    path = socket_path(where)

    async def from_socket(audience: str) -> str:
        from jittrust.adapters.workloadapi.client import WorkloadClient

        async with WorkloadClient(path) as client:
            return (await client.jwt_svids((audience,)))[0].token

    return from_socket
