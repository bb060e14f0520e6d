"""`jittrust grant`: ephemeral access grants for clients that hold a key, or carry a bearer token."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from jittrust.apps.cli.failure import DONE
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, moment, say, table
from jittrust.apps.cli.reach import asked, person
from jittrust.core.errors import BadInputError
from jittrust.core.grant.grant import PassBinding, Strictness
from jittrust.core.model import Json
from jittrust.core.units import Gas, Seconds
from jittrust.ports.grants import NewGrant

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
_MOST_KEY_BYTES = 16384


@app.command()
def new(
    agent: Annotated[str, typer.Option("--agent", help="Name of the agent it is for.")],
    server: Annotated[str, typer.Option("--server", help="The MCP server it is for, as in /mcp/NAME.")],
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The agent's public key (JWK): enrol it.")
    ] = None,
    new_key: Annotated[
        Path | None,
        typer.Option("--new-key", metavar="FILE", help="Make a P-256 key for the agent: the private JWK goes to FILE."),
    ] = None,
    bearer: Annotated[
        bool, typer.Option("--bearer", help="No key: the gateway keeps the passes. Weaker: a copied token works.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="An old pass shown again kills the grant at once (for clients that never race)."),
    ] = False,
    gas: Annotated[int | None, typer.Option("--gas", min=1, help="Spending limit.")] = None,
    ttl: Annotated[int | None, typer.Option("--ttl-seconds", min=1, help="Life.")] = None,
    lanes: Annotated[int, typer.Option("--lanes", min=1, max=16, help="Parallel chains of passes.")] = 1,
    mission: Annotated[str, typer.Option("--mission", help="Mission id; default: your current one.")] = "",
    request: Annotated[str, typer.Option("--request", help="Your own id: the same id gives the same grant.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Open a grant for your current mission and print its token and first pass. Both are secrets.

    [bold]For example[/bold]

      jittrust grant new --agent reporter --server git --new-key reporter.jwk

      jittrust grant new --agent reporter --server git --bearer --json
    """
    if sum((key is not None, new_key is not None, bearer)) != 1:
        raise BadInputError(
            "bad_usage", "Say one of --key FILE, --new-key FILE or --bearer", "See: jittrust grant new --help"
        )
    jkt = "" if bearer else _enrolled(key) if key else _made(new_key or Path())
    wanted = NewGrant(
        person=person(),
        agent=agent,
        server=server,
        binding=PassBinding.GATEWAY if bearer else PassBinding.DPOP,
        jkt=jkt,
        strictness=Strictness.STRICT if strict else Strictness.STOCK,
        mission=mission,
        gas=None if gas is None else Gas(gas),
        ttl=None if ttl is None else Seconds(ttl),
        lanes=lanes,
        request=request,
    )
    issued = asked(state, lambda driving: driving.grants.open(wanted))
    if as_json:
        emit(issued)
        return DONE
    found = issued.grant
    say(
        f"Grant       {found.id} for {found.agent} on {found.server}, {int(found.gas_left)} gas, until {moment(found.expires)}"
    )
    say(f"Token       {issued.token}")
    if issued.first_pass:
        say(f"First pass  {issued.first_pass}    (the nonce of the first DPoP proof)")
    else:
        say("No key is bound to it: whoever has the token can use it. Prefer --new-key.")
    return DONE


@app.command("list")
def list_(
    mission: Annotated[str, typer.Option("--mission", help="Only of this mission.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """List grants, newest first.

    [bold]For example[/bold]

      jittrust grant list --json
    """
    grants = asked(state, lambda driving: driving.grants.list(mission))
    if as_json:
        emit({"grants": grants})
        return DONE
    rows = (
        (
            g.id,
            g.state,
            g.agent,
            g.server or "(all)",
            g.binding,
            f"{int(g.gas_left)}/{int(g.gas_limit)}",
            moment(g.expires),
        )
        for g in grants
    )
    table(("GRANT", "STATE", "AGENT", "SERVER", "PASSES BY", "GAS", "UNTIL"), rows, "There is no grant.")
    return DONE


@app.command()
def revoke(
    grant: Annotated[str, typer.Argument(metavar="GRANT", help="Grant id.")],
    why: Annotated[str, typer.Option("--why", help="Goes into the ledger.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """End a grant and its whole family at once.

    [bold]For example[/bold]

      jittrust grant revoke g-9x1 --why "laptop lost"
    """
    ended = asked(state, lambda driving: driving.grants.revoke(grant, why or "revoked by a person", person()))
    if as_json:
        emit({"grant": ended})
    else:
        say(f"{ended.id} is {ended.state}.")
    return DONE


def _enrolled(file: Path) -> str:
    """Thumbprint of the public key in a file."""
    from jittrust.core.grant.jws import import_key
    from jittrust.core.strict_json import parse_object

    try:
        with file.open("rb") as opened:
            raw = opened.read(_MOST_KEY_BYTES)
    except OSError as error:
        raise BadInputError(
            "key_missing", f"{file} cannot be read: {error.strerror}", "Give a public JWK with --key FILE."
        ) from error
    jwk: dict[str, Json] = dict(parse_object(raw))
    # The private part stays with the agent and is dropped before anything else sees it.
    jwk.pop("d", None)
    return import_key(jwk).jkt


def _made(file: Path) -> str:
    """A new P-256 key: every stock DPoP client speaks ES256. The file is never overwritten."""
    from jittrust.core.grant.jws import encode
    from jittrust.core.grant.proof import Es256Signer

    secret = secrets.token_bytes(32)
    signer = Es256Signer.from_secret(secret)
    private = {**signer.jwk, "alg": "ES256", "d": encode(secret).decode("ascii")}
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise BadInputError(
            "key_not_written", f"{file} cannot be made: {error.strerror}", "Name a file that does not exist yet."
        ) from error
    with os.fdopen(opened, "w", encoding="utf-8") as out:
        out.write(json.dumps(private) + "\n")
    return signer.jkt
