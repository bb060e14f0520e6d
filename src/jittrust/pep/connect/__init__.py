"""`jittrust connect`: gives a client that speaks only stdio a key of its own, the newest pass of every lane, and grants that are renewed."""
