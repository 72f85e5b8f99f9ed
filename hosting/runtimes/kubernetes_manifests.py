"""Makes Kubernetes objects from a RunSpec. Pure functions.

Quantities have the form in which the API server returns them, so that a second apply changes nothing.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hosting.runtimes.base import Limits, RunSpec, Volume
from hosting.runtimes.kube_pods import CONTAINER
from registry.dockerconfig import HUB_KEY
from registry.reference import Reference, is_hub

Json = dict[str, Any]

LABEL = "mcphost/"
USER = 10001  # that of images which the platform builds; the API server accepts only a number
TMP_SIZE = "64Mi"
STARTUP_SECONDS = 300
CPU_REQUESTED = 0.1  # of the limit: idle servers share a core; memory is requested in full
LONGEST_SLUG = 23  # a pod's name has 17 characters more than its Deployment's, and at most 63 (RFC 1123)
_COMPONENT = "app.kubernetes.io/component"
# With the chart each part of the platform has pods of its own, and the gateway and the worker call servers.
# Otherwise the pods have no component label, and one does everything.
PLATFORM_PODS: tuple[Json, ...] = tuple(
    {"matchLabels": {"app.kubernetes.io/name": "mcphost"}, "matchExpressions": [{"key": _COMPONENT, **which}]}
    for which in ({"operator": "In", "values": ["gateway", "worker"]}, {"operator": "DoesNotExist"})
)


@dataclass(frozen=True)
class Placement:
    """Where servers run, and who may call them.

    `instance` distinguishes this platform from others in the cluster. `callers` are label selectors of the
    pods that may call servers, which are those of the platform. `caller_networks` (CIDR) are for a platform
    outside of the cluster. `pull_secret` names the Secret with the platform's login. `policy_api` is the API
    version of PodDisruptionBudget in the cluster. `through` is the URL of the API server, where calls go
    through its proxy.
    """

    instance: str
    namespace: str
    pull_secret: str = ""
    service_account: str = ""
    callers: tuple[Json, ...] = PLATFORM_PODS
    caller_networks: tuple[str, ...] = ()
    policy_api: str = "policy/v1"
    through: str = ""


def name_of(spec: RunSpec, place: Placement) -> str:
    """The name of the run's objects. It is a valid host name (RFC 1123), since the Service has it too."""
    slug = re.sub(r"[^a-z0-9-]", "-", spec.slug.lower())[:LONGEST_SLUG].strip("-")
    return f"mcp-{place.instance[:6]}-{slug}-r{spec.run_id}"


def endpoint_of(spec: RunSpec, place: Placement) -> str:
    """The URL of the run's Service, in the cluster or through the API server's proxy."""
    name, path = name_of(spec, place), spec.path.lstrip("/")
    if place.through:
        root = f"{place.through}/api/v1/namespaces/{place.namespace}"
        return f"{root}/services/{name}:{spec.port}/proxy/{path}"
    return f"http://{name}.{place.namespace}.svc:{spec.port}/{path}"


def endpoint_of_pod(endpoint: str, pod: str, address: str) -> str:
    """The URL of one pod, made from that of its Service. `address` is the IP of the pod."""
    before, proxied, after = endpoint.partition("/services/")
    if proxied:
        return f"{before}/pods/{pod}:{after.partition(':')[2]}"
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{endpoint.split(':')[2]}"


def selector_of(instance: str, data: Mapping[str, Any]) -> str:
    """The label selector for the objects of one run, by the `data` of its handle.

    The handle of a run that an older version has started names only the deployment.
    """
    if "run" in data:
        return f"{LABEL}instance={instance},{LABEL}run={data['run']}"
    return f"{LABEL}instance={instance},{LABEL}deployment={data['deployment']},!{LABEL}run"


def key_of(data: Mapping[str, Any]) -> str:
    """The key of a run, by the `data` of its handle. It is equal to `key_of_labels` for each of its pods."""
    return f"run {data['run']}" if "run" in data else f"deployment {data.get('deployment', '')}"


def key_of_labels(labels: Mapping[str, str]) -> str:
    """The key of the run that a pod belongs to, by the labels of the pod."""
    return key_of({label.removeprefix(LABEL): value for label, value in labels.items()})


def server_selector(instance: str, server_id: int) -> str:
    """The label selector for the objects of all runs of a server, its volume included."""
    return ",".join(f"{name}={value}" for name, value in _server_labels(server_id, instance).items())


def manifests(spec: RunSpec, place: Placement) -> list[Json]:
    """All objects of one run, in the order in which to apply them. `strays` finds a run by the first."""
    made = [service(spec, place), secret(spec, place), network_policy(spec, place)]
    if spec.pull.username:
        made.append(pull_secret(spec, place))
    if spec.shape.volume:
        made.append(volume_claim(spec, place, spec.shape.volume))
    if spec.shape.is_several:
        made.append(disruption_budget(spec, place))
    made.append(deployment(spec, place))
    if spec.shape.scales:
        made.append(autoscaler(spec, place))
    return made


