"""Signing keys in a hardware security module."""
