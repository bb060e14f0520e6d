"""Enforcement points for the Model Context Protocol."""
