"""`jittrust identity`: who exists, who answers for whom, and the keys behind it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from jittrust.apps.cli.failure import DONE, REFUSED
from jittrust.apps.cli.options import AsJson, State
from jittrust.apps.cli.output import emit, moment, say, table
from jittrust.apps.cli.reach import asked, person
from jittrust.core.authority.map import AuthorityEntry
from jittrust.core.errors import BadInputError, NotFoundError
from jittrust.core.identity.attest import EvidenceKind, TrustedIssuer
from jittrust.core.identity.authority import AuthorityKind, AuthorityState, SigningAuthority
from jittrust.core.identity.entry import RegistrationEntry, Selector
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import Blueprint, Identity, IdentityState, Role
from jittrust.core.model import Json, SubjectKind
from jittrust.core.units import Seconds
from jittrust.ports.driving import Driving
from jittrust.ports.identities import IdentityChange, IdentityQuery, IdentityView, NewIdentity

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
entry_app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")
app.add_typer(entry_app, name="entry", help="Registration entries: which attested facts entitle to which identity.")

_MOST_BYTES = 32 << 20
_PAGE = 1000
_LEDGER_PAGE = 1000
_NAME = Annotated[
    str, typer.Argument(metavar="NAME", help="SPIFFE ID, path (/agent/coder) or another name (os:alice).")
]
_WHY = Annotated[str, typer.Option("--why", help="Goes into the ledger.")]


class RotateStep(StrEnum):
    """What `rotate` does."""

    STATUS = "status"
    PREPARE = "prepare"
    ACTIVATE = "activate"


# ---- the registry -------------------------------------------------------------------------------------------------------------------------


@app.command("ls")
def ls(
    kind: Annotated[SubjectKind | None, typer.Option("--kind", help="Only this kind.")] = None,
    owner: Annotated[str, typer.Option("--owner", help="Only what this person answers for.")] = "",
    standing: Annotated[IdentityState | None, typer.Option("--is", help="Only those that stand so.")] = None,
    text: Annotated[str, typer.Option("--match", help="Only those with this text in id, names or display.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="At most so many.")] = _PAGE,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """List identities: people, agents, workloads and workflows.

    [bold]For example[/bold]

      jittrust identity ls --kind agent --owner os:alice

      jittrust identity ls --is suspended --json
    """

    async def pages(driving: Driving) -> list[Identity]:
        found: list[Identity] = []
        while len(found) < limit:
            after = found[-1].id if found else ""
            query = IdentityQuery(kind, owner, standing, text, after, min(_PAGE, limit - len(found)))
            page = await driving.identities.list(query)
            found += page
            if len(page) < query.limit:
                break
        return found

    found = asked(state, pages)
    if as_json:
        emit({"identities": found})
        return DONE
    rows = ((i.id, i.kind, i.state, i.role or "-", i.owner or "-", i.why or "-") for i in found)
    table(("IDENTITY", "KIND", "STATE", "ROLE", "OWNER", "WHY"), rows, "There is no such identity.")
    return DONE


@app.command()
def show(name: _NAME, state: State = None, as_json: AsJson = False) -> int:
    """Show one identity: owner, state, names, lineage, blueprint, and whom it answers for.

    [bold]For example[/bold]

      jittrust identity show /agent/coder
    """
    view = asked(state, lambda driving: driving.identities.show(name))
    if as_json:
        emit(view)
        return DONE
    found = view.identity
    say(f"{found.id}  ({found.kind}, {found.state}{', ' + found.role if found.role else ''})")
    for head, value in (
        ("Shown as", found.display),
        ("Owner", found.owner),
        ("Names", ", ".join(found.names)),
        ("From", found.source),
        ("Blueprint", found.blueprint),
        ("Lineage", ", ".join(found.lineage)),
        ("Answers for", ", ".join(view.owned)),
        ("Entries", ", ".join(view.entries)),
        ("Changed", f"{moment(found.changed)} by {found.by or '-'}{': ' + found.why if found.why else ''}"),
    ):
        if value:
            say(f"  {head:<12}{value}")
    return DONE


@app.command()
def enrol(
    kind: Annotated[SubjectKind, typer.Argument(help="What it is.")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of its SPIFFE ID, such as /agent/coder.")],
    owner: Annotated[
        str, typer.Option("--owner", help="The accountable person; every kind but a person has one.")
    ] = "",
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Another name, kind:value, such as os:alice. Repeat it.")
    ] = None,
    display: Annotated[str, typer.Option("--display", help="For people.")] = "",
    blueprint: Annotated[str, typer.Option("--blueprint", help="What an agent was approved as.")] = "",
    role: Annotated[Role, typer.Option("--role", help="Of a person.")] = Role.NONE,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Register a person, agent, workload or workflow.

    [bold]For example[/bold]

      jittrust identity enrol person /person/alice --name os:alice

      jittrust identity enrol agent /agent/coder --owner os:alice --blueprint coder
    """
    new = NewIdentity(
        kind, path, owner, tuple(name or ()), display, blueprint=blueprint, role=role, source="cli", by=person()
    )
    made = asked(state, lambda driving: driving.identities.enrol(new))
    if as_json:
        emit(made)
        return DONE
    say(f"Enrolled {made.id}.")
    if made.lineage:
        say(f"It follows {', '.join(made.lineage)}: it starts low, its history is kept.")
    if kind is not SubjectKind.PERSON:
        say(f"Let it prove itself: jittrust identity entry add {path} --owner {owner} --selector unix:uid:1000")
    return DONE


