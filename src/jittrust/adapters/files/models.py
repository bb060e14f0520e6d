"""What was learned: the weights that come with the package, and the baseline of a deployment."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from jittrust.core.errors import BadInputError
from jittrust.core.intent.baseline import Baseline, from_json
from jittrust.core.intent.misaligned import MisalignedModel, model_of
from jittrust.core.strict_json import parse

LONGEST_BASELINE = 64 * 1024 * 1024


@lru_cache(maxsize=1)
def shipped_model() -> MisalignedModel:
    """The weights of `core.intent.misaligned` that come with the package (docs/models/misaligned.md)."""
    return model_of(parse((files("jittrust") / "models" / "misaligned.json").read_bytes(), max_bytes=65_536))


def read_baseline(path: Path) -> Baseline:
    """A baseline that `jittrust calibrate` wrote.

    Raises:
        BadInputError: code `bad_baseline`.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadInputError(
            "bad_baseline", f"{path} cannot be read: {error.strerror}", "Make one: jittrust calibrate."
        ) from None
    return from_json(parse(raw, max_bytes=LONGEST_BASELINE))
