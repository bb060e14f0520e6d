"""The authorization server's HTTP face."""
