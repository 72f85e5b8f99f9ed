"""`kill -9` of a platform, and what must hold after it has been started again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually
from tests.platform import hello_files

from .upping import Machine, Up, archive, machine


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Machine]:
    more = {"GIT_PROTOCOLS": "http", "GIT_PRIVATE_HOSTS": "127.0.0.1", "HEALTH_TIMEOUT": "120"}
    with machine(tmp_path, migrated=True, **more) as made:
        yield made


def server_that(begins: str) -> dict[str, str | bytes]:
    """The example, doing something else first."""
    files = hello_files()
    own = bytes(files["server.py"]).decode()  # type: ignore[arg-type]
    future = "from __future__ import annotations\n"
    return {**files, "server.py": own.replace(future, future + begins), "requirements.txt": ""}


def reached(up: Up, event: str, server: int = 2) -> None:
    eventually(lambda: f"{event} server_id={server} " in up.complaints, within=120, what=event)


def deploy(here: Machine, *source: str) -> None:
    made = here.command("deploy", "second", *source)
    assert made.returncode == 0, made.stderr


def at_work_for(here: Machine, server: int = 2) -> list[psutil.Process]:
    """Fetches, builds and runs of that server."""
    scratch, runs = here.data / "work", here.data / "runs" / str(server)
    return [each for each in here.hosted() if _lies_in(each, scratch) or _lies_in(each, runs)]


def runs_by_server(here: Machine) -> Mapping[str, int]:
    """How many runs there are of each server, by the marks in their processes' environments."""
    marks = {_mark(process) for process in here.hosted()} - {""}
    return Counter(mark.partition(":")[0] for mark in marks)


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get("MCPHOST_RUN", "")
    except psutil.Error:  # it has ended since
        return ""


def serves_once(here: Machine) -> None:
    both = {"hello": "running", "second": "running"}
    eventually(lambda: here.statuses() == both, within=120, what=f"both serve: {here.statuses()}")
    eventually(lambda: runs_by_server(here) == {"1": 1, "2": 1}, what=f"once each: {runs_by_server(here)}")


def leaves_nothing(here: Machine, up: Up) -> None:
    scratch = here.data / "work"
    eventually(lambda: not list(scratch.iterdir()), what="scratch space is gone")
    assert up.stop() == 0
    assert "Traceback" not in up.complaints
    assert not here.hosted()


def _lies_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(directory)
    except psutil.Error:
        return False


def killed_at(here: Machine, event: str, files: Mapping[str, str | bytes]) -> Up:
    """Dies when the deployment of the second server gets there; the first one serves meanwhile."""
    up = here.start()
    reached(up, "deploy succeeded", server=1)
    with archive(here.home, files) as source:
        deploy(here, "--archive", str(source))
        reached(up, event)
        up.kill()
    return up
