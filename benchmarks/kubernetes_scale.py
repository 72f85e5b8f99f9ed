"""What many servers cost, the platform and the cluster: `python -m benchmarks.kubernetes_scale`.

A private API server with its controllers is started (built once by `make test-kubernetes`), `--servers` runs
are applied, and their pods are said to run as a kubelet would say it. Then passes of the reconciler are
measured with nothing to do: how long they take, and what the API server was asked meanwhile.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from deploy.bench import kubernetes
from deploy.bench.kubernetes import ControlPlane
from deploy.bench.workspace import Workspace

ROOT = Path(__file__).parent.parent
NAMESPACE = "scale"
IMAGE = "registry.example/hello@sha256:" + "1" * 64
THREADS, PASSES = 8, 20
WATCHED = ("pods", "deployments")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=1)
    options = parser.parse_args(argv)
    with Workspace() as workspace, _django():
        plane = kubernetes.start_api(workspace)
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        _measure(plane, options.servers, options.replicas)


@contextmanager
def _django() -> Iterator[None]:
    """A platform with an empty database of its own."""
    with tempfile.TemporaryDirectory() as data:
        os.environ |= {
            "ENV_FILE": str(ROOT / "tests/test.env"),
            "DJANGO_SETTINGS_MODULE": "mcphost.settings",
            "DATA_DIR": data,
            "REGISTRY": "registry.example",
            "K8S_NAMESPACE": NAMESPACE,
            "K8S_REACH": "service",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield


def _measure(plane: ControlPlane, servers: int, replicas: int) -> None:
    from hosting.runtimes.kube_client import Cluster
    from servers.deploying import reconciler

    cluster, whole = Cluster(NAMESPACE), Cluster("")
    whole.request("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
    specs = _specs(servers, replicas)
    _tell("apply", _timed(lambda: _apply(cluster, specs)), f"{servers} servers, {len(specs) * 4} objects")
    _tell("apply again", _timed(lambda: _apply(cluster, specs)), "nothing changes")
    _tell("pods made", _timed(lambda: _await_pods(cluster, servers * replicas)), "by the controllers")
    _tell("pods run", _timed(lambda: _all_run(cluster)), "said by the benchmark")
    _rows(specs)
    process, before = psutil.Process(), psutil.Process().memory_info().rss
    _tell("first pass", _timed(reconciler.look), "it lists once")
    asked = _asked(whole)
    spent = time.process_time()
    passes = [_timed(reconciler.look) for _ in range(PASSES)]
    spent = (time.process_time() - spent) / PASSES
    _tell("pass", statistics.median(passes), f"median of {PASSES}; the slowest {max(passes):.2f} s")
    _tell("of CPU", spent, "each")
    print(f"{'requests':>12}  {_difference(asked, _asked(whole)) or 'none'}")
    grown = process.memory_info().rss - before
    print(
        f"{'memory':>12}  {grown / 2**20:.0f} MiB more than before, {grown / servers / 1024:.0f} KiB a server"
    )
    print(f"{'API server':>12}  {psutil.Process(plane.api.pid).memory_info().rss / 2**20:.0f} MiB")
    _tell("change", _timed(lambda: _change_is_seen(cluster)), "from a pod's crash to the survey's word")


def _specs(servers: int, replicas: int) -> list[Any]:
    from hosting.runtimes.base import RunSpec, Shape

    return [
        RunSpec(
            server_id=number,
            slug=f"hello-{number}",
            deployment_id=number,
            number=1,
            run_id=number,
            transport="stdio",
            image=IMAGE,
            environment={"LOG_LEVEL": "info"},
            shape=Shape(replicas=replicas),
        )
        for number in range(1, servers + 1)
    ]


def _place() -> Any:
    from django.conf import settings

    from hosting.runtimes.kubernetes_manifests import Placement

    return Placement(settings.INSTANCE, NAMESPACE, policy_api="policy/v1beta1")


def _apply(cluster: Any, specs: list[Any]) -> None:
    from hosting.runtimes import kubernetes_manifests

    place = _place()
    made = [manifest for spec in specs for manifest in kubernetes_manifests.manifests(spec, place)]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(cluster.apply, made))


def _await_pods(cluster: Any, count: int) -> None:
    while len(cluster.list("v1", "Pod")[0]) < count:
        time.sleep(1)


def _all_run(cluster: Any) -> None:
    names = [pod["metadata"]["name"] for pod in cluster.list("v1", "Pod")[0]]
    running = {"running": {"startedAt": "2026-11-22T17:05:32Z"}}
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: _say(cluster, name, running, ready=True), names))


def _say(cluster: Any, pod: str, state: Any, *, ready: bool) -> None:
    container = {
        "name": "server", "image": "x", "imageID": "", "ready": ready, "restartCount": 0, "state": state,
    }  # fmt: skip
    body = {"status": {"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [container]}}
    path = cluster.path("Pod", pod, "status")
    cluster.request("PATCH", path, body=body, content_type="application/merge-patch+json")


def _rows(specs: list[Any]) -> None:
    from django.contrib.auth.models import User
    from django.db.models import F

    from hosting.runtimes import kubernetes_manifests
    from servers.models import Build, Deployment, Run, Server

    owner, place = User.objects.create_user("owner"), _place()
    Server.objects.bulk_create(
        Server(
            pk=spec.server_id, name=spec.slug, slug=spec.slug, owner=owner, source_kind="package",
            runtime="kubernetes", status="running",
        )
        for spec in specs
    )  # fmt: skip
    Build.objects.bulk_create(
        Build(pk=spec.deployment_id, server_id=spec.server_id, number=1, runtime="kubernetes")
        for spec in specs
    )
    Deployment.objects.bulk_create(
        Deployment(
            pk=spec.deployment_id, server_id=spec.server_id, number=1, trigger="api", status="succeeded",
            build_id=spec.deployment_id,
        )
        for spec in specs
    )  # fmt: skip
    Run.objects.bulk_create(
        Run(
            pk=spec.deployment_id, deployment_id=spec.deployment_id, runtime="kubernetes",
            endpoint=kubernetes_manifests.endpoint_of(spec, place),
            handle={
                "endpoint": kubernetes_manifests.endpoint_of(spec, place),
                "data": {"name": kubernetes_manifests.name_of(spec, place), "deployment": spec.deployment_id},
            },
        )
        for spec in specs
    )  # fmt: skip
    Deployment.objects.update(run_id=F("pk"))
    for spec in specs:
        Server.objects.filter(pk=spec.server_id).update(current_deployment_id=spec.deployment_id)


def _change_is_seen(cluster: Any) -> None:
    from servers.deploying import runs
    from servers.models import Run

    pod = cluster.list("v1", "Pod", "mcphost/run=1")[0][0]["metadata"]["name"]
    _say(cluster, pod, {"waiting": {"reason": "CrashLoopBackOff"}}, ready=False)
    first = Run.objects.get(pk=1)
    while getattr(runs.survey([first])[1], "alive", True):
        time.sleep(0.01)


def _asked(cluster: Any) -> dict[str, int]:
    """Requests that the API server has answered, watches begun included, for what a survey looks at."""
    found: dict[str, int] = {}
    for line in cluster.text("/metrics", {}).decode().splitlines():
        if line.startswith("apiserver_request_total{") and any(f'resource="{w}"' in line for w in WATCHED):
            labels, _, count = line.rpartition(" ")
            verb = labels.partition('verb="')[2].partition('"')[0]
            if verb in ("GET", "LIST", "WATCH"):
                resource = labels.partition('resource="')[2].partition('"')[0]
                found[f"{verb} {resource}"] = found.get(f"{verb} {resource}", 0) + int(float(count))
    return found


def _difference(before: dict[str, int], after: dict[str, int]) -> str:
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return ", ".join(f"{count} {name}" for name, count in sorted(grown.items()) if count)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _tell(what: str, seconds: float, about: str) -> None:
    print(f"{what:>12}  {seconds:8.2f} s  {about}", flush=True)


if __name__ == "__main__":
    main()
