"""How a server lies on a cluster: what may be set, through every door."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from access.actor import PLATFORM
from console.server_form import ServerForm
from hosting.runtimes.base import Shape, Volume
from servers.models import Server, placement

PLAIN = {"replicas": 1, "max_replicas": 0, "egress": None, "account_token": False, "volume": None}


def test_nothing_set_means_one_plain_pod() -> None:
    assert placement.clean({}) == PLAIN
    assert placement.shape_of({}) == Shape()


def test_what_is_set_becomes_the_shape() -> None:
    values = {"egress": ["198.51.100.0/24"], "volume": {"size_mb": 64}, "account_token": True}
    expected = Shape(egress=("198.51.100.0/24",), volume=Volume(64, "/data"), account_token=True)
    assert placement.shape_of(values) == expected
    assert placement.shape_of({"replicas": 2, "max_replicas": 5}) == Shape(replicas=2, max_replicas=5)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"replicas": 0}, "replicas"),
        ({"replicas": "2"}, "replicas"),
        ({"replicas": True}, "replicas"),
        ({"replicas": 3, "max_replicas": 2}, "max_replicas"),
        ({"egress": "198.51.100.0/24"}, "egress"),
        ({"egress": ["198.51.100.1/24"]}, "egress"),
        ({"account_token": "yes"}, "account_token"),
        ({"volume": {"size_mb": 0}}, "volume"),
        ({"volume": {"path": "data"}}, "volume"),
        ({"volume": {"path": "/data/../etc"}}, "volume"),
        ({"volume": {"path": "/tmp/x"}}, "volume"),
        ({"volume": {"storage_class": "Fast SSD"}}, "volume"),
        ({"volume": {"size": 5}}, "volume"),
        ({"volume": {}, "replicas": 2}, "volume"),
        ({"volume": {}, "max_replicas": 2}, "volume"),
        ({"replica": 2}, "replica"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        placement.clean(values)
    assert list(refused.value.message_dict) == [key]


@pytest.mark.django_db
def test_the_api_takes_shows_and_keeps_it(api: Any, owner: Any, server: Server) -> None:
    url = f"/api/servers/{server.pk}/"
    shown = api(owner).get(url).json()
    assert shown["placement"] == PLAIN
    changed = api(owner).patch(url, {"placement": {"replicas": 2, "egress": []}})
    assert changed.status_code == 200, changed.content
    assert changed.json()["placement"] == {**PLAIN, "replicas": 2, "egress": []}
    refused = api(owner).patch(url, {"placement": {"replicas": 2, "volume": {"size_mb": 10}}})
    assert refused.status_code == 400
    assert "ReadWriteOnce" in str(refused.json())


@pytest.mark.django_db
def test_kubernetes_is_chosen_only_with_a_registry(
    api: Any, owner: Any, server: Server, settings: Any
) -> None:
    url = f"/api/servers/{server.pk}/"
    refused = api(owner).patch(url, {"runtime": "kubernetes"})
    assert refused.status_code == 400
    assert "REGISTRY has to be set" in str(refused.json())
    settings.REGISTRY = "registry.example.org"
    assert api(owner).patch(url, {"runtime": "kubernetes"}).json()["runtime"] == "kubernetes"


class Filled(ServerForm):
    by = PLATFORM


def form(server: Server, **values: Any) -> ServerForm:
    plain = {"name": "x", "owner": server.owner_id, "port": 8000, "path": "/mcp", "cpu": 1, "memory_mb": 512}
    source = {"source_kind": "package", "package_ecosystem": "pypi", "package_name": "mcp-server-time"}
    return Filled({**plain, "pids": 128, **source, **values}, instance=server)


@pytest.mark.django_db
def test_the_form_takes_it_and_shows_it_again(server: Server) -> None:
    filled = form(server, volume_size_mb=512, egress_limited="on", egress_networks="198.51.100.0/24\n")
    assert filled.is_valid(), filled.errors
    server.placement = filled.server_fields()["placement"]
    assert server.placement["volume"] == {"size_mb": 512, "path": "/data", "storage_class": ""}
    shown = Filled(instance=server).initial
    assert shown["volume_size_mb"] == 512
    assert shown["egress_limited"] is True
    assert shown["egress_networks"] == "198.51.100.0/24"


@pytest.mark.django_db
def test_the_form_says_beside_the_field_what_is_wrong(server: Server) -> None:
    assert "volume_size_mb" in form(server, volume_size_mb=512, replicas=2).errors
    assert "egress_networks" in form(server, egress_limited="on", egress_networks="the moon").errors


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("default", "shown"), [("process", "mh-if-kubernetes"), ("kubernetes", "mh-unless-local")]
)
def test_the_page_shows_it_for_kubernetes(
    client: Any, admin_user: Any, settings: Any, default: str, shown: str
) -> None:
    settings.CONTAINER_RUNTIME = default
    client.force_login(admin_user)
    page = client.get("/admin/servers/server/add/").content.decode()
    assert shown in page
    assert 'name="replicas"' in page