@app.command()
def change(
    name: _NAME,
    suspend: Annotated[bool, typer.Option("--suspend", help="Stop it at once; it can be resumed.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let it go on.")] = False,
    owner: Annotated[str | None, typer.Option("--owner", help="Somebody else answers for it from now on.")] = None,
    role: Annotated[Role | None, typer.Option("--role", help="Of a person.")] = None,
    add_name: Annotated[list[str] | None, typer.Option("--name", help="One more name, kind:value.")] = None,
    why: _WHY = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Suspend, resume, hand over, or give a role. A person who is suspended takes every identity they own along.

    [bold]For example[/bold]

      jittrust identity change os:alice --suspend --why "left the company"
    """
    if suspend and resume:
        raise BadInputError("bad_usage", "Say one of --suspend and --resume", "See: jittrust identity change --help")
    to = IdentityState.SUSPENDED if suspend else IdentityState.ACTIVE if resume else None
    wanted = IdentityChange(to, owner, role, names=tuple(add_name or ()), why=why, by=person())
    return _changed(asked(state, lambda driving: driving.identities.change(name, wanted)), as_json=as_json)


@app.command()
def blueprint(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the blueprint.")],
    owner: Annotated[str, typer.Option("--owner", help="The accountable person.")],
    maximum: Annotated[
        Path | None,
        typer.Option(
            "--maximum", metavar="FILE", help="A mission file: its entries are the most such an agent may hold."
        ),
    ] = None,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="Set no maximum: missions alone decide.")] = False,
    model: Annotated[str, typer.Option("--model", help="SHA-256 of the model, 64 hex digits.")] = "",
    manifest: Annotated[str, typer.Option("--manifest", help="Digest of the tool manifest, 64 hex digits.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Draw a blueprint: what an agent is approved as. A changed digest makes its agents stale until they are attested again.

    [bold]For example[/bold]

      jittrust identity blueprint coder --owner os:alice --maximum coder.yaml
    """
    if (maximum is None) == (not unlimited):
        raise BadInputError("bad_usage", "Say one of --maximum FILE and --unlimited", "Empty is nothing, never all.")
    by = person()
    entries: tuple[AuthorityEntry, ...] = ()
    if maximum is not None:
        from jittrust.apps.mission_file import read_mission_file

        entries = tuple(read_mission_file(maximum).authority(by))

    async def draw(driving: Driving) -> Blueprint:
        answering = (await driving.identities.show(owner)).identity.id
        return await driving.identities.draw(
            Blueprint(name, answering, entries, unlimited=unlimited, model=model, manifest=manifest, by=by)
        )

    drawn = asked(state, draw)
    if as_json:
        emit(drawn)
    else:
        most = "no maximum" if drawn.unlimited else f"{len(drawn.maximum)} entries at most"
        say(f"Blueprint {drawn.id}, revision {drawn.revision}: {most}.")
    return DONE


@app.command()
def invite(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person: a path or another name; made when new.")],
    role: Annotated[Role, typer.Option("--role", help="What the person may do.")] = Role.VIEWER,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=10080, help="How long the link is good.")] = 60,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Print a one-time link with which a person enrols a passkey. The link is a secret.

    [bold]For example[/bold]

      jittrust identity invite /person/bob --role responder
    """
    life, by = Seconds(minutes * 60.0), person()
    made = asked(state, lambda driving: driving.people.invite(name, role, life, by))
    if as_json:
        emit(made)
        return DONE
    say(f"For {made.person}, once, until {moment(made.expires)}: open /console/enrol#{made.secret}")
    say("on the address at which people reach this server (`jittrust serve` prints it).")
    return DONE


# ---- registration entries -----------------------------------------------------------------------------------------------------------------


@entry_app.command("add")
def entry_add(
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the SPIFFE ID that is given, or the whole ID.")],
    owner: Annotated[str, typer.Option("--owner", help="The accountable person.")],
    selector: Annotated[
        list[str] | None,
        typer.Option("--selector", help="A fact that must have been attested, type:value. Repeat it: all must hold."),
    ] = None,
    kind: Annotated[SubjectKind, typer.Option("--kind", help="What is given the identity.")] = SubjectKind.WORKLOAD,
    blueprint_name: Annotated[str, typer.Option("--blueprint", help="What an agent was approved as.")] = "",
    federates_with: Annotated[list[str] | None, typer.Option("--federates-with", help="Foreign trust domain.")] = None,
    dns: Annotated[list[str] | None, typer.Option("--dns", help="DNS name in its X.509-SVID.")] = None,
    x509_seconds: Annotated[int, typer.Option("--x509-seconds", min=0, help="Life of X.509-SVIDs; 0: one hour.")] = 0,
    jwt_seconds: Annotated[int, typer.Option("--jwt-seconds", min=0, help="Life of JWT-SVIDs; 0: five minutes.")] = 0,
    hint: Annotated[str, typer.Option("--hint", help="Told to a workload with more than one identity.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Add a registration entry. Without selectors only a join token leads to it.

    [bold]For example[/bold]

      jittrust identity entry add /workload/db --owner os:alice --selector unix:uid:998 --selector unix:path:/usr/bin/postgres

      jittrust identity entry add /workflow/deploy --owner os:alice --kind workflow --selector oidc:github:repository:example/app
    """
    by = person()
    selectors = tuple(sorted({str(Selector.parse(text)) for text in selector or ()}))

    async def put(driving: Driving) -> RegistrationEntry:
        answering = (await driving.identities.show(owner)).identity.id
        own = answering.split("/")[2]
        return await driving.enrolment.put(
            RegistrationEntry(
                id="",
                spiffe_id=path if path.startswith("spiffe://") else f"spiffe://{own}{path}",
                kind=kind,
                selectors=selectors,
                owner=answering,
                blueprint=blueprint_name,
                x509_seconds=x509_seconds,
                jwt_seconds=jwt_seconds,
                federates_with=tuple(federates_with or ()),
                dns_names=tuple(dns or ()),
                hint=hint,
                by=by,
            )
        )

    made = asked(state, put)
    if as_json:
        emit(made)
    else:
        say(f"Entry {made.id}: {' and '.join(made.selectors) or 'a join token'} → {made.spiffe_id}")
    return DONE


