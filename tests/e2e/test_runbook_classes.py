"""Each class of failure that can be made here is made, and known for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.registry import Registry
from hosting.builder import emulation
from servers.models import Deployment
from servers.runbooks import diagnosis
from servers.runbooks.diagnosis import Diagnosis
from tests.e2e.hosting import DockerPlatform
from tests.platform import forget_adapters
from tests.registry.conftest import write_config

pytestmark = pytest.mark.real

HTTP = "streamable-http"
EXITS = 'CMD ["sh", "-c", "echo no licence key >&2; exit 3"]'
ASKS = 'CMD ["sh", "-c", "echo Set the LICENCE_KEY environment variable. >&2; exit 3"]'
WAITS = 'CMD ["sh", "-c", "echo waiting for nothing; exec sleep 600"]'


def diagnosed(platform: DockerPlatform, *lines: str, transport: str = HTTP) -> Diagnosis:
    """Of a deployment that was made to fail."""
    server = platform.server("broken", platform.busybox(*lines), transport=transport)
    return of(platform.deploy(server, within=120))


def of(deployment: Deployment) -> Diagnosis:
    rows = Deployment.objects.select_related("server__current_deployment")
    found = diagnosis.diagnose(rows.get(pk=deployment.pk))
    assert found is not None
    assert found.best is not None
    return found


@pytest.mark.parametrize(
    ("fault", "name", "best"),
    [
        ({"action": "status", "status": 429}, "rate-limit", "raise-retries"),
        ({"action": "status", "status": 503}, "network", "resume"),
        ({"action": "reset"}, "network", "resume"),
        ({"action": "status", "status": 507, "body": "no space left"}, "registry-full", "resume"),
    ],
)
def test_what_stands_between_here_and_the_registry(
    docker_platform: DockerPlatform,
    settings: Any,
    fault_proxy: FaultProxy,
    fault: dict[str, Any],
    name: str,
    best: str,
) -> None:
    settings.REGISTRY = f"{fault_proxy.host}/faults"
    fault_proxy.set([{"method": "PUT", "path": "/manifests/", **fault}])
    found = diagnosed(docker_platform, EXITS)
    assert (found.name, found.best and found.best.name) == (name, best)
    if name in ("network", "rate-limit"):
        assert any("was tried 2 times of 2." in sentence for sentence in found.means), found.means


def test_an_account_that_may_not_push(
    docker_platform: DockerPlatform, settings: Any, registry_token: Registry, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    write_config(config, registry_token.host, registry_token.username, registry_token.password)
    settings.REGISTRY, settings.REGISTRY_AUTH_DOCKERCONFIG = f"{registry_token.host}/denied", config
    forget_adapters()
    registry_token.control({"deny": True})
    found = diagnosed(docker_platform, EXITS)
    assert found.name == "denied"
    assert f"The repository is {registry_token.host}/denied/broken." in found.means


def test_an_account_that_is_not_there(
    docker_platform: DockerPlatform, settings: Any, registry_basic: Registry
) -> None:
    settings.REGISTRY = f"{registry_basic.host}/nobody"
    found = diagnosed(docker_platform, EXITS)
    assert (found.name, found.best and found.best.name) == ("auth-expired", "refresh-credentials")


@pytest.mark.parametrize(
    ("lines", "name", "said"),
    [
        (("RUN echo compiling; echo no compiler; exit 4",), "build", "no compiler"),
        ((EXITS,), "crash", "It wrote last: “no licence key”."),
        ((ASKS,), "configuration", "It wrote last: “Set the LICENCE_KEY environment variable.”."),
        ((WAITS,), "never-healthy", "It wrote last: “waiting for nothing”."),
    ],
)
def test_a_server_that_does_not_come_up(
    docker_platform: DockerPlatform, settings: Any, lines: tuple[str, ...], name: str, said: str
) -> None:
    settings.HEALTH_TIMEOUT = 20  # within which it has to start, and to write its line
    found = diagnosed(docker_platform, *lines)
    assert found.name == name
    assert any(said in sentence for sentence in found.means), found.means
    offers = {offer.name: offer.refusal for offer in found.offers}
    assert offers["resume"] == ""
    assert offers["roll-back"] == "No earlier deployment can be started again."


def test_a_platform_that_cannot_be_emulated(docker_platform: DockerPlatform, settings: Any) -> None:
    absent = emulation.missing(["linux/s390x", "linux/ppc64le", "linux/riscv64"], settings.DOCKER_HOST)[0]
    settings.REGISTRY_ARCH_TARGETS = ["linux/amd64", absent]
    found = diagnosed(docker_platform, "RUN true")
    assert found.name == "emulation"
    assert f"The platforms were linux/amd64, {absent}." in found.means


def test_a_source_that_is_not_there(docker_platform: DockerPlatform) -> None:
    server = docker_platform.git("nothing", "https://127.0.0.1:1/nothing.git")
    found = of(docker_platform.deploy(server))
    assert (found.name, found.best and found.best.name) == ("source", "redeploy")
    refusals = {offer.name: offer.refusal for offer in found.refused}
    assert "roll-back" in refusals
