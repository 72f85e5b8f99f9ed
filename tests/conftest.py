"""Real parts for the tests, started privately by deploy/bench on first use and gone when the session ends.

A part that is missing fails the test that needs it, naming the package to install; nothing is skipped.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from django.test import override_settings
from hypothesis import HealthCheck
from hypothesis import settings as of_hypothesis
from playwright.sync_api import Browser, expect, sync_playwright

from deploy.bench import base_images as images
from deploy.bench import databases, registry, still
from deploy.bench.engine import Engine, start_engine
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from deploy.bench.requirement import program
from deploy.bench.workspace import Workspace
from tests.database import _quick_flush, django_db_setup

__all__ = ["_quick_flush", "django_db_setup"]

# By default an example that takes more than 200 ms fails: on a busy machine any does.
of_hypothesis.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
of_hypothesis.load_profile("untimed")

# These start processes, wait for something, read all of the code, or try hostile input in numbers: no service
# needed, but too long for somebody who waits at the keyboard.
SLOW = (
    "access/test_every_door.py",
    "access/test_sso.py",
    "api/test_schema.py",
    "bench/",
    "bridge/",
    "cli/test_commands.py",
    "conformance/",
    "e2e/",
    "gateway/test_clients.py",
    "gateway/test_doors.py",
    "gateway/test_eras.py",
    "gateway/test_exchange.py",
    "gateway/test_oauth.py",
    "gateway/test_tracing.py",
    "gateway/test_waiting.py",
    "hosting/builder/test_environment.py",
    "hosting/builder/test_portable.py",
    "hosting/builder/test_python_installs.py",
    "hosting/runtimes/test_process.py",
    "hosting/sources/test_git.py",
    "hosting/sources/test_git_lfs.py",
    "hosting/sources/test_node_installs.py",
    "hosting/test_handshake.py",
    "kubernetes/",
    "mcphost/test_house.py",
    "mcphost/test_protocol.py",
    "mcphost/test_start.py",
    "mcphost/test_told_by_argument.py",
    "notices/test_sending.py",
    "registry/test_push_words.py",
    "security/",
    "servers/deploying/test_deployer.py",
    "servers/deploying/test_gate.py",
    "servers/deploying/test_reconciler.py",
    "servers/paste/test_hostile.py",
    "servers/runbooks/test_codes.py",
    "servers/streams/",
)

# Minutes each with four workers, the longest first.
LONGEST = (
    "conformance/test_conformance.py",
    "e2e/test_failures.py",
    "e2e/test_compose.py",
    "console/test_accessibility.py",
    "e2e/test_up.py",
    "e2e/test_crashes.py",
    "security/test_markup.py",
    "e2e/test_sources.py",
    "console/test_accessibility_rooms.py",
    "console/test_frame.py",
    "console/test_browser.py",
    "servers/deploying/test_push_load.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What is left out by its path need not be read: its imports take longer than hundreds of tests."""
    asked = config.option.markexpr.split(" and ")
    return True if "not slow" in asked and _is_slow(collection_path) else None


def _is_slow(path: Path) -> bool:
    place = path.relative_to(Path(__file__).parent).as_posix()
    return f"{place}/".startswith(SLOW) if path.is_dir() else place.startswith(SLOW)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)
        if _needs_rows(item):
            item.add_marker(pytest.mark.rows)
    _longest_first(items)


def _needs_rows(item: pytest.Item) -> bool:
    asked = {"db", "transactional_db"}.intersection(getattr(item, "fixturenames", ()))
    return bool(asked) or item.get_closest_marker("django_db") is not None


def _longest_first(items: list[pytest.Item]) -> None:
    """Whole files are shared out among the workers: the long ones must not begin when all else is done."""
    weights: dict[Path, int] = {}
    for item in items:
        weights[item.path] = max(weights.get(item.path, 0), _weight(item))
    items.sort(key=lambda item: weights[item.path], reverse=True)


def _weight(item: pytest.Item) -> int:
    path = item.path.relative_to(Path(__file__).parent).as_posix()
    if path in LONGEST:
        return 2 + len(LONGEST) - LONGEST.index(path)
    return 2 if item.get_closest_marker("real") else 1 if item.get_closest_marker("slow") else 0


