"""Implementations of the ports, one folder for each outside technology."""
