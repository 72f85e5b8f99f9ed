"""LISTEN and NOTIFY of a real PostgreSQL, whose connections break."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from servers.wakeups import notifications
from tests.servers.wakeups.other import HEARS, other

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_a_broken_connection_is_made_again_and_told(postgres_url: str, tmp_path: Path) -> None:
    with (
        other(HEARS, postgres_url, tmp_path) as listener,
        psycopg.connect(postgres_url, autocommit=True) as operator,
    ):
        assert listener.heard() == "None"
        listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        assert operator.execute(listening).fetchall() == [(True,)]
        assert listener.heard() == "None"
        operator.execute("SELECT pg_notify(%s, %s)", [notifications.CHANNEL, "another statuses"])
        assert listener.heard() == "statuses"
