from __future__ import annotations

from typing import Any

from hosting.runtimes import docker_spec
from hosting.runtimes.base import Limits, RunSpec
from hosting.runtimes.docker_spec import Placement

LOOPBACK = Placement("mcphost-a-weather-3-abc", "a", host_port=49153)


def arguments(place: Placement = LOOPBACK, image_user: str = "app", **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"image": "registry/weather@sha256:1", "transport": "streamable-http", **changes}
    spec = RunSpec(server_id=7, slug="weather", deployment_id=42, number=3, run_id=42, **values)
    return docker_spec.container(spec, place, image_user=image_user)


def test_a_container_is_confined() -> None:
    found = arguments()
    assert found["read_only"] is True
    assert set(found["tmpfs"]) == {"/tmp"}
    assert found["cap_drop"] == ["ALL"]
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["init"] is True
    assert "privileged" not in found
    assert {"Name": "core", "Soft": 0, "Hard": 0} in found["ulimits"]


def test_limits_are_the_specs_without_swap() -> None:
    found = arguments(limits=Limits(cpu=0.5, memory_mb=256, pids=64))
    assert (found["mem_limit"], found["memswap_limit"]) == ("256m", "256m")
    assert found["nano_cpus"] == 500_000_000
    assert found["pids_limit"] == 64


def test_no_limit_is_no_argument() -> None:
    found = arguments(limits=Limits(cpu=0, memory_mb=0, pids=0))
    assert not {"mem_limit", "memswap_limit", "nano_cpus", "pids_limit"} & set(found)


def test_it_is_published_on_loopback_only() -> None:
    found = arguments(port=9000)
    assert found["ports"] == {"9000/tcp": ("127.0.0.1", 49153)}
    assert "network" not in found


def test_on_a_network_it_is_reached_by_name_and_not_published() -> None:
    place = Placement("mcphost-a-weather-3-abc", "a", network="hosted")
    found = arguments(place, port=9000, path="tools/mcp")
    assert found["network"] == "hosted"
    assert "ports" not in found
    assert found["labels"]["mcphost.endpoint"] == "http://mcphost-a-weather-3-abc:9000/tools/mcp"


def test_labels_tell_whose_it_is() -> None:
    assert arguments()["labels"] == {
        "mcphost.instance": "a",
        "mcphost.server": "7",
        "mcphost.slug": "weather",
        "mcphost.deployment": "42",
        "mcphost.number": "3",
        "mcphost.run": "42",
        "mcphost.endpoint": "http://127.0.0.1:49153/mcp",
    }


def test_the_environment_is_the_servers_and_where_to_listen() -> None:
    found = arguments(environment={"KEY": "v", "PORT": "1"}, port=9000)
    assert found["environment"] == {"KEY": "v", "PORT": "9000", "HOST": "0.0.0.0"}
    assert arguments(environment={"KEY": "v"}, transport="stdio")["environment"] == {"KEY": "v"}


def test_an_image_without_a_user_runs_as_nobody_in_particular() -> None:
    found = arguments(image_user="")
    assert found["user"] == "10001:10001"
    assert found["environment"]["HOME"] == "/tmp"
    assert arguments(image_user="root")["user"] == "root"


def test_the_images_own_command_is_kept_unless_one_is_given() -> None:
    assert arguments()["command"] is None
    assert arguments(command=("python", "-m", "weather"))["command"] == ["python", "-m", "weather"]
    assert "entrypoint" not in arguments(command=("python",))


def test_failures_are_restarted_a_few_times_and_logs_are_bounded() -> None:
    found = arguments()
    assert found["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": docker_spec.RESTARTS}
    assert found["log_config"]["Config"] == {"max-size": "10m", "max-file": "3"}
