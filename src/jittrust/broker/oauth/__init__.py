"""The authorization server: clients, requests in front of people, tokens, their status."""
