"""RunSpec → Kubernetes objects: pure functions.

Quantities are written as the API server itself writes them, so that a second apply changes nothing.
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
USER = 10001  # as the images that the platform builds; the API server takes no name for it
TMP_SIZE = "64Mi"
STARTUP_SECONDS = 300
CPU_REQUESTED = 0.1  # of the limit: idle servers share a core, while memory is never promised twice
LONGEST_SLUG = 23  # so that a pod's name, 17 longer than its Deployment's, still is a host name
_COMPONENT = "app.kubernetes.io/component"
# Whose parts are pods of their own, as the chart's, has two that call servers; else it is one that does all.
PLATFORM_PODS: tuple[Json, ...] = tuple(
    {"matchLabels": {"app.kubernetes.io/name": "mcphost"}, "matchExpressions": [{"key": _COMPONENT, **which}]}
    for which in ({"operator": "In", "values": ["gateway", "worker"]}, {"operator": "DoesNotExist"})
)


@dataclass(frozen=True)
class Placement:
    """Where on which cluster. `callers` select the pods that may call servers: the platform's.

    `caller_networks` (CIDR) may too: of a platform that lies outside. `policy_api` is the version that the
    cluster has of PodDisruptionBudget. `through` is the API server's URL where calls go through it.
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
    """The same for each apply of one run; it is a host name too, that of the Service."""
    slug = re.sub(r"[^a-z0-9-]", "-", spec.slug.lower())[:LONGEST_SLUG].strip("-")
    return f"mcp-{place.instance[:6]}-{slug}-r{spec.run_id}"


def endpoint_of(spec: RunSpec, place: Placement) -> str:
    """The Service by its name in the cluster, or behind the API server."""
    name, path = name_of(spec, place), spec.path.lstrip("/")
    if place.through:
        root = f"{place.through}/api/v1/namespaces/{place.namespace}"
        return f"{root}/services/{name}:{spec.port}/proxy/{path}"
    return f"http://{name}.{place.namespace}.svc:{spec.port}/{path}"


def endpoint_of_pod(endpoint: str, pod: str, address: str) -> str:
    """One pod's own, out of its Service's."""
    before, proxied, after = endpoint.partition("/services/")
    if proxied:
        return f"{before}/pods/{pod}:{after.partition(':')[2]}"
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{endpoint.split(':')[2]}"


def selector_of(instance: str, data: Mapping[str, Any]) -> str:
    """Of the objects of one run, by its handle's `data`. An earlier version labelled its deployment alone."""
    if "run" in data:
        return f"{LABEL}instance={instance},{LABEL}run={data['run']}"
    return f"{LABEL}instance={instance},{LABEL}deployment={data['deployment']},!{LABEL}run"


def key_of(data: Mapping[str, Any]) -> str:
    """What the pods of a run have in common: see `key_of_labels`."""
    return f"run {data['run']}" if "run" in data else f"deployment {data['deployment']}"


def key_of_labels(labels: Mapping[str, str]) -> str:
    run = labels.get(f"{LABEL}run")
    return f"run {run}" if run else f"deployment {labels.get(f'{LABEL}deployment', '')}"


def server_selector(instance: str, server_id: int) -> str:
    return ",".join(f"{name}={value}" for name, value in _server_labels(server_id, instance).items())


def manifests(spec: RunSpec, place: Placement) -> list[Json]:
    """All objects of one run, in the order in which they are applied. By the first, `strays` finds it."""
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
    """The environment: whole, as its values may be secret."""
    address = {"PORT": str(spec.port), "HOST": "0.0.0.0"} if spec.transport == "streamable-http" else {}
    environment = {"HOME": "/tmp", **spec.environment, **address}  # noqa: S108 (the container's)
    data = {name: base64.b64encode(value.encode()).decode() for name, value in environment.items()}
    return {**_object("v1", "Secret", spec, place), "type": "Opaque", "data": data}


def pull_secret(spec: RunSpec, place: Placement) -> Json:
    """The login that the server's team gave, for the pods of this run alone."""
    host = Reference.parse(spec.image).host
    login = {"username": spec.pull.username, "password": spec.pull.password}
    content = json.dumps({"auths": {HUB_KEY if is_hub(host) else host: login}})
    found = _object("v1", "Secret", spec, place)
    found["metadata"]["name"] = pull_secret_of(name_of(spec, place))
    data = {".dockerconfigjson": base64.b64encode(content.encode()).decode()}
    return {**found, "type": "kubernetes.io/dockerconfigjson", "data": data}


def pull_secret_of(name: str) -> str:
    """Of the run with that name."""
    return f"{name}-pull"


