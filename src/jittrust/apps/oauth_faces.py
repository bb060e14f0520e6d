"""The faces of the authorization server and of the decision API that `jittrust serve` opens beside the gateway."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute

from jittrust.adapters.cedar.attribute_policy import CedarAttributePolicy
from jittrust.api.authzen.app import authzen_routes
from jittrust.api.authzen.callers import Callers
from jittrust.api.authzen.evaluation import TokenCheck
from jittrust.api.console.consent import consent_routes
from jittrust.api.oauth.app import oauth_routes
from jittrust.apps.wiring import Wired
from jittrust.core.errors import UnavailableError
from jittrust.core.secret import Secret

if TYPE_CHECKING:
    from jittrust.apps.settings import Settings

PEP_TOKEN = "pep.token"


def oauth_faces(wired: Wired, settings: Settings, servers: tuple[str, ...]) -> list[BaseRoute]:
    """Tokens, consent and decisions, on the main address.

    Raises:
        BadInputError: the folder of `authzen.folder` is missing or broken: nothing starts.
        UnavailableError: code `token_file_unusable`.
    """
    driving, inner = wired.driving, wired.inner
    folder = settings.authzen.folder
    callers = Callers(
        Secret(token_file(wired.state / PEP_TOKEN).encode("ascii")), driving.bundles, driving.identities, wired.issuer
    )
    return [
        *oauth_routes(inner, wired.issuer, wired.origin, servers, registration=settings.oauth.registration),
        *consent_routes(inner.consents, driving.people, inner.passkeys, wired.origin),
        *authzen_routes(
            driving,
            inner,
            wired.issuer,
            callers,
            None if folder is None else CedarAttributePolicy.load(folder),
            TokenCheck(wired.issuer, wired.token_keys, wired.clock),
        ),
    ]


def token_file(file: Path) -> str:
    """The secret in a file of the state folder, made on first use, readable by its owner alone.

    Raises:
        UnavailableError: code `token_file_unusable`.
    """
    made = secrets.token_urlsafe(32)
    try:
        with contextlib.suppress(FileExistsError):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as out:
                out.write(made + "\n")
        found, open_to_others = file.read_text("ascii").strip(), file.stat().st_mode & 0o077
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(
            "token_file_unusable", f"{file} cannot be used ({error})", "Look at its rights."
        ) from None
    if open_to_others or not found:
        raise UnavailableError("token_file_unusable", f"{file} is empty or open to others", f"Remove it: rm {file}")
    return found
