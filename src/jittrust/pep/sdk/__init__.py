"""For services that are no part of a broker: decide and check the intent on the claims of a grant token alone."""
