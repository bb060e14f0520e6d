"""The SPIFFE Workload API on the wire: names and numbers exactly as its protocol buffers have them, for the server and for the client.

The messages live in a pool of their own: another library in the same process may have registered the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.message import Message

SERVICE: Final = "SpiffeWorkloadAPI"
HEADER: Final = ("workload.spiffe.io", "true")
"""Without this metadata a request is refused, so that nobody can be made to send one by a forged URL (Workload API §3)."""

_Field: TypeAlias = tuple[str, str]
# A `*` repeats a field, `{}` makes it a map from text to bytes; the number is the place in the list, counted from 1.
_MESSAGES: Final[Mapping[str, tuple[_Field, ...]]] = {
    "X509SVIDRequest": (),
    "X509SVIDResponse": (("svids", "*X509SVID"), ("crl", "*bytes"), ("federated_bundles", "{}")),
    "X509SVID": (
        ("spiffe_id", "string"),
        ("x509_svid", "bytes"),
        ("x509_svid_key", "bytes"),
        ("bundle", "bytes"),
        ("hint", "string"),
    ),
    "X509BundlesRequest": (),
    "X509BundlesResponse": (("crl", "*bytes"), ("bundles", "{}")),
    "JWTSVIDRequest": (("audience", "*string"), ("spiffe_id", "string")),
    "JWTSVIDResponse": (("svids", "*JWTSVID"),),
    "JWTSVID": (("spiffe_id", "string"), ("svid", "string"), ("hint", "string")),
    "JWTBundlesRequest": (),
    "JWTBundlesResponse": (("bundles", "{}"),),
    "ValidateJWTSVIDRequest": (("audience", "string"), ("svid", "string")),
    "ValidateJWTSVIDResponse": (("spiffe_id", "string"), ("claims", "google.protobuf.Struct")),
}


class WorkloadMethod(NamedTuple):
    """One call of the service. Classes of messages are made at run time, hence `Any`."""

    path: str
    request: type[Any]
    response: type[Any]
    streams: bool


def _entry_name(field: str) -> str:
    return "".join(part.capitalize() for part in field.split("_")) + "Entry"


def _add_field(message: descriptor_pb2.DescriptorProto, number: int, name: str, kind: str) -> None:
    proto = descriptor_pb2.FieldDescriptorProto
    if kind == "{}":
        entry = message.nested_type.add(name=_entry_name(name))
        entry.options.map_entry = True
        _add_field(entry, 1, "key", "string")
        _add_field(entry, 2, "value", "bytes")
        kind = f"*{message.name}.{entry.name}"
    label = proto.LABEL_REPEATED if kind.startswith("*") else proto.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    kind = kind.removeprefix("*")
    if kind in {"string", "bytes"}:
        field.type = proto.TYPE_STRING if kind == "string" else proto.TYPE_BYTES
    else:
        field.type = proto.TYPE_MESSAGE
        field.type_name = f".{kind}"


def _classes() -> Mapping[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(name="workload.proto", syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            _add_field(message, number, field, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in _MESSAGES}


_CLASSES: Final = _classes()


def _method(name: str, messages: str, *, streams: bool) -> WorkloadMethod:
    return WorkloadMethod(
        f"/{SERVICE}/{name}", _CLASSES[f"{messages}Request"], _CLASSES[f"{messages}Response"], streams
    )


FETCH_X509_SVID: Final = _method("FetchX509SVID", "X509SVID", streams=True)
FETCH_X509_BUNDLES: Final = _method("FetchX509Bundles", "X509Bundles", streams=True)
FETCH_JWT_SVID: Final = _method("FetchJWTSVID", "JWTSVID", streams=False)
FETCH_JWT_BUNDLES: Final = _method("FetchJWTBundles", "JWTBundles", streams=True)
VALIDATE_JWT_SVID: Final = _method("ValidateJWTSVID", "ValidateJWTSVID", streams=False)
