"""The micro-perimeter of a mission and how a goal becomes one."""
