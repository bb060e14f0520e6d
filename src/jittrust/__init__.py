"""Just-in-Time Trust for AI agents, people and workloads."""

from typing import Final

__version__: Final = "0.1.0"
