"""What the kernel says about a process."""
