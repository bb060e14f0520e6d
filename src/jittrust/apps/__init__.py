"""Settings, wiring and start-up: the only place where adapters are chosen."""
