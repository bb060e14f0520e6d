"""Numbers: Weighted Intent Score, risk, price, trust."""
