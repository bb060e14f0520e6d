"""The keyring of the operating system, through the optional package `keyring`."""
