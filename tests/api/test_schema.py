from __future__ import annotations

import re
from io import StringIO

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from api.small_serializers import LogLineShape, MetricShape
from metrics import payload
from servers.payloads import LOG_COLUMNS


def test_the_schema_is_valid_and_has_no_warnings() -> None:
    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    schema = yaml.safe_load(out.getvalue())
    operations = [
        (path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if isinstance(operation, dict)
    ]
    assert {path for path, _ in operations} >= {
        "/api/servers/", "/api/servers/{id}/", "/api/servers/{id}/metrics/stream/", "/api/servers/stream/",
        "/api/servers/{id}/rollback/", "/api/tokens/", "/api/health/",
    }  # fmt: skip
    for path, operation in operations:
        for status in ("400", "406", "5XX"):
            assert operation["responses"][status]["content"], (path, status)
        assert "default" not in operation["responses"], "every status is named"
    assert set(schema["components"]["securitySchemes"]) == {"token", "cookieAuth"}


def test_shapes_are_those_of_the_payloads() -> None:
    named = {column.removesuffix("_id") for column in LOG_COLUMNS}
    assert set(LogLineShape().fields) == named
    assert set(MetricShape().fields) == {column.removesuffix("_id") for column in payload.COLUMNS}


@pytest.mark.django_db
def test_the_page_keeps_to_the_content_security_policy(client: Client) -> None:
    page = client.get("/api/docs/")
    assert page.status_code == 200
    assert "'unsafe-inline'" not in re.findall("script-src[^;]*", page["Content-Security-Policy"])[0]
    scripts = re.findall(r"<script([^>]*)>\s*([^<]*)", page.content.decode())
    assert scripts
    assert all("src=" in attributes and not body.strip() for attributes, body in scripts)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.content.decode()):
        assert address.startswith("/"), "nothing comes from another origin"
    assert client.get("/api/docs/?script=").status_code == 200
    assert client.get("/api/schema/").status_code == 200
