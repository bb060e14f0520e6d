"""Passkeys (W3C WebAuthn Level 3)."""
