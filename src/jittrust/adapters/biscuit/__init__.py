"""Tokens that their holders narrow by themselves, as Biscuits."""
