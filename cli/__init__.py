"""What the management commands share: finding a server, following a deployment, JSON."""
