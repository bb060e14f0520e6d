"""Errors with a stable code. A refusal is a value (`Verdict`); an error is a broken promise or bad input.

Every error says what happened, and where it can, what to do next. Codes never change their meaning.
"""

from __future__ import annotations


class JitError(Exception):
    """Base of every error of jittrust.

    Attributes:
        code: stable snake_case word for programs.
        message: what happened, for people.
        next_step: what would make it work, or the command to run next; may be empty.
        exit_code: what the command line ends with: 1 refused, 2 bad input, 3 broker unreachable.
        http_status: what an HTTP face answers with.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, code: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        tail = f" {self.next_step}" if self.next_step else ""
        return f"{self.message}{'' if self.message.endswith(('.', '!', '?')) else '.'}{tail} [{self.code}]"


class BadInputError(JitError):
    """What came in is malformed: never retried, never stored."""

    exit_code = 2
    http_status = 400


class NotFoundError(JitError):
    """The named thing does not exist (or may not be seen)."""

    exit_code = 1
    http_status = 404


class RefusedError(JitError):
    """The rules forbid it; asking again changes nothing."""

    exit_code = 1
    http_status = 403


class ConflictError(JitError):
    """Somebody else changed it first; read again and retry."""

    exit_code = 1
    http_status = 409


class UnavailableError(JitError):
    """A part that the decision needs is not there (store, ledger, signer, broker). Nothing was let through."""

    exit_code = 3
    http_status = 503


class PassSupersededError(ConflictError):
    """The pass shown is not the live one of its lane: a lost race or a replay."""


class GasExhaustedError(RefusedError):
    """The grant cannot pay the price. Nothing was debited."""


class FencedError(UnavailableError):
    """Another broker has taken over this state: this one may never write again."""
