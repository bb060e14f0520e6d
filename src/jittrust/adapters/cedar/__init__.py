"""Cedar: the language of the rules that people write."""
