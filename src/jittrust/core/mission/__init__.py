"""A mission: one approved goal and its life."""
