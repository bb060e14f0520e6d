"""What was learned: the weights that come with the package, and the baseline of a deployment."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from jittrust.core.errors import BadInputError
from jittrust.core.intent.access import AccessModel, access_model_of
from jittrust.core.intent.adoption import LARGEST_BASELINE
from jittrust.core.intent.baseline import Baseline, from_json
from jittrust.core.intent.misaligned import MisalignedModel, model_of
from jittrust.core.strict_json import parse


@lru_cache(maxsize=1)
def shipped_model() -> MisalignedModel:
    """The weights of `core.intent.misaligned` that come with the package (docs/models/misaligned.md)."""
    return model_of(parse((files("jittrust") / "models" / "misaligned.json").read_bytes(), max_bytes=65_536))


@lru_cache(maxsize=1)
def shipped_access() -> AccessModel:
    """The weights of `core.intent.access` that come with the package (docs/models/access.md)."""
    return access_model_of(parse((files("jittrust") / "models" / "access.json").read_bytes(), max_bytes=524_288))


def read_baseline(path: Path) -> Baseline:
    """A baseline that `jittrust calibrate` wrote.

    Raises:
        BadInputError: code `bad_baseline`, `baseline_too_large`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(2 * LARGEST_BASELINE + 1)
    except OSError as error:
        raise BadInputError(
            "bad_baseline", f"{path} cannot be read: {error.strerror}", "Make one: jittrust calibrate."
        ) from None
    # As it lies in a file it may be indented; what counts for adoption is the JSON without that.
    if len(raw) > 2 * LARGEST_BASELINE:
        raise BadInputError(
            "baseline_too_large",
            f"{path} is larger than a baseline may be ({LARGEST_BASELINE} bytes)",
            "Learn from fewer or newer recordings.",
        )
    try:
        return from_json(parse(raw, max_bytes=2 * LARGEST_BASELINE, max_keys=500_000))
    except BadInputError as bad:
        if bad.code == "bad_baseline":
            raise
        raise BadInputError("bad_baseline", f"{path} is no baseline: {bad.message}", bad.next_step) from None
