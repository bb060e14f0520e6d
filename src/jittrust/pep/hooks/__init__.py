"""Entry points of hooks that an agent's client calls."""