def service(spec: RunSpec, place: Placement) -> Json:
    port = {"name": "mcp", "protocol": "TCP", "port": spec.port, "targetPort": "mcp"}
    body = {"type": "ClusterIP", "selector": _selector(spec, place), "ports": [port]}
    found = _object("v1", "Service", spec, place)
    found["metadata"]["annotations"] = {f"{LABEL}endpoint": endpoint_of(spec, place)}
    return {**found, "spec": body}


def network_policy(spec: RunSpec, place: Placement) -> Json:
    """In: only who calls servers, only to the server's port. Out: what `Shape.egress` says."""
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
    """The server's, not the deployment's: what it holds stays while deployments come and go."""
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
    return f"mcp-{place.instance[:6]}-{spec.server_id}-data"


def deployment(spec: RunSpec, place: Placement) -> Json:
    body: Json = {
        "revisionHistoryLimit": 1,
        "selector": {"matchLabels": _selector(spec, place)},
        "template": {"metadata": {"labels": _labels(spec, place)}, "spec": _pod(spec, place)},
    }
    if not spec.shape.scales:  # else the autoscaler's field: an apply must not take it back
        body["replicas"] = spec.shape.replicas
    return {**_object("apps/v1", "Deployment", spec, place), "spec": body}


def _pod(spec: RunSpec, place: Placement) -> Json:
    return {
        "automountServiceAccountToken": spec.shape.account_token,
        **({"serviceAccountName": place.service_account} if place.service_account else {}),
        **_pull_secrets(spec, place),
        "enableServiceLinks": False,  # the addresses of others are none of its business
        # The first process of the pod reaps, and the server gets signals as an ordinary process does.
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
    """The platform's login only goes where the image may be pulled with it."""
    shared = place.pull_secret if spec.pull.by_platform else ""
    name = pull_secret_of(name_of(spec, place)) if spec.pull.username else shared
    return {"imagePullSecrets": [{"name": name}]} if name else {}


def _container(spec: RunSpec, name: str) -> Json:
    listens = {"tcpSocket": {"port": "mcp"}, "timeoutSeconds": 2}
    return {
        "name": CONTAINER,
        "image": spec.image,
        # What lies on a node is given to every pod there; the registry knows who may have it.
        "imagePullPolicy": "IfNotPresent" if spec.pull.ours else "Always",
        # As with `docker run`: an image's entry point, which may be the bridge, stays.
        # The kubelet would replace $(NAME), and $$ by $.
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
        "terminationMessagePolicy": "FallbackToLogsOnError",  # its last lines, when it fails
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *_mounted(spec.shape.volume)],  # noqa: S108
    }


def _claimed(spec: RunSpec, place: Placement) -> list[Json]:
    if spec.shape.volume is None:
        return []
    return [{"name": "data", "persistentVolumeClaim": {"claimName": claim_of(spec, place)}}]


def _mounted(volume: Volume | None) -> list[Json]:
    return [{"name": "data", "mountPath": volume.path}] if volume else []


def _resources(limits: Limits) -> Json:
    """There is no such limit on processes: the kubelet's `podPidsLimit` is for all pods of a node."""
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
    """What holds a volume goes where its other pods are, as only one node can mount it: the old deployment
    serves on while the new one starts.
    """
    affinity = {"nodeAffinity": _nodes(spec.platforms)}
    if spec.shape.volume is None:
        return affinity
    together = {"labelSelector": {"matchLabels": _server_labels(spec.server_id, place.instance)}}
    term = {**together, "topologyKey": "kubernetes.io/hostname"}
    return {**affinity, "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _nodes(platforms: tuple[str, ...]) -> Json:
    """Only nodes that can run the image: any other would end in an `exec format error`."""
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
    """A bare address is a network of one."""
    return [{"ipBlock": {"cidr": str(ipaddress.ip_network(network))}} for network in networks]


def _object(api: str, kind: str, spec: RunSpec, place: Placement) -> Json:
    about = {"name": name_of(spec, place), "namespace": place.namespace, "labels": _labels(spec, place)}
    return {"apiVersion": api, "kind": kind, "metadata": about}


def _selector(spec: RunSpec, place: Placement) -> dict[str, str]:
    return {f"{LABEL}instance": place.instance, f"{LABEL}run": str(spec.run_id)}


def _server_labels(server_id: int, instance: str) -> dict[str, str]:
    return {f"{LABEL}instance": instance, f"{LABEL}server": str(server_id)}


def _labels(spec: RunSpec, place: Placement) -> dict[str, str]:
    """By these a run is found again, whatever became of the platform's rows."""
    return {
        "app.kubernetes.io/managed-by": "mcphost",
        "app.kubernetes.io/name": "mcp-server",
        **_selector(spec, place),
        **_server_labels(spec.server_id, place.instance),
        f"{LABEL}slug": spec.slug[:63].strip("-_."),
        f"{LABEL}deployment": str(spec.deployment_id),
        f"{LABEL}number": str(spec.number),
    }
