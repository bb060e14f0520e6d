"""Faces of the broker towards the network: thin, no decisions."""
