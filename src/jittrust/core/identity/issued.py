"""What was issued by which key: read out of the ledger's records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from jittrust.core.model import Json


def issued_by(records: Iterable[Mapping[str, Json]], key: str) -> Iterator[Mapping[str, Json]]:
    """The issuance records of a signing key, in the order of `records`.

    Args:
        records: records of the ledger, of any kind.
        key: the SHA-256 (hex) of the key's SubjectPublicKeyInfo for X.509, the `kid` for JWT, or the id of its authority.

    Yields:
        What was signed: `what` (`x509` or `jwt`), `spiffe_id`, `serial` or `jti`, `expires` (ms).
    """
    for record in records:
        if record.get("kind") == "issuance" and key and key in {record.get("key"), record.get("authority")}:
            yield record