@entry_app.command("ls")
def entry_ls(state: State = None, as_json: AsJson = False) -> int:
    """List registration entries."""
    found = asked(state, lambda driving: driving.enrolment.entries())
    if as_json:
        emit({"entries": found})
        return DONE
    rows = ((e.id, e.spiffe_id, e.kind, " and ".join(e.selectors) or "(join token)", e.owner) for e in found)
    table(("ENTRY", "GIVES", "KIND", "WHEN", "OWNER"), rows, "There is no entry: nobody is given an identity.")
    return DONE


@entry_app.command("rm")
def entry_rm(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Entry id.")],
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Forget an entry: whoever lived by it is given nothing any more."""
    asked(state, lambda driving: driving.enrolment.remove(entry))
    if as_json:
        emit({"removed": entry})
    else:
        say(f"{entry} is gone.")
    return DONE


@entry_app.command("invite")
def entry_invite(
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Entry id.")],
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=10080, help="How long the token is good.")] = 10,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Print a one-use join token for an entry. It is a secret."""
    life, by = Seconds(minutes * 60.0), person()
    ticket = asked(state, lambda driving: driving.enrolment.invite(entry, life, by))
    if as_json:
        emit(ticket)
        return DONE
    say(f"Join token  {ticket.token}")
    say(f"            once, for {ticket.spiffe_id}, until {moment(ticket.expires)}")
    return DONE


# ---- signing authorities --------------------------------------------------------------------------------------------------------------------


@app.command()
def rotate(
    step: Annotated[RotateStep, typer.Argument(help="What to do; `status` lists the authorities.")] = RotateStep.STATUS,
    kind: Annotated[AuthorityKind, typer.Option("--kind", help="Which authority.")] = AuthorityKind.X509,
    upstream_request: Annotated[
        bool,
        typer.Option(
            "--upstream-request", help="With prepare: print a certificate request for an existing CA to sign."
        ),
    ] = False,
    upstream_chain: Annotated[
        Path | None, typer.Option("--upstream-chain", metavar="FILE", help="With prepare: its answer, PEM, root last.")
    ] = None,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Rotate the trust domain's signing authority: prepare, give everybody time to see it, activate; then taint and revoke the old one.

    [bold]For example[/bold]

      jittrust identity rotate prepare

      jittrust identity rotate activate
    """
    by = person()

    async def go(driving: Driving) -> list[SigningAuthority]:
        if step is RotateStep.PREPARE:
            upstream = "request" if upstream_request else _text(upstream_chain) if upstream_chain else ""
            return [await driving.authorities.prepare(kind, by, upstream)]
        known = list(await driving.authorities.list())
        if step is RotateStep.ACTIVATE:
            ready = [a for a in known if a.kind is kind and a.state is AuthorityState.PREPARED]
            if not ready:
                raise NotFoundError(
                    "authority_unknown", f"No {kind} authority is prepared.", "jittrust identity rotate prepare"
                )
            return [await driving.authorities.activate(ready[0].id, by)]
        return known

    found = asked(state, go)
    if as_json:
        emit({"authorities": found})
        return DONE
    _authorities(found)
    if step is RotateStep.PREPARE and found[0].request:
        say(found[0].request)
        say("Let your CA sign it, then: jittrust identity rotate prepare --upstream-chain FILE")
    elif step is RotateStep.PREPARE:
        say("It is published. Give peers the bundle's refresh time, then: jittrust identity rotate activate")
    elif step is RotateStep.ACTIVATE:
        say("It signs. The one before is old: jittrust identity taint ID, then revoke ID.")
    return DONE


@app.command()
def taint(
    authority: Annotated[str, typer.Argument(metavar="ID", help="An old authority (x-… or j-…).")],
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Trust an authority no more: whatever it signed is replaced at once, and refused here after 30 seconds."""
    by = person()
    done = asked(state, lambda driving: driving.authorities.taint(authority, by))
    if as_json:
        emit(done)
    else:
        _authorities([done])
    return DONE


@app.command()
def revoke(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A tainted authority (x-… or j-…), or an identity, which is retired for good."
        ),
    ],
    why: _WHY = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Take a tainted authority out of the bundle, or retire an identity for good: its name is never given again.

    [bold]For example[/bold]

      jittrust identity revoke /agent/coder --why "repository archived"
    """
    by = person()
    if name.startswith(("x-", "j-")):
        done = asked(state, lambda driving: driving.authorities.revoke(name, by))
        if as_json:
            emit(done)
        else:
            _authorities([done])
        return DONE
    wanted = IdentityChange(IdentityState.RETIRED, why=why or "retired by a person", by=by)
    return _changed(asked(state, lambda driving: driving.identities.change(name, wanted)), as_json=as_json)


@app.command()
def issued(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Authority id, key id or key fingerprint.")],
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """List what was issued by a key, from the ledger.

    [bold]For example[/bold]

      jittrust identity issued x-3f9c --json
    """

    async def read(driving: Driving) -> list[Mapping[str, Json]]:
        import json

        from jittrust.core.identity.issued import issued_by

        found: list[Mapping[str, Json]] = []
        after = 0
        while page := await driving.ledger.entries(after, _LEDGER_PAGE):
            after += len(page)
            found += issued_by((json.loads(leaf) for leaf in page), key)
        return found

    found = asked(state, read)
    if as_json:
        emit({"key": key, "issued": found})
        return DONE
    rows = (
        (
            r.get("what"),
            r.get("spiffe_id"),
            r.get("serial") or r.get("jti"),
            moment(int(str(r.get("expires") or 0)) / 1000),
        )
        for r in found
    )
    table(("WHAT", "FOR", "SERIAL", "UNTIL"), rows, "Nothing was issued by this key.")
    return DONE


# ---- trust in others ------------------------------------------------------------------------------------------------------------------------


@app.command()
def federate(
    name: Annotated[str, typer.Argument(metavar="TRUST-DOMAIN", help="The foreign trust domain; none: list all.")] = "",
    url: Annotated[str, typer.Option("--url", help="Its bundle endpoint, https://…, as its admin told you.")] = "",
    profile: Annotated[
        EndpointProfile, typer.Option("--profile", help="How the endpoint proves itself.")
    ] = EndpointProfile.HTTPS_WEB,
    endpoint_id: Annotated[str, typer.Option("--endpoint-id", help="Its SPIFFE ID (https_spiffe).")] = "",
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", help="A SPIFFE ID of theirs that may enrol here, or a prefix ending in /*. Repeat it."
        ),
    ] = None,
    bundle_file: Annotated[
        Path | None, typer.Option("--bundle", metavar="FILE", help="Their bundle, carried here by hand.")
    ] = None,
    pin: Annotated[str, typer.Option("--pin", help="SHA-256 of their bundle, compared out of band.")] = "",
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask its endpoint now.")] = False,
    end: Annotated[bool, typer.Option("--end", help="Trust it no more, at once.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Trust another trust domain for exactly what you say, refresh it, or end it.

    [bold]For example[/bold]

      jittrust identity federate partner.example --url https://partner.example/.well-known/spiffe-bundle --pin SHA256 --accept 'spiffe://partner.example/ci/*'

      jittrust identity federate partner.example --end
    """
    by = person()

    async def go(driving: Driving) -> list[FederatedDomain]:
        if not name:
            return list(await driving.federation.list())
        if end:
            await driving.federation.end(name, by)
            return []
        if refresh:
            return [await driving.federation.refresh(name)]
        wanted = FederatedDomain(
            name, url, profile, endpoint_id, tuple(accept or ()), _text(bundle_file) if bundle_file else "", pin, by=by
        )
        return [await driving.federation.federate(wanted, by)]

    if refresh and end:
        raise BadInputError("bad_usage", "Say one of --refresh and --end", "See: jittrust identity federate --help")
    found = asked(state, go)
    if as_json:
        emit({"ended": name} if end else {"domains": found})
        return DONE
    if end:
        say(f"{name} is not trusted any more.")
        return DONE
    rows = ((d.id, d.sequence, moment(d.fetched), ", ".join(d.accepts) or "(nothing)", d.failure or "-") for d in found)
    table(("TRUST DOMAIN", "SEQUENCE", "FETCHED", "ACCEPTS", "FAILURE"), rows, "No other trust domain is trusted.")
    return DONE


@app.command()
def bundle(
    of: Annotated[
        str, typer.Option("--of", metavar="TRUST-DOMAIN", help="A federated domain's bundle; default: our own.")
    ] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Print the trust bundle as a SPIFFE JWKS document.

    [bold]For example[/bold]

      jittrust identity bundle > bundle.json && sha256sum bundle.json
    """

    async def read(driving: Driving) -> str:
        if not of:
            return await driving.bundles.own()
        found = (await driving.bundles.foreign()).get(of)
        if found is None:
            raise NotFoundError("federation_unknown", f"There is no bundle of {of}.", "jittrust identity federate")
        return found

    text = asked(state, read)
    if as_json:
        import json

        emit({"bundle": json.loads(text)})
    else:
        print(text)
    return DONE


@app.command()
def trust(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your name for the source; none: list all.")] = "",
    kind: Annotated[EvidenceKind, typer.Option("--kind", help="oidc, kubernetes or x509.")] = EvidenceKind.OIDC,
    issuer: Annotated[str, typer.Option("--issuer", help="Exact `iss` of its tokens.")] = "",
    audience: Annotated[str, typer.Option("--audience", help="Exact audience its tokens must name.")] = "",
    document: Annotated[
        Path | None, typer.Option("--document", metavar="FILE", help="Its JWK set, or root certificates (PEM).")
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="Take its word no more.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Take the word of an outside source as evidence: an OpenID issuer, a Kubernetes cluster, a certificate authority.

    [bold]For example[/bold]

      jittrust identity trust github --issuer https://token.actions.example.org --audience jittrust
    """
    by = person()

    async def go(driving: Driving) -> list[TrustedIssuer]:
        if not name:
            return list(await driving.sources.list())
        if end:
            await driving.sources.distrust(name, by)
            return []
        wanted = TrustedIssuer(name, kind, issuer, audience, _text(document) if document else "", by=by)
        return [await driving.sources.trust(wanted, by)]

    found = asked(state, go)
    if as_json:
        emit({"ended": name} if end else {"sources": found})
        return DONE
    if end:
        say(f"{name} is not trusted any more.")
        return DONE
    rows = ((i.id, i.kind, i.issuer or "-", i.audience or "-", "given" if i.document else "fetched") for i in found)
    table(("SOURCE", "KIND", "ISSUER", "AUDIENCE", "KEYS"), rows, "No outside source is trusted.")
    return DONE


@app.command("directory-token")
def directory_token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your name for the identity provider.")],
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Print a new bearer token with which an identity provider keeps users here (SCIM, at /scim/v2). The one before is dead."""
    by = person()
    token = asked(state, lambda driving: driving.sources.directory_token(name, by))
    if as_json:
        emit({"name": name, "token": token})
    else:
        say(token)
    return DONE


# ---- documents for this machine ------------------------------------------------------------------------------------------------------------


@app.command()
def fetch(
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="DIR", help="Write svid.pem, svid_key.pem, svid_bundle.pem there and follow rotation."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first time.")] = False,
    audience: Annotated[list[str] | None, typer.Option("--audience", help="Also a JWT-SVID for it. Repeat it.")] = None,
    spiffe_id: Annotated[str, typer.Option("--id", help="Which of several identities.")] = "",
    socket: Annotated[
        str, typer.Option("--socket", help="The Workload API; default: SPIFFE_ENDPOINT_SOCKET, then the state's.")
    ] = "",
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Fetch this process's documents from a SPIFFE Workload API, ours or another's.

    [bold]For example[/bold]

      jittrust identity fetch --write ./svid
    """
    import os

    from jittrust.apps.cli.identity_fetch import SOCKET_VARIABLE
    from jittrust.apps.cli.identity_fetch import fetch as fetched
    from jittrust.apps.cli.reach import state_of
    from jittrust.ports.wire import workload_socket_path

    place = socket or os.environ.get(SOCKET_VARIABLE, "") or f"unix://{workload_socket_path(state_of(state))}"
    return fetched(place, write, once=once, audience=audience or (), spiffe_id=spiffe_id, as_json=as_json)


@app.command()
def attest(
    url: Annotated[str, typer.Option("--url", help="The broker, https://… (http:// on this machine).")],
    write: Annotated[Path, typer.Option("--write", metavar="DIR", help="Where the documents and the key go.")],
    join_token: Annotated[
        str, typer.Option("--join-token", help="A one-use token.", envvar="JITTRUST_JOIN_TOKEN")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="A token of a trusted issuer.")
    ] = None,
    kind: Annotated[EvidenceKind, typer.Option("--kind", help="Of the token: oidc or kubernetes.")] = EvidenceKind.OIDC,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="A certificate of a trusted CA, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its key, PEM.")] = None,
    model: Annotated[str, typer.Option("--model", help="Digest of the model, as the blueprint pins it.")] = "",
    manifest: Annotated[str, typer.Option("--manifest", help="Digest of the tool manifest.")] = "",
    path: Annotated[str, typer.Option("--path", help="Which of several identities.")] = "",
    authorities: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="Authorities to believe about the URL.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Prove what this machine or job is, and write its documents. The key is made here and stays here; without evidence the SVID is renewed.

    [bold]For example[/bold]

      jittrust identity attest --url https://trust.example --join-token "$TOKEN" --write ./svid

      jittrust identity attest --url https://trust.example --token-file ./ci.jwt --write ./svid
    """
    from jittrust.apps.cli.identity_attest import AttestOrder
    from jittrust.apps.cli.identity_attest import attest as attested

    order = AttestOrder(
        url, write, join_token, token_file, str(kind), certificate, key, model, manifest, path, authorities
    )
    return attested(order, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Keycloak realm, or an Entra or Okta export (JSON).")],
    source: Annotated[str, typer.Option("--source", help="keycloak, entra or okta; default: recognised.")] = "",
    owner: Annotated[str, typer.Option("--owner", help="Who answers for what has no owner over there.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
    state: State = None,
    as_json: AsJson = False,
) -> int:
    """Take identities over from an identity provider's export. Secrets in it are counted, and never kept or shown.

    [bold]For example[/bold]

      jittrust identity import realm.json --owner os:alice --dry-run
    """
    from jittrust.apps.cli.identity_import import ImportReport, run_import
    from jittrust.core.identity.importing import ImportPlan, plan_import
    from jittrust.core.identity.spiffe_id import SpiffeId

    document, by = _text(file).encode("utf-8"), person()

    async def go(driving: Driving) -> tuple[ImportPlan, ImportReport]:
        known = await driving.identities.list(IdentityQuery(limit=1))
        if not known:
            raise NotFoundError(
                "identity_unknown", "Nobody is registered yet.", "jittrust identity enrol person /person/NAME"
            )
        plan = plan_import(document, source, SpiffeId.parse(known[0].id).trust_domain)
        return plan, await run_import(driving.identities, plan, owner or f"os:{by}", dry_run=dry_run, by=by)

    plan, report = asked(state, go)
    if as_json:
        emit({"report": report, "findings": plan.findings, "problems": plan.problems})
        return REFUSED if report.failed or plan.problems else DONE
    say(f"{plan.source}: {len(plan.identities)} identities{' (nothing was changed)' if dry_run else ''}")
    for head, paths in (("New", report.created), ("Known", report.known), ("Suspended", report.suspended)):
        say(f"  {head:<10}{len(paths)}")
    for problem in (*plan.problems, *report.failed):
        say(f"  not taken  {problem.place}: {problem.code}")
    if plan.findings:
        say(f"  {len(plan.findings)} long-lived secrets lie over there; --json lists them (never their values).")
    return REFUSED if report.failed or plan.problems else DONE


# ---- bits ---------------------------------------------------------------------------------------------------------------------------------


def _changed(view: IdentityView, *, as_json: bool) -> int:
    if as_json:
        emit(view)
        return DONE
    found = view.identity
    say(f"{found.id} is {found.state}{', ' + found.role if found.role else ''}.")
    if found.state is not IdentityState.ACTIVE and view.owned:
        say(f"With it stopped: {', '.join(view.owned)}")
    if view.ended:
        say(f"Missions ended: {', '.join(view.ended)}")
    return DONE


def _authorities(found: list[SigningAuthority]) -> None:
    rows = ((a.id, a.kind, a.state, "upstream" if a.upstream else "own", moment(a.ends), a.by or "-") for a in found)
    table(
        ("AUTHORITY", "SIGNS", "STATE", "ROOT", "UNTIL", "BY"),
        rows,
        "There is no authority yet: the first document makes one.",
    )


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise BadInputError("file_too_large", f"{file} has more than {_MOST_BYTES} bytes", "Is it the right file?")
        return raw.decode("utf-8")
    except OSError as error:
        raise BadInputError(
            "file_unreadable", f"{file} cannot be read: {error.strerror}", "Name a file that is there."
        ) from error
    except UnicodeDecodeError:
        raise BadInputError("file_unreadable", f"{file} is no UTF-8 text", "Give the text form (PEM, JSON).") from None
