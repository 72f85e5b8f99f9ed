"""Between the socket and Django: who may send how much, whole bodies, and threads only for work."""
