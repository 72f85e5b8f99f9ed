"""Documents as publishers write them: every shape that the schema's own examples show."""

from __future__ import annotations

from typing import Any

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
STDIO = {"type": "stdio"}


def document(*packages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "$schema": SCHEMA,
        "name": "io.github.example/weather",
        "title": "Weather",
        "description": "Forecasts by place",
        "version": "1.2.0",
        **({"packages": list(packages)} if packages else {}),
        **more,
    }


def package(kind: str = "npm", identifier: str = "@example/weather", **more: Any) -> dict[str, Any]:
    version = {} if kind == "oci" else {"version": "1.2.0"}
    return {"registryType": kind, "identifier": identifier, **version, "transport": STDIO, **more}


SEARCH = package(
    identifier="@example/server-search",
    registryBaseUrl="https://registry.npmjs.org",
    runtimeHint="npx",
    runtimeArguments=[{"type": "named", "name": "-y"}],
    environmentVariables=[
        {"name": "SEARCH_API_KEY", "description": "Key", "isRequired": True, "isSecret": True},
        {"name": "LOG_LEVEL", "default": "info", "choices": ["debug", "info"]},
    ],
)
FILES_NPM = package(
    identifier="@example/server-files",
    packageArguments=[
        {
            "type": "positional",
            "valueHint": "target_dir",
            "isRequired": True,
            "isRepeated": True,
            "format": "filepath",
        }
    ],
)
FILES_OCI = package(
    "oci",
    "docker.io/example/files:1.0.2",
    runtimeArguments=[
        {
            "type": "named",
            "name": "--mount",
            "value": "type=bind,src={source},dst={target}",
            "isRequired": True,
            "isRepeated": True,
            "variables": {"source": {"isRequired": True}, "target": {"default": "/project"}},
        }
    ],
    packageArguments=[{"type": "positional", "valueHint": "dir", "value": "/project"}],
)
DATABASE_OCI = package(
    "oci",
    "docker.io/example/database:3.1.0",
    runtimeArguments=[
        {"type": "named", "name": "--network", "value": "host"},
        {
            "type": "named",
            "name": "-e",
            "value": "DB_TYPE={db_type}",
            "variables": {"db_type": {"choices": ["postgres", "mysql"], "isRequired": True}},
        },
        {
            "type": "named",
            "name": "-e",
            "value": "DB_URL=db://{user}:{password}@db",
            "variables": {"user": {"default": "reader"}, "password": {"isSecret": True, "isRequired": True}},
        },
    ],
    packageArguments=[
        {"type": "named", "name": "--host", "default": "localhost", "isRequired": True},
        {"type": "named", "name": "--port", "format": "number"},
        {"type": "named", "name": "--read-only", "format": "boolean"},
        {"type": "positional", "valueHint": "database_name", "isRequired": True},
    ],
)
FIXED = package(
    "pypi",
    "example-weather",
    registryBaseUrl="https://pypi.org",
    runtimeHint="uvx",
    packageArguments=[
        {"type": "positional", "value": "mcp"},
        {"type": "positional", "value": "start"},
        {"type": "named", "name": "--stdio"},
    ],
)
HTTP = package(
    "pypi",
    "example-http",
    transport={"type": "streamable-http", "url": "http://localhost:{port}/weather/mcp"},
    packageArguments=[{"type": "named", "name": "--port", "default": "9000", "format": "number"}],
)
SSE = package(transport={"type": "sse", "url": "http://localhost:3001/sse"})
NUGET = package("nuget", "Example.Weather")
REMOTE = {"type": "streamable-http", "url": "https://weather.example.org/mcp"}
