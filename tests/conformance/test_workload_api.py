"""The SPIFFE Workload API, asked by the unmodified `spiffe` client and by clients that mean harm."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import pytest
from grpclib.client import Channel, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from spiffe import JwtSource, TrustDomain, WorkloadApiClient, X509Source
from spiffe.workloadapi.errors import FetchJwtSvidError, FetchX509SvidError, ValidateJwtSvidError
from tests.workload import ME, LiveWorkloads, binary, live_workloads

from jittrust.api.workload.face import LOOK_SECONDS, STREAMS_OF_PID
from jittrust.core.identity.authority import AuthorityKind
from jittrust.core.identity.federate import EndpointProfile, FederatedDomain
from jittrust.core.identity.identity import IdentityState
from jittrust.ports.workload_messages import (
    FETCH_JWT_SVID,
    FETCH_X509_SVID,
    HEADER,
    VALIDATE_JWT_SVID,
    WorkloadMethod,
)

T = TypeVar("T")
OWN = TrustDomain("jittrust.test")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveWorkloads]:
    with live_workloads(tmp_path) as found:
        yield found


@pytest.fixture
def client(live: LiveWorkloads) -> Iterator[WorkloadApiClient]:
    with WorkloadApiClient(live.address) as made:
        yield made


def until(true: Any, seconds: float = 5.0) -> float:  # noqa: ANN401
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - began


def present(found: T | None) -> T:
    assert found is not None
    return found


def jws_claims(token: str) -> Any:  # noqa: ANN401
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


# ---- the five calls ---------------------------------------------------------------------------------------------------------------------


def test_an_x509_svid_comes_with_its_key_its_chain_and_what_to_trust(
    live: LiveWorkloads, client: WorkloadApiClient
) -> None:
    live.entitle("/workload/web", ME, f"unix:path:{binary()}", dns_names=("web.example",), hint="inside")

    context = client.fetch_x509_context()

    svid = context.default_svid
    assert str(svid.spiffe_id) == live.id("/workload/web")
    assert client.fetch_x509_svids()[0].leaf.serial_number == svid.leaf.serial_number
    assert svid.private_key.public_key() == svid.leaf.public_key()
    roots = present(context.x509_bundle_set.get_bundle_for_trust_domain(OWN)).x509_authorities
    assert roots
    svid.cert_chain[-1].verify_directly_issued_by(next(iter(roots)))


def test_every_document_is_in_the_ledger_by_serial_and_by_key(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    live.entitle("/workload/web")
    svid = client.fetch_x509_svid()
    token = client.fetch_jwt_svid(audience={"db"})

    x509, jwt = live.records()

    assert (x509["what"], x509["serial"]) == ("x509", f"{svid.leaf.serial_number:x}")
    assert x509["spiffe_id"] == jwt["spiffe_id"] == live.id("/workload/web")
    assert jwt["what"] == "jwt"
    assert jwt["jti"] == jws_claims(token.token)["jti"]
    assert token.token not in str(live.records())


def test_the_x509_bundle_is_that_of_the_trust_domain(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    live.entitle("/workload/web")

    bundles = client.fetch_x509_bundles()

    assert present(bundles.get_bundle_for_trust_domain(OWN)).x509_authorities


def test_a_jwt_svid_holds_by_the_bundle_that_the_same_api_gives(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    live.entitle("/workload/web")
    svid = client.fetch_jwt_svid(audience={"db", "cache"})
    bundle = present(client.fetch_jwt_bundles().get_bundle_for_trust_domain(OWN))

    from spiffe import JwtSvid

    checked = JwtSvid.parse_and_validate(svid.token, bundle, {"db"})

    assert str(checked.spiffe_id) == live.id("/workload/web")
    assert svid.audience == {"db", "cache"}


def test_a_jwt_svid_is_validated_for_exactly_its_audience(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    live.entitle("/workload/web")
    token = client.fetch_jwt_svid(audience={"db"}).token

    assert str(client.validate_jwt_svid(token, "db").spiffe_id) == live.id("/workload/web")
    with pytest.raises(ValidateJwtSvidError):
        client.validate_jwt_svid(token, "cache")
    with pytest.raises(ValidateJwtSvidError):
        client.validate_jwt_svid(token[:-4] + "AAAA", "db")


def test_a_process_with_two_identities_gets_both_and_may_name_one(
    live: LiveWorkloads, client: WorkloadApiClient
) -> None:
    live.entitle("/workload/a")
    live.entitle("/workload/b", hint="second")

    assert [str(one.spiffe_id) for one in client.fetch_x509_svids()] == [live.id("/workload/a"), live.id("/workload/b")]
    named = client.fetch_jwt_svid(audience={"x"}, subject=client.fetch_x509_svids()[1].spiffe_id)
    assert str(named.spiffe_id) == live.id("/workload/b")


# ---- rotation ---------------------------------------------------------------------------------------------------------------------------


def test_a_source_follows_the_rotation_of_the_signing_authority_at_once(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    with X509Source(socket_path=live.address) as source:
        before = source.get_x509_context().default_svid.leaf.serial_number
        live.rotate(AuthorityKind.X509)
        took = until(lambda: source.get_x509_context().default_svid.leaf.serial_number != before)

        assert took < 1
        assert len(present(source.get_bundle_for_trust_domain(OWN)).x509_authorities) == 2


def test_a_jwt_source_follows_the_bundle(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    with JwtSource(socket_path=live.address) as source:
        source.fetch_svid(audience={"db"})
        before = set(present(source.get_bundle_for_trust_domain(OWN)).jwt_authorities)
        made = live.rotate(AuthorityKind.JWT)
        until(lambda: set(present(source.get_bundle_for_trust_domain(OWN)).jwt_authorities) != before)

        assert made in present(source.get_bundle_for_trust_domain(OWN)).jwt_authorities


def test_a_document_past_half_of_its_life_is_replaced_and_not_before(live: LiveWorkloads) -> None:
    live.entitle("/workload/web", x509_seconds=600)
    with X509Source(socket_path=live.address) as source:
        first = source.get_x509_context().default_svid.leaf.serial_number
        live.clock.ahead = 290.0
        time.sleep(LOOK_SECONDS + 0.3)
        assert source.get_x509_context().default_svid.leaf.serial_number == first
        live.clock.ahead = 301.0
        until(lambda: source.get_x509_context().default_svid.leaf.serial_number != first)


def test_what_does_not_concern_a_process_gives_it_no_new_document(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    with X509Source(socket_path=live.address) as source:
        before = source.get_x509_context().default_svid.leaf.serial_number
        for number in range(20):
            live.entitle(f"/workload/other-{number}", "unix:uid:4294967294")
        time.sleep(0.3)

        assert source.get_x509_context().default_svid.leaf.serial_number == before
    assert len(live.records()) == 1


# ---- federation -------------------------------------------------------------------------------------------------------------------------


def test_a_foreign_bundle_goes_to_those_whose_entry_names_it_until_federation_ends(
    live: LiveWorkloads, tmp_path: Path
) -> None:
    away = TrustDomain("partner.test")
    elsewhere = tmp_path / "partner"
    elsewhere.mkdir()
    with live_workloads(elsewhere, "partner.test") as partner:
        partner.entitle("/workload/them")
        with WorkloadApiClient(partner.address) as theirs:
            token = theirs.fetch_jwt_svid(audience={"db"}).token
            roots = present(theirs.fetch_x509_bundles().get_bundle_for_trust_domain(away)).x509_authorities
        document = partner.do(partner.broker.driving.bundles.own())
    domain = FederatedDomain("partner.test", "", EndpointProfile.HTTPS_WEB, bundle=document)
    live.do(live.broker.driving.federation.federate(domain, "ada"))
    entry = live.entitle("/workload/web")
    with X509Source(socket_path=live.address) as source, WorkloadApiClient(live.address) as ours:
        assert source.get_bundle_for_trust_domain(away) is None
        with pytest.raises(ValidateJwtSvidError, match="not trusted here"):
            ours.validate_jwt_svid(token, "db")

        live.do(live.broker.driving.enrolment.put(replace(entry, federates_with=("partner.test",))))
        until(lambda: source.get_bundle_for_trust_domain(away) is not None)
        assert present(source.get_bundle_for_trust_domain(away)).x509_authorities == roots
        assert present(ours.fetch_jwt_bundles().get_bundle_for_trust_domain(away)).jwt_authorities
        assert str(ours.validate_jwt_svid(token, "db").spiffe_id) == "spiffe://partner.test/workload/them"

        live.do(live.broker.driving.federation.end("partner.test", "ada"))
        assert until(lambda: source.get_bundle_for_trust_domain(away) is None) < 1
        with pytest.raises(ValidateJwtSvidError):
            ours.validate_jwt_svid(token, "db")


# ---- who gets nothing -------------------------------------------------------------------------------------------------------------------


def test_without_a_matching_entry_there_is_no_identity(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    live.entitle("/workload/web", "unix:uid:4294967294")
    live.entitle("/workload/cat", ME, "unix:path:/usr/bin/cat")

    with pytest.raises(FetchX509SvidError, match="no identity issued"):
        client.fetch_x509_svid()
    with pytest.raises(FetchJwtSvidError, match="no identity issued"):
        client.fetch_jwt_svid(audience={"db"})
    assert live.records() == []


@pytest.mark.parametrize("to", [IdentityState.SUSPENDED, IdentityState.RETIRED])
def test_the_stream_of_a_revoked_identity_ends_within_a_second(live: LiveWorkloads, to: IdentityState) -> None:
    live.entitle("/workload/web")
    ended = threading.Event()
    told: list[BaseException] = []

    async def follow() -> None:
        async with Raw(live) as raw:
            try:
                async for _ in raw.streamed(FETCH_X509_SVID):
                    began.set()
            except GRPCError as error:
                told.append(error)
                ended.set()

    began = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(follow(),))
    thread.start()
    assert began.wait(5)
    at = time.monotonic()
    live.stand("/workload/web", to)
    assert ended.wait(5)
    took = time.monotonic() - at
    thread.join(5)

    assert took < 1
    assert isinstance(told[0], GRPCError)
    assert told[0].status is Status.PERMISSION_DENIED


def test_an_owner_who_leaves_takes_the_stream_along(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    live.entitle("/workload/web")
    client.fetch_x509_svid()
    from jittrust.core.identity.identity import Role
    from jittrust.core.model import SubjectKind
    from jittrust.ports.identities import NewIdentity

    eve = NewIdentity(SubjectKind.PERSON, "/person/eve", names=("os:eve",), role=Role.ADMIN, by="test")
    live.do(live.broker.driving.identities.enrol(eve))
    live.stand("/person/ada", IdentityState.SUSPENDED)

    with pytest.raises(FetchX509SvidError, match="no identity issued"):
        client.fetch_x509_svid()


def test_an_entry_that_is_removed_entitles_nobody(live: LiveWorkloads, client: WorkloadApiClient) -> None:
    entry = live.entitle("/workload/web")
    client.fetch_x509_svid()
    live.do(live.broker.driving.enrolment.remove(entry.id))

    with pytest.raises(FetchX509SvidError, match="no identity issued"):
        client.fetch_x509_svid()


# ---- clients that mean harm ---------------------------------------------------------------------------------------------------------------


class Raw:
    """A client that sends whatever it is told to."""

    def __init__(self, live: LiveWorkloads) -> None:
        self.channel = Channel(path=str(live.socket))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.channel.close()

    async def streamed(self, method: WorkloadMethod, metadata: Any = (HEADER,)) -> Any:  # noqa: ANN401
        call = UnaryStreamMethod[Any, Any](self.channel, method.path, method.request, method.response)
        async with call.open(metadata=metadata) as stream:
            await stream.send_message(method.request(), end=True)
            async for one in stream:
                yield one

    async def one(self, method: WorkloadMethod, metadata: Any = (HEADER,), **members: Any) -> Any:  # noqa: ANN401
        call = UnaryUnaryMethod[Any, Any](self.channel, method.path, method.request, method.response)
        return await call(method.request(**members), metadata=metadata)


@pytest.mark.parametrize(
    "metadata",
    [(), (("workload.spiffe.io", "false"),), (("workload.spiffe.io", "True"),), (HEADER, HEADER), (("x", "true"),)],
)
async def test_a_request_that_somebody_was_made_to_send_is_refused(live: LiveWorkloads, metadata: Any) -> None:  # noqa: ANN401
    live.entitle("/workload/web")
    async with Raw(live) as raw:
        with pytest.raises(GRPCError) as told:
            async for _ in raw.streamed(FETCH_X509_SVID, metadata):
                pass
        assert told.value.status is Status.INVALID_ARGUMENT
    assert live.records() == []


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"audience": [""]},
        {"audience": ["a\nb"]},
        {"audience": ["a" * 600]},
        {"audience": [str(n) for n in range(17)]},
        {"audience": ["db"], "spiffe_id": "http://web"},
        {"audience": ["db"], "spiffe_id": "spiffe://jittrust.test/../web"},
    ],
)
async def test_a_jwt_svid_is_not_made_for_rubbish(live: LiveWorkloads, members: dict[str, Any]) -> None:
    live.entitle("/workload/web")
    async with Raw(live) as raw:
        with pytest.raises(GRPCError) as told:
            await raw.one(FETCH_JWT_SVID, **members)
        assert told.value.status is Status.INVALID_ARGUMENT
    assert live.records() == []


async def test_an_identity_of_somebody_else_is_not_given_by_name(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    live.entitle("/workload/root", "unix:uid:4294967294")
    async with Raw(live) as raw:
        with pytest.raises(GRPCError) as told:
            await raw.one(FETCH_JWT_SVID, audience=["db"], spiffe_id=live.id("/workload/root"))
        assert told.value.status is Status.PERMISSION_DENIED


async def test_a_huge_request_is_refused_before_it_is_read(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    async with Raw(live) as raw:
        with pytest.raises((GRPCError, StreamTerminatedError)) as told:
            await raw.one(VALIDATE_JWT_SVID, audience="db", svid="a" * (1 << 20))
        if isinstance(told.value, GRPCError):
            assert told.value.status is Status.INVALID_ARGUMENT
        # The next one is answered as if nothing had been.
    async with Raw(live) as raw:
        assert (await raw.one(FETCH_JWT_SVID, audience=["db"])).svids


async def test_bytes_that_are_no_message_are_refused(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")

    async with Raw(live) as raw:
        call = UnaryUnaryMethod[Any, Any](raw.channel, FETCH_JWT_SVID.path, object, FETCH_JWT_SVID.response)
        stream = call.open(metadata=(HEADER,))

        async def send() -> None:
            async with stream:
                await stream.send_request()
                body = b"\xff\xff\xff"
                await stream._stream.send_data(struct.pack(">BI", 0, len(body)) + body, end_stream=True)
                await stream.recv_message()

        with pytest.raises(GRPCError) as told:
            await send()
        assert told.value.status is Status.INVALID_ARGUMENT


async def test_one_process_cannot_take_every_stream(live: LiveWorkloads) -> None:
    live.entitle("/workload/web")
    async with Raw(live) as raw:
        held = [raw.streamed(FETCH_X509_SVID) for _ in range(STREAMS_OF_PID)]
        for one in held:
            await anext(one)
        with pytest.raises(GRPCError) as told:
            await raw.one(FETCH_JWT_SVID, audience=["db"])
        assert told.value.status is Status.RESOURCE_EXHAUSTED
        await held[0].aclose()
        await asyncio.sleep(0.1)
        assert (await raw.one(FETCH_JWT_SVID, audience=["db"])).svids
        for one in held[1:]:
            await one.aclose()


def test_any_user_may_ask_and_the_socket_is_gone_at_the_end(tmp_path: Path) -> None:
    with live_workloads(tmp_path) as live:
        assert live.socket.stat().st_mode & 0o777 == 0o666
    assert not live.socket.exists()
