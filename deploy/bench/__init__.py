"""The test bench: real parts (Docker Engine, registries, databases, base images) started privately.

Everything a bench starts lives in one `Workspace` and ends with it; a run that was killed is cleared away
by the next one. Nothing of a Docker Engine, a registry or a database that the machine itself runs is touched.
"""
