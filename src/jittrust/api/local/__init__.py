"""The face of the broker towards the processes of its own user: a Unix socket."""