@pytest.fixture(scope="session", autouse=True)
def _quick_settings() -> Iterator[None]:
    """What a process pays once, or a person once a day, tests would pay with each client that they make.

    Passwords of tests protect nothing, so their hash need not take its time. Static files are looked for when
    one is asked for: otherwise each client reads the dates of all of them before its first request.
    """
    hashers = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    with override_settings(PASSWORD_HASHERS=hashers, WHITENOISE_AUTOREFRESH=True):
        yield


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that is not marked `real` reaches nothing but this machine's loopback."""
    if request.node.get_closest_marker("real"):
        return
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _loopback_only(getattr(socket.socket, name)))


def _loopback_only(connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            pytest.fail(f"a fast test tried to reach {address[0]}:{address[1]}; mark it `real` if it must")
        return connect(self, address)

    return guarded


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session")
def bench() -> Iterator[Workspace]:
    """The workspace of this session: whatever is started in it is gone afterwards."""
    with Workspace() as workspace:
        yield workspace


@pytest.fixture(scope="session")
def docker_host(bench: Workspace) -> str:
    """DOCKER_HOST of a private Docker Engine."""
    return start_engine(bench).host


@pytest.fixture
def own_engine() -> Iterator[Engine]:
    """An engine for one test that stops or breaks it: `own_engine.daemon.stop()`."""
    with Workspace() as workspace:
        yield start_engine(workspace)


@pytest.fixture(scope="session")
def registry_plain(bench: Workspace) -> Registry:
    return registry.start_plain(bench)


@pytest.fixture(scope="session")
def registry_basic(bench: Workspace) -> Registry:
    return registry.start_basic(bench)


@pytest.fixture(scope="session")
def registry_token(bench: Workspace) -> Registry:
    """A registry with token authentication, healthy again after each test; see `Registry.control`."""
    return registry.start_token(bench)


@pytest.fixture(autouse=True)
def _healthy_tokens(request: pytest.FixtureRequest) -> Iterator[None]:
    """Afterwards, when it is known who used it: some ask for a registry by a name that they put together."""
    yield
    if "registry_token" in request.fixturenames:
        request.getfixturevalue("registry_token").control({})


@pytest.fixture
def fault_proxy(registry_plain: Registry) -> Iterator[FaultProxy]:
    """A proxy in front of `registry_plain` that breaks what it is told to: `fault_proxy.set([rules])`."""
    proxy = FaultProxy(registry_plain.host)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def base_images(bench: Workspace) -> dict[str, str]:
    """References for FROM, for linux/amd64 and linux/arm64: "python", "node", "busybox"."""
    return images.serve(bench)


@pytest.fixture(scope="session")
def busybox_image(docker_host: str, base_images: dict[str, str]) -> Iterator[Callable[[str], str]]:
    """`busybox_image(platform)`: the local tag of a 2 MB image of that platform in the private engine."""
    client = docker.DockerClient(base_url=docker_host)

    def pulled(platform: str) -> str:
        tag = f"mcphost.local/busybox:{platform.rpartition('/')[2]}"
        client.images.pull(base_images["busybox"], platform=platform).tag(tag)
        return tag

    yield pulled
    client.close()


@pytest.fixture(scope="session")
def postgres_url(bench: Workspace) -> str:
    return databases.start_postgres(bench)


@pytest.fixture(scope="session")
def redis_url(bench: Workspace) -> str:
    return databases.start_redis(bench)


@pytest.fixture(scope="module")
def browser(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The distribution's Chromium under Playwright (its own download is not needed), deaf to the networks of
    containers that come and go beside it.

    For one module only: Playwright keeps an event loop running in this thread, which Django takes for an
    asynchronous caller, and in which no asynchronous test could run.
    """
    options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    options.append("--disable-smooth-scrolling")  # one would not know when it has come to rest
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        expect.set_options(timeout=60_000)  # a machine at work on much else is no fault of a page
        started = still.starter(tmp_path_factory.mktemp("browser") / "chromium", program("chromium"))
        chromium = playwright.chromium.launch(executable_path=started, args=options)
        yield chromium
        chromium.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passes only when it is run again (`--reruns`) has a fault: what it said first must not be lost."""
    reruns = terminalreporter.getreports("rerun")
    for report in reruns:
        terminalreporter.section(f"{report.nodeid}, the first time")
        terminalreporter.write_line(report.longreprtext)
    for nodeid in sorted({report.nodeid for report in reruns}):
        terminalreporter.write_line(f"UNSTEADY {nodeid}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped: a skip is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
