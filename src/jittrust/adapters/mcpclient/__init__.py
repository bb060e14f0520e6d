"""A small MCP client of our own: asks servers what they offer. It calls nothing."""