def secret(spec: RunSpec, place: Placement) -> Json:
    """The environment of the server. All of it is in a Secret, because each value may be secret."""
    address = {"PORT": str(spec.port), "HOST": "0.0.0.0"} if spec.transport == "streamable-http" else {}
    environment = {"HOME": "/tmp", **spec.environment, **address}  # noqa: S108 (the container's)
    data = {name: base64.b64encode(value.encode()).decode() for name, value in environment.items()}
    return {**_object("v1", "Secret", spec, place), "type": "Opaque", "data": data}


def pull_secret(spec: RunSpec, place: Placement) -> Json:
    """The login that the server's team has given, for the pods of this run only."""
    host = Reference.parse(spec.image).host
    login = {"username": spec.pull.username, "password": spec.pull.password}
    content = json.dumps({"auths": {HUB_KEY if is_hub(host) else host: login}})
    found = _object("v1", "Secret", spec, place)
    found["metadata"]["name"] = pull_secret_of(name_of(spec, place))
    data = {".dockerconfigjson": base64.b64encode(content.encode()).decode()}
    return {**found, "type": "kubernetes.io/dockerconfigjson", "data": data}


def pull_secret_of(name: str) -> str:
    """The name of the pull secret for the run with this name."""
    return f"{name}-pull"


def service(spec: RunSpec, place: Placement) -> Json:
    port = {"name": "mcp", "protocol": "TCP", "port": spec.port, "targetPort": "mcp"}
    body = {"type": "ClusterIP", "selector": _selector(spec, place), "ports": [port]}
    found = _object("v1", "Service", spec, place)
    found["metadata"]["annotations"] = {f"{LABEL}endpoint": endpoint_of(spec, place)}
    return {**found, "spec": body}


def network_policy(spec: RunSpec, place: Placement) -> Json:
    """Ingress only for the platform and to the server's port; egress as `Shape.egress` says."""
    callers: list[Json] = [{"podSelector": selector} for selector in place.callers]
    callers += _blocks(place.caller_networks)
    body: Json = {
        "podSelector": {"matchLabels": _selector(spec, place)},
        "policyTypes": ["Ingress"],
        # A rule without peers would let everyone in.
        "ingress": [{"from": callers, "ports": [{"protocol": "TCP", "port": spec.port}]}] if callers else [],
    }
    if spec.shape.egress is not None:
        body["policyTypes"] = ["Ingress", "Egress"]
        body["egress"] = _egress(spec.shape.egress)
    return {**_object("networking.k8s.io/v1", "NetworkPolicy", spec, place), "spec": body}


def disruption_budget(spec: RunSpec, place: Placement) -> Json:
    body = {"maxUnavailable": 1, "selector": {"matchLabels": _selector(spec, place)}}
    return {**_object(place.policy_api, "PodDisruptionBudget", spec, place), "spec": body}


def autoscaler(spec: RunSpec, place: Placement) -> Json:
    body = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name_of(spec, place)},
        "minReplicas": spec.shape.replicas,
        "maxReplicas": spec.shape.max_replicas,
        "targetCPUUtilizationPercentage": spec.shape.cpu_percent,
    }
    return {**_object("autoscaling/v1", "HorizontalPodAutoscaler", spec, place), "spec": body}


def volume_claim(spec: RunSpec, place: Placement, volume: Volume) -> Json:
    """The volume of the server. It belongs to no deployment, so that its data stays."""
    body: Json = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": _mebibytes(volume.size_mb)}},
    }
    if volume.storage_class:
        body["storageClassName"] = volume.storage_class
    about = {
        "name": claim_of(spec, place),
        "namespace": place.namespace,
        "labels": {
            "app.kubernetes.io/managed-by": "mcphost",
            **_server_labels(spec.server_id, place.instance),
            f"{LABEL}slug": spec.slug[:63].strip("-_."),
        },
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": body}


def claim_of(spec: RunSpec, place: Placement) -> str:
    """The name of the PersistentVolumeClaim of the server."""
    return f"mcp-{place.instance[:6]}-{spec.server_id}-data"


def deployment(spec: RunSpec, place: Placement) -> Json:
    body: Json = {
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": _selector(spec, place)},
        "template": {"metadata": {"labels": _labels(spec, place)}, "spec": _pod(spec, place)},
    }
    if not spec.shape.scales:  # else the autoscaler sets this field, and an apply must not reset it
        body["replicas"] = spec.shape.replicas
    return {**_object("apps/v1", "Deployment", spec, place), "spec": body}


def _pod(spec: RunSpec, place: Placement) -> Json:
    return {
        "automountServiceAccountToken": spec.shape.account_token,
        **({"serviceAccountName": place.service_account} if place.service_account else {}),
        **_pull_secrets(spec, place),
        "enableServiceLinks": False,  # else its environment has the addresses of other servers
        # The pause process is then PID 1: it reaps zombies, and signals reach the server as usual.
        "shareProcessNamespace": True,
        "affinity": _affinity(spec, place),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(spec, name_of(spec, place))],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": TMP_SIZE}}, *_claimed(spec, place)],
    }


