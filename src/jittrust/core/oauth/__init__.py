"""OAuth 2.1: clients, requests, renewals, and what is written on its wire. A draft lives in one module of its own."""
