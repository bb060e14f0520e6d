"""The decision API: AuthZEN Authorization API 1.0 for enforcement points of others."""
