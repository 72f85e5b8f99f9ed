"""A running platform inside the test process: worker threads, reconciler and collector, on processes."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.contrib.auth.models import User
from django.db import connection

from access.actor import PLATFORM, Actor
from hosting.runtimes.base import RunStatus
from metrics.models import UsageMetric
from servers import intake, runtime_choice, services, uploads
from servers.deploying import heartbeat, reconciler, registries, runs, runtimes
from servers.models import Deployment, Server
from servers.operations import background
from servers.states import FINAL, Mode, Trigger
from tests.eventually import eventually

HELLO = Path(__file__).parent.parent / "examples" / "hello"
CACHED = (
    runtimes.runtime, runtime_choice.default_runtime, runtime_choice.builder, runtime_choice.build_settings,
    registries.credentials, registries.client, runtimes.cluster,
)  # fmt: skip


class Platform:
    """What tests do with it: make servers, deploy, wait, look."""

    def __init__(self, owner: User) -> None:
        self.owner = owner

    def server(self, slug: str, files: Mapping[str, str | bytes], **fields: Any) -> Server:
        """A server whose source is an archive of `files`."""
        about = {"name": slug.title(), "slug": slug, "source_kind": "upload", "source": {}, **fields}
        server = services.create_server(by=Actor(self.owner), fields=about)
        return self.upload(server, files)

    def upload(self, server: Server, files: Mapping[str, str | bytes]) -> Server:
        with uploads.received([archive_of(files)], "source.tar.gz") as archive:
            return intake.attach(server=server, archive=archive, by=PLATFORM)

    def hello(self, slug: str = "hello", **fields: Any) -> Server:
        return self.server(slug, hello_files(), **fields)

    def deploy(self, server: Server, mode: Mode = Mode.LATEST, *, within: float = 120) -> Deployment:
        """Deploys and waits for the end, good or bad."""
        return self.ended(self.request(server, mode), within=within)

    def request(self, server: Server, mode: Mode = Mode.LATEST) -> Deployment:
        return services.deploy(server=server, by=Actor(self.owner), trigger=Trigger.API, mode=mode)

    def ended(self, deployment: Deployment, *, within: float = 120) -> Deployment:
        def over() -> Deployment | None:
            fresh = Deployment.objects.select_related("server").get(pk=deployment.pk)
            return fresh if fresh.status in FINAL else None

        return eventually(over, within=within, what=f"{deployment} ends")

    def fresh(self, server: Server) -> Server:
        return Server.objects.with_current().get(pk=server.pk)

    def becomes(self, server: Server, status: str, *, within: float = 60) -> Server:
        def there() -> Server | None:
            fresh = self.fresh(server)
            return fresh if fresh.status == status else None

        return eventually(
            there, within=within, what=f"{server} becomes {status}, is {self.fresh(server).status}"
        )

    def events(self, deployment: Deployment) -> list[str]:
        rows = UsageMetric.objects.filter(deployment=deployment).order_by("pk")
        return list(rows.values_list("event_type", flat=True))

    def log(self, deployment: Deployment) -> str:
        return "\n".join(deployment.log_lines.order_by("pk").values_list("text", flat=True))


def hello_files() -> dict[str, str | bytes]:
    return {p.name: p.read_bytes() for p in HELLO.iterdir() if p.is_file()}


def archive_of(files: Mapping[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def at_once(work: Callable[[], object], times: int = 4) -> None:
    """Calls it in so many threads; none leaves a connection behind, which would hold the database."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def processes_under(directory: Path) -> list[psutil.Process]:
    """Processes of this machine whose working directory lies there: what a run or a build may leave."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it may end while it is looked at
            inside = Path(process.cwd()).is_relative_to(directory)
            if inside and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def is_alive(deployment: Deployment) -> bool:
    """What runs for it, as its runtime says."""
    run = Deployment.objects.get(pk=deployment.pk).run
    assert run
    status = runs.survey([run])[run.pk]
    assert isinstance(status, RunStatus), status
    return status.alive


@pytest.fixture
def quick(settings: Any, tmp_path: Path) -> Iterator[None]:
    """Short intervals, a data directory of the test's own, and adapters made anew from the settings."""
    settings.DATA_DIR = tmp_path / "data"
    settings.DATA_DIR.mkdir()
    settings.CONTAINER_RUNTIME = "process"
    settings.HEARTBEAT_SECONDS, settings.ABANDONED_AFTER_SECONDS = 0.2, 60
    settings.DRAIN_SECONDS, settings.STOP_GRACE_SECONDS, settings.HEALTH_TIMEOUT = 0.2, 2, 60
    forget_adapters()
    yield
    forget_adapters()


def forget_adapters() -> None:
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def platform(transactional_db: None, quick: None) -> Iterator[Platform]:
    owner = User.objects.create_superuser("operator", password="operator-password")
    behind = background.Background(worker=True, reconciler=True)
    behind.start()
    yield Platform(owner)
    behind.stop()
    heartbeat.interrupted.clear()
    reconciler.suspend()


@pytest.fixture
def idle(transactional_db: None, quick: None) -> Iterator[Platform]:
    """The same with nothing at work: the test takes each step itself."""
    yield Platform(User.objects.create_superuser("operator", password="operator-password"))
    reconciler.suspend()
