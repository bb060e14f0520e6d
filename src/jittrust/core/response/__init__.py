"""Graduated response: from none to kill."""
