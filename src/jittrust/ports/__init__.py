"""The contracts between the broker and everything around it, one Protocol a file."""
