"""What a call is for: taxonomy, alignment with the goal, provenance of values, drift."""
