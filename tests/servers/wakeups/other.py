"""Another process of the platform, which sends wake-ups or hears them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from tests.rooms import ROOT

# Only what the bus needs: the platform's own settings would load all of its modules.
SETUP = """
import os, sys, dj_database_url
from django.conf import settings
databases = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
settings.configure(DATABASES=databases, DATA_DIR=os.environ["DATA_DIR"])
from servers.wakeups import bus
"""
SENDS = SETUP + "[(bus.send(line.strip()), print(flush=True)) for line in sys.stdin]"
HEARS = SETUP + "h = bus.hearing(lambda topic: print(topic, flush=True)); h.__enter__(); sys.stdin.read()"


class Other:
    """Another process of the platform."""

    def __init__(self, code: str, database: str, data: Path) -> None:
        about = {
            "DATABASE_URL": database,
            "DATA_DIR": str(data),
            "DJANGO_SETTINGS_MODULE": "mcphost.settings",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **about},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def send(self, topic: str) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{topic}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def heard(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def other(code: str, database: str, data: Path) -> Iterator[Other]:
    made = Other(code, database, data)
    try:
        yield made
    finally:
        made.end()


def this_database() -> str:
    about = connection.settings_dict
    if connection.vendor != "postgresql":
        return f"sqlite:///{about['NAME']}"
    return f"postgresql://{about['USER']}:{about['PASSWORD']}@{about['HOST']}:{about['PORT']}/{about['NAME']}"