def _pull_secrets(spec: RunSpec, place: Placement) -> Json:
    """The platform's login is used only for images that may be pulled with it."""
    shared = place.pull_secret if spec.pull.by_platform else ""
    name = pull_secret_of(name_of(spec, place)) if spec.pull.username else shared
    return {"imagePullSecrets": [{"name": name}]} if name else {}


def _container(spec: RunSpec, name: str) -> Json:
    listens = {"tcpSocket": {"port": "mcp"}, "timeoutSeconds": 2}
    return {
        "name": CONTAINER,
        "image": spec.image,
        # With IfNotPresent a node gives a cached image to every pod. Always asks the registry for permission.
        "imagePullPolicy": "IfNotPresent" if spec.pull.ours else "Always",
        # `args` leaves the entry point, which may be the bridge, as `docker run` does. The kubelet replaces
        # $(NAME), and $$ by $.
        **({"args": [word.replace("$", "$$") for word in spec.command]} if spec.command else {}),
        "envFrom": [{"secretRef": {"name": name}}],
        "ports": [{"name": "mcp", "containerPort": spec.port, "protocol": "TCP"}],
        "resources": _resources(spec.limits),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
        },
        "startupProbe": {**listens, "periodSeconds": 2, "failureThreshold": STARTUP_SECONDS // 2},
        "readinessProbe": {**listens, "periodSeconds": 5, "failureThreshold": 2},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # the message is then its last output
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *_mounted(spec.shape.volume)],  # noqa: S108
    }


def _claimed(spec: RunSpec, place: Placement) -> list[Json]:
    if spec.shape.volume is None:
        return []
    return [{"name": "data", "persistentVolumeClaim": {"claimName": claim_of(spec, place)}}]


def _mounted(volume: Volume | None) -> list[Json]:
    return [{"name": "data", "mountPath": volume.path}] if volume else []


def _resources(limits: Limits) -> Json:
    """Requests and limits. None for processes: the kubelet has one number (podPidsLimit) for all pods."""
    most, least = dict[str, str](), dict[str, str]()
    if limits.cpu:
        most["cpu"], least["cpu"] = _cores(limits.cpu), _cores(max(limits.cpu * CPU_REQUESTED, 0.001))
    if limits.memory_mb:
        most["memory"] = least["memory"] = _mebibytes(limits.memory_mb)
    return {"limits": most, "requests": least} if most else {}


def _cores(value: float) -> str:
    thousandths = round(value * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def _mebibytes(value: int) -> str:
    return f"{value}Mi" if value % 1024 else f"{value // 1024}Gi"


def _affinity(spec: RunSpec, place: Placement) -> Json:
    """The pods of a server with a volume must be on the same node, because only one node can mount it, and
    the old deployment still runs while the new one starts.
    """
    affinity = {"nodeAffinity": _nodes(spec.platforms)}
    if spec.shape.volume is None:
        return affinity
    together = {"labelSelector": {"matchLabels": _server_labels(spec.server_id, place.instance)}}
    term = {**together, "topologyKey": "kubernetes.io/hostname"}
    return {**affinity, "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _nodes(platforms: tuple[str, ...]) -> Json:
    """Only nodes of a platform for which the image exists. On others it fails with `exec format error`."""
    architectures = sorted({platform.split("/")[1] for platform in platforms if "/" in platform})
    wanted = [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]
    if architectures:
        wanted.append({"key": "kubernetes.io/arch", "operator": "In", "values": architectures})
    required = {"nodeSelectorTerms": [{"matchExpressions": wanted}]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": required}


def _egress(networks: tuple[str, ...]) -> list[Json]:
    names: Json = {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
    if not networks:
        return [names]
    return [names, {"to": _blocks(networks)}]


def _blocks(networks: tuple[str, ...]) -> list[Json]:
    """Peers of a NetworkPolicy. An address without a prefix length is a network of one address."""
    return [{"ipBlock": {"cidr": str(ipaddress.ip_network(network))}} for network in networks]


def _object(api: str, kind: str, spec: RunSpec, place: Placement) -> Json:
    about = {"name": name_of(spec, place), "namespace": place.namespace, "labels": _labels(spec, place)}
    return {"apiVersion": api, "kind": kind, "metadata": about}


def _selector(spec: RunSpec, place: Placement) -> dict[str, str]:
    return {f"{LABEL}instance": place.instance, f"{LABEL}run": str(spec.run_id)}


def _server_labels(server_id: int, instance: str) -> dict[str, str]:
    return {f"{LABEL}instance": instance, f"{LABEL}server": str(server_id)}


def _labels(spec: RunSpec, place: Placement) -> dict[str, str]:
    """The labels by which a run is found again, even where the database has lost its row."""
    return {
        "app.kubernetes.io/managed-by": "mcphost",
        "app.kubernetes.io/name": "mcp-server",
        **_selector(spec, place),
        **_server_labels(spec.server_id, place.instance),
        f"{LABEL}slug": spec.slug[:63].strip("-_."),
        f"{LABEL}deployment": str(spec.deployment_id),
        f"{LABEL}number": str(spec.number),
    }
