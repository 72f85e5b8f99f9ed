from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.streams import live


@pytest.fixture
def live_feed(transactional_db: None) -> Iterator[str]:
    """The address of a running live feed."""
    with live.serving() as address:
        yield address
