"""Tamper-evident record: canonical JSON, hash chain, Merkle tree, signed checkpoints."""
