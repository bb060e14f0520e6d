"""One Protocol a file, at most five methods, the contract in its docstring."""
