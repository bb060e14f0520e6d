"""Enforcement points: each turns a transport's calls into evaluations and carries out the verdict."""
