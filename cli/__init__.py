"""The management commands, and what they share: finding a server, following a deployment, JSON."""
