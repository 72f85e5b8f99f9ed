"""What pushes and publishing cost beside what people use, in one run: `python -m benchmarks.push`.

A private engine and a private registry are started. Each repeat makes new images, and runs every tool on
images of its own with the same sizes, in an order that turns from repeat to repeat: trust the ratios.
CPU is that of the tool and of the engine together. `--memory` pushes a layer of 1 GB instead, and tells how
much memory the pushing process took.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import docker
import psutil

from benchmarks.push_images import MB, layers, load
from deploy.bench import registry
from deploy.bench.engine import Engine, start_engine
from deploy.bench.fault_proxy import FaultProxy
from deploy.bench.requirement import program
from deploy.bench.workspace import Workspace
from registry.client import DOCKER_LIST, RegistryClient
from registry.credentials import CredentialStore
from registry.events import Unleashed
from registry.manifest import publish
from registry.push import Pushed, PushPolicy, push_image
from registry.reference import Reference

AMD, ARM = "linux/amd64", "linux/arm64"
LAYERS = 6
AWAY = 0.02  # seconds that each request to a registry far away takes longer


@dataclass
class Cost:
    wall: float
    cpu: float


class Tool(Protocol):
    name: str

    def push(self, image: str, target: Reference, platform: str) -> None: ...


@dataclass
class Ours:
    engine_url: str
    client: RegistryClient
    name: str = "MCP Host"

    def push(self, image: str, target: Reference, platform: str) -> None:
        self.pushed(image, target, platform)

    def pushed(self, image: str, target: Reference, platform: str) -> Pushed:
        return push_image(
            engine_url=self.engine_url,
            image=image,
            target=target,
            platform=platform,
            client=self.client,
            policy=PushPolicy(),
            report=lambda event: None,
            line=lambda text: None,
            control=Unleashed(),
        )


@dataclass
class DockerPush:
    engine_url: str
    name: str = "docker push"

    def push(self, image: str, target: Reference, platform: str) -> None:
        run_docker(self.engine_url, "tag", image, str(target))
        run_docker(self.engine_url, "push", "--quiet", str(target))


@dataclass
class Skopeo:
    engine_url: str
    name: str = "skopeo copy"

    def push(self, image: str, target: Reference, platform: str) -> None:
        insecure = ["--dest-tls-verify=false", f"--src-daemon-host={self.engine_url}"]
        source = f"docker-daemon:{image}"
        run([program("skopeo"), "copy", "--quiet", *insecure, source, f"docker://{target}"])


def run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def run_docker(engine_url: str, *arguments: str) -> None:
    run([program("docker"), "--host", engine_url, *arguments])


class Bench:
    """The cases; `costs[case, tool]` collects one cost for each repeat."""

    def __init__(self, engine: Engine, host: str, directory: Path, size: int) -> None:
        self.engine, self.host, self.directory, self.size = engine, host, directory, size
        self.client = RegistryClient(host, credentials=CredentialStore(None))
        self.ours = Ours(engine.host, self.client)
        self.tools: list[Tool] = [self.ours, DockerPush(engine.host), Skopeo(engine.host)]
        self.costs: dict[tuple[str, str], list[Cost]] = defaultdict(list)
        self.far = FaultProxy(host)
        self.far.set([{"action": "delay", "seconds": AWAY}])
        self._daemon = psutil.Process(engine.daemon.pid)

    def repository(self, tag: str = "1") -> Reference:
        return Reference(self.host, f"bench/{uuid.uuid4().hex}", tag)

    @contextmanager
    def timed(self, case: str, tool: str) -> Iterator[None]:
        cpu, began = self._cpu(), time.perf_counter()
        yield
        self.costs[case, tool].append(Cost(time.perf_counter() - began, self._cpu() - cpu))

    def _cpu(self) -> float:
        own = sum(
            used.ru_utime + used.ru_stime
            for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        engine = self._daemon.cpu_times()
        return own + engine.user + engine.system

    def repeat(self, number: int) -> None:
        turned = number % len(self.tools)
        for tool in [*self.tools[turned:], *self.tools[:turned]]:
            self._one_platform(tool)
            self._two_platforms(tool)
        self._publish("publish", self.host)
        self._publish(f"publish, {AWAY * 1000:g} ms away", self.far.host)

    def _one_platform(self, tool: Tool) -> None:
        made = layers(self.directory, LAYERS, self.size // LAYERS)
        image, target = load(self.engine.host, made), self.repository()
        with self.timed("cold", tool.name):
            tool.push(image, target, AMD)
        with self.timed("warm", tool.name):
            tool.push(image, target, AMD)
        changed = load(self.engine.host, [*made[:-1], *layers(self.directory, 1, self.size // LAYERS)])
        with self.timed("one layer changed", tool.name):
            tool.push(changed, target.with_tag("2"), AMD)

    def _two_platforms(self, tool: Tool) -> None:
        """Ours at the same time, as a deployment does; the others one after the other, as a script does."""
        shared = layers(self.directory, LAYERS - 1, self.size // LAYERS)
        images = {
            p: load(self.engine.host, [*shared, *layers(self.directory, 1, 4096)], p) for p in (AMD, ARM)
        }
        target = self.repository()

        def push(platform: str) -> None:
            tool.push(images[platform], target.for_platform(platform), platform)

        with self.timed("two platforms", tool.name):
            if tool is self.ours:
                with ThreadPoolExecutor(2) as pool:
                    list(pool.map(push, images))
            else:
                for platform in images:
                    push(platform)

    def _publish(self, case: str, host: str) -> None:
        near = self.repository()
        target = Reference(host, near.repository, near.tag)
        small = layers(self.directory, 1, 4096)
        pushed = [
            self.ours.pushed(load(self.engine.host, small, platform), near.for_platform(platform), platform)
            for platform in (AMD, ARM)
        ]
        with self.timed(case, "docker manifest"):
            self._publish_by_cli(target.with_tag("cli"))
        # A client of its own: connections and what it learnt of the registry are not taken over.
        client = RegistryClient(host, credentials=CredentialStore(None))
        with self.timed(case, self.ours.name):
            publish(
                client=client,
                target=target.with_tag("ours"),
                children=pushed,
                annotations={},
                report=lambda event: None,
                line=lambda text: None,
            )
        index = self.client.get_manifest(near.with_tag("ours")).body
        with self.timed(case, "bare requests"):
            self._bare(target.with_tag("bare"), pushed, index)

    def _publish_by_cli(self, target: Reference) -> None:
        children = [str(target.with_tag("1").for_platform(platform)) for platform in (AMD, ARM)]
        run_docker(self.engine.host, "manifest", "create", "--insecure", str(target), *children)
        run_docker(self.engine.host, "manifest", "push", "--insecure", str(target))

    def _bare(self, target: Reference, pushed: Sequence[Pushed], index: bytes) -> None:
        """The requests of a publishing and nothing else, over one connection."""
        connection = http.client.HTTPConnection(target.host)
        base = f"/v2/{target.repository}"
        accept = {"Accept": ", ".join({DOCKER_LIST, *(child.media_type for child in pushed)})}

        def ask(method: str, path: str, headers: dict[str, str], body: bytes | None = None) -> bytes:
            connection.request(method, path, body, headers)
            return connection.getresponse().read()

        ask("GET", "/v2/", {})
        for child in pushed:
            manifest = ask("GET", f"{base}/manifests/{child.digest}", accept).decode()
            found = re.search(r'"config":.*?"digest":\s*"(sha256:[0-9a-f]+)"', manifest, re.DOTALL)
            assert found
            ask("GET", f"{base}/blobs/{found[1]}", {})
        ask("HEAD", f"{base}/manifests/{target.tag}", accept)
        ask("PUT", f"{base}/manifests/{target.tag}", {"Content-Type": DOCKER_LIST}, index)
        ask("HEAD", f"{base}/manifests/{target.tag}", accept)
        connection.close()

    def tidy(self) -> None:
        for path in self.directory.iterdir():
            path.unlink()
        docker.APIClient(base_url=self.engine.host, timeout=600).prune_images({"dangling": False})


def table(costs: dict[tuple[str, str], list[Cost]]) -> str:
    """Medians; the ratio is the median of the ratios to ours within each repeat."""
    rows = ["| case | tool | wall s | CPU s | wall ÷ ours |", "| --- | --- | ---: | ---: | ---: |"]
    for (case, tool), found in costs.items():
        ours = costs[case, Ours.name]
        ratio = statistics.median(other.wall / own.wall for other, own in zip(found, ours, strict=True))
        wall, cpu = (
            statistics.median(values) for values in ([c.wall for c in found], [c.cpu for c in found])
        )
        rows.append(f"| {case} | {tool} | {wall:.3f} | {cpu:.3f} | {ratio:.2f} |")
    return "\n".join(rows)


def memory(bench: Bench, size: int) -> str:
    """The growth of this process's memory while a small and a large layer are pushed."""
    rows = ["| layer MB | memory before MB | highest during the push MB |", "| ---: | ---: | ---: |"]
    for each in (MB, MB, size):
        image = load(bench.engine.host, layers(bench.directory, 1, each))
        before = psutil.Process().memory_info().rss
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
        bench.ours.push(image, bench.repository(), AMD)
        rows.append(f"| {each // MB} | {before / MB:.1f} | {_highest():.1f} |")
    return "\n".join(rows)


def _highest() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=48, help="MB of an image")
    parser.add_argument("--memory", action="store_true", help="push a layer of 1 GB, and tell of memory only")
    options = parser.parse_args()
    with Workspace() as workspace, tempfile.TemporaryDirectory() as scratch:
        os.environ["DOCKER_CONFIG"] = str(workspace.directory("docker-config"))
        host = registry.start_plain(workspace).host
        bench = Bench(start_engine(workspace), host, Path(scratch), options.size * MB)
        print(measured(bench, options.repeats) if not options.memory else memory(bench, 1024 * MB))


def measured(bench: Bench, repeats: int) -> str:
    bench.repeat(0)
    bench.costs.clear()  # the first warms everything up
    for number in range(repeats):
        bench.repeat(number)
        bench.tidy()
        print(f"repeat {number + 1} of {repeats}, load {os.getloadavg()[0]:.1f}", flush=True)
    return table(bench.costs)


if __name__ == "__main__":
    main()
