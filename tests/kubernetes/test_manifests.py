"""RunSpec → objects, on dicts."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from hosting.runtimes import kubernetes_manifests
from hosting.runtimes.base import ImagePull, Limits, RunSpec, Shape, Volume
from hosting.runtimes.kubernetes_manifests import Placement

PLACE = Placement("0123456789ab", "hosted", pull_secret="pull", service_account="runner")
IMAGE = "registry.example/weather@sha256:" + "1" * 64


def spec(**changes: Any) -> RunSpec:
    values: dict[str, Any] = {
        "server_id": 7,
        "slug": "weather",
        "deployment_id": 42,
        "number": 3,
        "run_id": 42,
        "transport": "streamable-http",
        "port": 9000,
        "image": IMAGE,
        "pull": ImagePull(ours=True, by_platform=True),
        "platforms": ("linux/arm64",),
        **changes,
    }
    return RunSpec(**values)


def objects(shape: Shape = Shape(), place: Placement = PLACE, **changes: Any) -> dict[str, Any]:  # noqa: B008
    found = kubernetes_manifests.manifests(spec(shape=shape, **changes), place)
    return {manifest["kind"]: manifest for manifest in found}


def pod(shape: Shape = Shape(), place: Placement = PLACE, **changes: Any) -> dict[str, Any]:  # noqa: B008
    return dict(objects(shape, place, **changes)["Deployment"]["spec"]["template"]["spec"])


def container(**changes: Any) -> dict[str, Any]:
    [only] = pod(**changes)["containers"]
    return dict(only)


def test_a_run_is_four_objects_of_one_name() -> None:
    found = objects()
    assert set(found) == {"Secret", "Service", "NetworkPolicy", "Deployment"}
    assert {each["metadata"]["name"] for each in found.values()} == {"mcp-012345-weather-r42"}
    assert {each["metadata"]["namespace"] for each in found.values()} == {"hosted"}


def test_a_service_marks_a_run_before_anything_secret_is_there() -> None:
    assert kubernetes_manifests.manifests(spec(), PLACE)[0]["kind"] == "Service"


def test_every_object_and_pod_says_whose_it_is() -> None:
    found = objects()
    template = found["Deployment"]["spec"]["template"]
    for each in (*found.values(), template):
        assert each["metadata"]["labels"] == {
            "app.kubernetes.io/managed-by": "mcphost",
            "app.kubernetes.io/name": "mcp-server",
            "mcphost/instance": "0123456789ab",
            "mcphost/server": "7",
            "mcphost/slug": "weather",
            "mcphost/deployment": "42",
            "mcphost/number": "3",
            "mcphost/run": "42",
        }


def test_selectors_find_this_run_only() -> None:
    found, mine = objects(), {"mcphost/instance": "0123456789ab", "mcphost/run": "42"}
    assert found["Deployment"]["spec"]["selector"] == {"matchLabels": mine}
    assert found["Service"]["spec"]["selector"] == mine
    assert found["NetworkPolicy"]["spec"]["podSelector"] == {"matchLabels": mine}


@pytest.mark.parametrize("slug", ["a" * 80, "UPPER_case.dots", "x" * 23 + "--y"])
def test_a_name_is_a_host_name_and_so_are_its_pods(slug: str) -> None:
    name = kubernetes_manifests.name_of(spec(slug=slug, run_id=9_999_999_999), PLACE)
    assert len(name) <= 63 - len("-0123456789-01234")
    assert name.replace("-", "").isalnum()
    assert name == name.lower()
    assert "--" not in name.replace("--y", "")


def test_a_container_is_confined() -> None:
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
    }
    assert pod()["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_a_pod_shares_nothing_with_its_node() -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod())
    assert all("hostPath" not in volume for volume in pod()["volumes"])
    assert all("hostPort" not in port for port in container()["ports"])


def test_only_tmp_can_be_written() -> None:
    assert pod()["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]
    assert container()["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_no_token_unless_asked() -> None:
    assert pod()["automountServiceAccountToken"] is False
    assert pod(Shape(account_token=True))["automountServiceAccountToken"] is True
    assert pod()["serviceAccountName"] == "runner"


def test_the_cluster_pulls_by_digest_with_the_pull_secret() -> None:
    assert container()["image"] == IMAGE
    assert pod()["imagePullSecrets"] == [{"name": "pull"}]


def test_what_is_not_set_is_not_written() -> None:
    bare = pod(place=Placement("0123456789ab", "hosted"))
    assert not {"imagePullSecrets", "serviceAccountName"} & set(bare)
    assert "args" not in container()


def test_the_environment_is_in_the_secret_and_nowhere_else() -> None:
    found = objects(environment={"API_KEY": "s3cret", "HOME": "/home/app"})
    data = {name: base64.b64decode(value).decode() for name, value in found["Secret"]["data"].items()}
    assert data == {"API_KEY": "s3cret", "HOME": "/home/app", "PORT": "9000", "HOST": "0.0.0.0"}
    assert container()["envFrom"] == [{"secretRef": {"name": "mcp-012345-weather-r42"}}]
    del found["Secret"]
    assert "s3cret" not in str(found)
    assert base64.b64encode(b"s3cret").decode() not in str(found)


def test_a_server_behind_the_bridge_is_told_no_address() -> None:
    assert set(objects(transport="stdio")["Secret"]["data"]) == {"HOME"}


def test_a_command_keeps_the_images_entry_point() -> None:
    found = container(command=("python", "server.py"))
    assert found["args"] == ["python", "server.py"]
    assert "command" not in found


def test_limits_and_requests() -> None:
    found = container(limits=Limits(cpu=0.5, memory_mb=256))["resources"]
    assert found == {
        "limits": {"cpu": "500m", "memory": "256Mi"},
        "requests": {"cpu": "50m", "memory": "256Mi"},
    }


def test_quantities_are_written_as_the_api_server_writes_them() -> None:
    found = container(limits=Limits(cpu=2.0, memory_mb=2048))["resources"]
    assert found["limits"] == {"cpu": "2", "memory": "2Gi"}
    assert found["requests"]["cpu"] == "200m"


def test_no_limit_is_no_resource() -> None:
    assert container(limits=Limits(cpu=0, memory_mb=0, pids=0))["resources"] == {}


def test_probes_ask_the_servers_port() -> None:
    found = container()
    for probe in ("startupProbe", "readinessProbe"):
        assert found[probe]["tcpSocket"] == {"port": "mcp"}
    assert found["startupProbe"]["periodSeconds"] * found["startupProbe"]["failureThreshold"] == 300
    assert found["ports"] == [{"name": "mcp", "containerPort": 9000, "protocol": "TCP"}]


def architectures(**changes: Any) -> list[str]:
    affinity = pod(**changes)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = affinity["nodeSelectorTerms"]
    found = {wanted["key"]: wanted["values"] for wanted in term["matchExpressions"]}
    assert found["kubernetes.io/os"] == ["linux"]
    return list(found["kubernetes.io/arch"])


def test_only_nodes_that_can_run_the_image_are_taken() -> None:
    assert architectures() == ["arm64"]
    assert architectures(platforms=("linux/arm64", "linux/amd64", "linux/arm64/v8")) == ["amd64", "arm64"]


def policy(shape: Shape = Shape(), place: Placement = PLACE) -> dict[str, Any]:  # noqa: B008
    return dict(objects(shape, place)["NetworkPolicy"]["spec"])


def test_only_what_calls_servers_reaches_one_and_only_its_port() -> None:
    [rule] = policy()["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 9000}]
    assert policy()["policyTypes"] == ["Ingress"]
    assert all(set(peer) == {"podSelector"} for peer in rule["from"])
    ours = {"app.kubernetes.io/name": "mcphost"}
    let_in = [part for part in PARTS if admitted(rule, {**ours, "app.kubernetes.io/component": part})]
    assert let_in == ["gateway", "worker"]
    assert admitted(rule, ours)  # a platform whose parts are one pod
    assert not admitted(rule, {"app.kubernetes.io/component": "gateway"})


PARTS = ("web", "gateway", "worker", "reconciler", "prepare")


def admitted(rule: dict[str, Any], labels: dict[str, str]) -> bool:
    """As the API server reads selectors of labels."""
    return any(selects(peer["podSelector"], labels) for peer in rule["from"])


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    holds = selector["matchLabels"].items() <= labels.items()
    for wanted in selector["matchExpressions"]:
        held = labels.get(wanted["key"])
        holds &= held is None if wanted["operator"] == "DoesNotExist" else held in wanted["values"]
    return bool(holds)


def test_a_platform_outside_is_let_in_by_its_network() -> None:
    place = Placement("0123456789ab", "hosted", callers=(), caller_networks=("192.0.2.0/24",))
    [rule] = policy(place=place)["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": "192.0.2.0/24"}}]


def test_no_callers_lets_nobody_in() -> None:
    assert policy(place=Placement("0123456789ab", "hosted", callers=()))["ingress"] == []


def test_the_way_out_is_closed_but_for_names_and_what_is_listed() -> None:
    names = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    assert policy(Shape(egress=()))["egress"] == [names]
    found = policy(Shape(egress=("198.51.100.0/24",)))
    assert found["egress"] == [names, {"to": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}]
    assert found["policyTypes"] == ["Ingress", "Egress"]


def test_several_replicas_have_a_disruption_budget() -> None:
    found = objects(Shape(replicas=3))
    assert found["Deployment"]["spec"]["replicas"] == 3
    assert found["PodDisruptionBudget"]["apiVersion"] == "policy/v1"
    assert found["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(("shape", "has_one"), [(Shape(max_replicas=10), True), (Shape(), False)])
def test_so_has_what_may_have_several_and_nothing_else(shape: Shape, has_one: bool) -> None:
    assert ("PodDisruptionBudget" in objects(shape)) is has_one


def test_an_autoscaled_deployment_leaves_its_replicas_to_the_autoscaler() -> None:
    found = objects(Shape(replicas=2, max_replicas=5, cpu_percent=70))
    assert "replicas" not in found["Deployment"]["spec"]
    assert found["HorizontalPodAutoscaler"]["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "mcp-012345-weather-r42"},
        "minReplicas": 2,
        "maxReplicas": 5,
        "targetCPUUtilizationPercentage": 70,
    }


def test_the_endpoint_is_the_services() -> None:
    found = kubernetes_manifests.endpoint_of(spec(path="tools/mcp"), PLACE)
    assert found == "http://mcp-012345-weather-r42.hosted.svc:9000/tools/mcp"
    assert objects()["Service"]["metadata"]["annotations"]["mcphost/endpoint"].endswith(":9000/mcp")


VOLUME = Volume(2048, "/data", "fast")


def test_a_volume_is_the_servers_and_no_deployments() -> None:
    one, two = (
        objects(Shape(volume=VOLUME), deployment_id=number)["PersistentVolumeClaim"] for number in (1, 2)
    )
    assert one == two
    assert one["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}},
        "storageClassName": "fast",
    }
    assert "mcphost/deployment" not in one["metadata"]["labels"]
    found = pod(Shape(volume=VOLUME))
    assert found["volumes"][1] == {
        "name": "data",
        "persistentVolumeClaim": {"claimName": one["metadata"]["name"]},
    }
    assert found["containers"][0]["volumeMounts"][1] == {"name": "data", "mountPath": "/data"}


def test_pods_of_one_volume_go_to_one_node() -> None:
    [term] = pod(Shape(volume=VOLUME))["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"] == {"mcphost/instance": "0123456789ab", "mcphost/server": "7"}
    assert "podAffinity" not in pod()["affinity"]


def test_the_way_to_a_server_and_to_one_of_its_pods() -> None:
    inside = kubernetes_manifests.endpoint_of(spec(path="/tools/mcp"), PLACE)
    assert inside == "http://mcp-012345-weather-r42.hosted.svc:9000/tools/mcp"
    assert kubernetes_manifests.endpoint_of_pod(inside, "w-1", "10.0.0.7") == "http://10.0.0.7:9000/tools/mcp"
    assert kubernetes_manifests.endpoint_of_pod(inside, "w-1", "fd00::7") == "http://[fd00::7]:9000/tools/mcp"
    outside = kubernetes_manifests.endpoint_of(spec(), replace(PLACE, through="https://api:6443"))
    root = "https://api:6443/api/v1/namespaces/hosted"
    assert outside == f"{root}/services/mcp-012345-weather-r42:9000/proxy/mcp"
    assert (
        kubernetes_manifests.endpoint_of_pod(outside, "w-1", "10.0.0.7") == f"{root}/pods/w-1:9000/proxy/mcp"
    )


def test_a_single_address_may_call_too() -> None:
    place = Placement("0123456789ab", "hosted", callers=(), caller_networks=("192.0.2.7", "2001:db8::7"))
    [rule] = policy(place=place)["ingress"]
    assert [peer["ipBlock"]["cidr"] for peer in rule["from"]] == ["192.0.2.7/32", "2001:db8::7/128"]


def test_the_kubelet_replaces_nothing_in_a_command() -> None:
    """It would make $(PORT) the variable's value, and $$ one $."""
    assert container(command=("sh", "-c", "echo $(PORT) pa$$word $HOME"))["args"] == [
        "sh",
        "-c",
        "echo $$(PORT) pa$$$$word $$HOME",
    ]
