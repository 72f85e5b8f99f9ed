"""What stands between the socket and Django: limits of bodies, complete bodies, and threads."""
