"""A real API server, and what tests do with it beside the platform: as its administrator."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from deploy.bench import kubernetes as bench_kubernetes
from deploy.bench.kubernetes import ControlPlane
from deploy.bench.kubernetes_node import Node, start_node
from deploy.bench.workspace import Workspace
from hosting.runtimes import kube_client
from tests.eventually import eventually

Json = dict[str, Any]


class Admin:
    """One namespace of the API server, seen by its administrator."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self.api = client.ApiClient(kube_client.configured())
        self.core, self.apps = client.CoreV1Api(self.api), client.AppsV1Api(self.api)
        self.rights = client.RbacAuthorizationV1Api(self.api)

    def secret(self, name: str) -> Json:
        return self._plain(self.core.read_namespaced_secret(name, self.namespace))

    def content(self, name: str) -> Json:
        held: Json = json.loads(base64.b64decode(self.secret(name)["data"][".dockerconfigjson"]))
        return held

    def put_secret(self, name: str, content: Json, kind: str = "kubernetes.io/dockerconfigjson") -> Json:
        data = {".dockerconfigjson": base64.b64encode(json.dumps(content).encode()).decode()}
        body: Any = {"metadata": {"name": name}, "type": kind, "data": data}
        return self._plain(self.core.create_namespaced_secret(self.namespace, body))

    def objects(self) -> dict[str, Json]:
        """What lies in the namespace, of the kinds that a run is made of, as `Kind/name`."""
        network, budgets = client.NetworkingV1Api(self.api), client.CustomObjectsApi(self.api)
        found: dict[str, Json] = {}
        for kind, items in (
            ("Deployment", self.apps.list_namespaced_deployment(self.namespace).items),
            ("ReplicaSet", self.apps.list_namespaced_replica_set(self.namespace).items),
            ("Pod", self.core.list_namespaced_pod(self.namespace).items),
            ("Service", self.core.list_namespaced_service(self.namespace).items),
            ("Secret", self.core.list_namespaced_secret(self.namespace).items),
            (
                "PersistentVolumeClaim",
                self.core.list_namespaced_persistent_volume_claim(self.namespace).items,
            ),
            ("NetworkPolicy", network.list_namespaced_network_policy(self.namespace).items),
            (
                "HorizontalPodAutoscaler",
                client.AutoscalingV1Api(self.api)
                .list_namespaced_horizontal_pod_autoscaler(self.namespace)
                .items,
            ),
        ):
            found |= {f"{kind}/{item.metadata.name}": self._plain(item) for item in items}
        policies = budgets.list_namespaced_custom_object(
            "policy", "v1beta1", self.namespace, "poddisruptionbudgets"
        )
        found |= {f"PodDisruptionBudget/{item['metadata']['name']}": item for item in policies["items"]}
        return {name: item for name, item in found.items() if not _is_own(item)}

    def pods(self) -> list[Json]:
        return [self._plain(pod) for pod in self.core.list_namespaced_pod(self.namespace).items]

    def volume(self, storage_class: str, directory: Path) -> str:
        """A volume of the node's own directory, for whoever claims one of this class."""
        directory.mkdir()
        directory.chmod(0o777)
        body: Any = {
            "metadata": {"name": f"{storage_class}-{uuid.uuid4().hex[:6]}"},
            "spec": {
                "capacity": {"storage": "64Mi"},
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": storage_class,
                "hostPath": {"path": str(directory)},
            },
        }
        return str(self.core.create_persistent_volume(body).metadata.name)

    def a_pod(self) -> Json:
        return eventually(self.pods, what="a pod is made")[0]

    def say_of_pod(self, pod: Json, state: Json, **more: Any) -> None:
        """Puts into the pod's status what a kubelet would."""
        container = {
            "name": "server",
            "image": "x",
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
            **more,
        }
        body: Any = {"status": {"phase": "Pending", "containerStatuses": [container]}}
        self.core.patch_namespaced_pod_status(pod["metadata"]["name"], self.namespace, body)

    def warn_of_pod(self, pod: Json, reason: str, message: str) -> None:
        """An event as a kubelet records it."""
        name = pod["metadata"]["name"]
        body: Any = {
            "metadata": {"name": f"{name}.{uuid.uuid4().hex[:8]}"},
            "involvedObject": {"kind": "Pod", "name": name, "namespace": self.namespace},
            "type": "Warning",
            "reason": reason,
            "message": message,
            "lastTimestamp": "2126-11-22T17:05:32Z",
        }
        self.core.create_namespaced_event(self.namespace, body)

    def kubeconfig_of(self, account: str, tmp_path: Path) -> Path:
        """A kubeconfig with a token of this service account."""
        body: Any = {"spec": {}, "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        granted = self.core.create_namespaced_service_account_token(account, self.namespace, body)
        document = yaml.safe_load(self.kubeconfig.read_text())
        document["users"][0]["user"] = {"token": granted.status.token}
        path = tmp_path / f"{account}.kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def may(self, account: str, verb: str, resource: str) -> bool:
        """Whether the API server has heard by now of what was granted to a service account, or taken."""
        resource, _, below = resource.partition("/")
        group = "apps" if resource == "deployments" else ""
        wanted = {"namespace": self.namespace, "verb": verb, "group": group, "resource": resource}
        user = f"system:serviceaccount:{self.namespace}:{account}"
        body: Any = {"spec": {"user": user, "resourceAttributes": {**wanted, "subresource": below}}}
        review = client.AuthorizationV1Api(self.api).create_subject_access_review(body)
        return bool(review.status.allowed)

    def _plain(self, item: Any) -> Json:
        found: Json = self.api.sanitize_for_serialization(item)
        return found


def _is_own(item: Json) -> bool:
    """What the cluster puts into each namespace by itself."""
    return item.get("type") == "kubernetes.io/service-account-token"


@pytest.fixture(scope="session")
def plane(bench: Workspace) -> ControlPlane:
    """A private API server without nodes; it is gone with the session."""
    return bench_kubernetes.start_api(bench)


@pytest.fixture
def admin(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    """A namespace of the test's own; KUBECONFIG is the administrator's."""
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    with namespace(plane) as found:
        yield found


@pytest.fixture(scope="session")
def node(bench: Workspace) -> tuple[ControlPlane, Node]:
    """A private cluster of one node that runs pods."""
    plane = bench_kubernetes.start_api(bench)
    return plane, start_node(bench, plane.kubeconfig, plane.programs)


@pytest.fixture
def cluster(node: tuple[ControlPlane, Node], monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    """As `admin`, where pods run."""
    plane, machine = node
    monkeypatch.setenv("KUBECONFIG", str(plane.kubeconfig))
    with namespace(plane) as found:
        machine.tidy_after(found.namespace)
        yield found


@contextmanager
def namespace(plane: ControlPlane) -> Iterator[Admin]:
    found = Admin(plane.kubeconfig, f"test-{uuid.uuid4().hex[:8]}")
    found.core.create_namespace({"metadata": {"name": found.namespace}})  # type: ignore[arg-type]
    eventually(
        lambda: found.core.list_namespaced_service_account(found.namespace).items,
        what="the namespace has its service account",
    )
    yield found
    found.core.delete_namespace(found.namespace)
    found.api.rest_client.close()
