"""Pages for people: login, passkeys, approvals."""
