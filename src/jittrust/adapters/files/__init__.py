"""Plain files beside the store: the lock of the one broker, the fence, the keys."""
