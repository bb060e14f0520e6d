"""Guarded fetches over HTTPS: bundles of federated trust domains, keys of token issuers."""
