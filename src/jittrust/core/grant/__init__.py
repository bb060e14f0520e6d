"""Ephemeral access grants: token claims, key proof, lanes of passes, gas."""
