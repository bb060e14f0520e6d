"""The only code that joins ports and core: gather, decide, commit."""
