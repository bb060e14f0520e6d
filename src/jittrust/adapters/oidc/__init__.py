"""OpenID Connect as a client: people log in at their own identity provider."""
