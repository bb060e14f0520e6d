"""Who somebody is: SPIFFE IDs, documents that prove them, what attests them, and the registry of all of them."""
