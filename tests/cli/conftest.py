from tests.servers.conftest import *  # noqa: F403  (the same people, the same platform)
