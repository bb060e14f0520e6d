"""What the identity layer needs from outside, in one bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jittrust.core.identity.spiffe_id import TrustDomain
from jittrust.core.rules import Rules
from jittrust.core.units import Instant
from jittrust.ports.bundle_source import BundleSource
from jittrust.ports.certificate_authority import CertificateAuthority
from jittrust.ports.identity_provider import IdentityProvider
from jittrust.ports.passkey_check import PasskeyCheck
from jittrust.ports.process_attestor import ProcessAttestor
from jittrust.ports.token_keys import TokenKeys


@dataclass(frozen=True, slots=True)
class IdentityParts:
    """Driven ports and settings of the identity layer.

    Attributes:
        trust_domain: our own.
        authority: signs documents.
        processes: what the kernel says about local processes.
        bundle_source: where foreign bundles come from.
        token_keys: keys of token issuers.
        provider: login at an OpenID provider; None where none is set.
        passkeys: checks what authenticators signed.
        hash_key: 32 bytes; keyed hashes of join tokens, links, sessions and directory tokens are made with it.
        random: so many random bytes.
        rules, clock, new_id: as everywhere.
    """

    trust_domain: TrustDomain
    authority: CertificateAuthority
    processes: ProcessAttestor
    bundle_source: BundleSource
    token_keys: TokenKeys
    provider: IdentityProvider | None
    passkeys: PasskeyCheck
    hash_key: bytes
    random: Callable[[int], bytes]
    rules: Rules
    clock: Callable[[], Instant]
    new_id: Callable[[str], str]
