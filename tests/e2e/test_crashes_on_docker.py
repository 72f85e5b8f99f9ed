"""`kill -9` of a platform that builds, pushes and runs images: in the middle of a push, and at the start."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bench import debian
from deploy.bench.fault_proxy import FaultProxy
from tests.eventually import eventually
from tests.platform import hello_files

from .crashing import deploy, leaves_nothing, reached
from .hosting import OURS, engine, tags_at
from .upping import Machine, archive, machine

pytestmark = pytest.mark.real


@pytest.fixture
def here(
    tmp_path: Path, docker_host: str, fault_proxy: FaultProxy, base_images: dict[str, str]
) -> Iterator[Machine]:
    """A platform on the private engine and registry, without the example: that would be another build."""
    own = {
        "CONTAINER_RUNTIME": "docker",
        "DOCKER_HOST": docker_host,
        "REGISTRY": f"{fault_proxy.host}/killed",
        "REGISTRY_PRIVATE_HOSTS": "127.0.0.1",
        "BUILD_CA_BUNDLE": str(debian.ca_bundle() or ""),
        "BASE_IMAGE_PYTHON": base_images["python"],  # what an image over stdio has its bridge's Python from
        "HEALTH_TIMEOUT": "120",
    }
    with machine(tmp_path, migrated=True, **own) as made:
        prepared = made.command("prepare")
        assert prepared.returncode == 0, prepared.stderr
        yield made
    _clear(docker_host)


def _clear(docker_host: str) -> None:
    with engine(docker_host) as client:
        for container in client.containers.list(all=True, filters={"label": OURS}):
            container.remove(force=True)
        for image in client.api.images(filters={"label": OURS}):
            client.api.remove_image(image["Id"], force=True)


def from_image(base: str) -> dict[str, str | bytes]:
    lines = (f"FROM {base}", "WORKDIR /app", "COPY . ./", "USER 10001", 'CMD ["python3", "server.py"]')
    return {**hello_files(), "Dockerfile": "\n".join((*lines, ""))}


def running(docker_host: str) -> list[str]:
    with engine(docker_host) as client:
        return [container.id for container in client.containers.list(filters={"label": OURS})]


def pushing(proxy: FaultProxy) -> bool:
    return any(action == "throttle" for _, _, action in proxy.log)


def test_at_the_push_and_at_the_start_of_the_container(
    here: Machine, docker_host: str, fault_proxy: FaultProxy, base_images: dict[str, str]
) -> None:
    gate = threading.Event()  # no layer arrives as a whole before it is set
    held = {"method": "PATCH|PUT", "path": "/blobs/uploads/", "action": "throttle", "gate": gate}
    fault_proxy.set([held])
    first = here.start()
    with archive(here.home, from_image(base_images["python"])) as source:
        deploy(here, "--archive", str(source))
    eventually(lambda: pushing(fault_proxy), within=120, what="the push is under way")
    first.kill()
    assert tags_at(fault_proxy.host, "killed/second") == []

    gate.set()
    fault_proxy.clear()
    second = here.start()
    reached(second, "start started", server=1)
    second.kill()

    third = here.start()
    eventually(lambda: here.statuses() == {"second": "running"}, within=120)
    eventually(lambda: len(running(docker_host)) == 1, what="it runs once")
    eventually(lambda: "latest" in tags_at(fault_proxy.host, "killed/second"), what="the tag moves last")
    tags = tags_at(fault_proxy.host, "killed/second")
    assert all(tag == "latest" or tag.startswith("1-") for tag in tags)
    leaves_nothing(here, third)
