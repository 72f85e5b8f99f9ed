from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder.dockerfile import PIP, render, render_wrapper
from hosting.sources.plan import Plan, Step, Tool

PLAIN = BuildSettings(python_image="base/python:1", node_image="base/node:1")
INSTALL = Step("install", ("uv", "pip", "install", "-r", "requirements.txt"), "Installing", early=True)
REQUIREMENTS = Plan(
    "python", ("python", "server.py"), files=("requirements.txt", "more/base.txt"), steps=(INSTALL,)
)
CI = Step("install", ("npm", "ci", "--omit=dev"), "Installing", early=True)
UV_SET = "UV_LINK_MODE=copy UV_NO_PROGRESS=1 UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true"
UV = f"RUN --mount=type=cache,target=/root/.cache/uv {UV_SET}"


def test_python_with_requirements_behind_the_bridge() -> None:
    assert render(REQUIREMENTS, transport="stdio", settings=PLAIN).splitlines() == [
        "FROM base/python:1 AS build",
        "ENV VIRTUAL_ENV=/opt/venv UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON=/opt/venv/bin/python"
        " PATH=/opt/venv/bin:$PATH",
        "WORKDIR /app",
        "RUN python3 -m venv /opt/tools",
        f"RUN --mount=type=cache,target=/root/.cache/pip {PIP} uv=={version('uv')}",
        "RUN /opt/tools/bin/uv venv --quiet --no-project --python=python3 /opt/venv",
        'COPY ["app/requirements.txt", "./requirements.txt"]',
        'COPY ["app/more/base.txt", "./more/base.txt"]',
        f"{UV} /opt/tools/bin/uv pip install -r requirements.txt",
        "COPY app/ ./",
        "FROM base/python:1",
        "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH",
        "WORKDIR /app",
        "COPY --from=build /opt/venv /opt/venv",
        "COPY --from=build /app/ /app/",
        "ENV HOME=/tmp",
        "USER 10001:10001",
        "COPY bridge/ /opt/mcphost/bridge/",
        "EXPOSE 8000",
        'ENTRYPOINT ["python3", "/opt/mcphost/bridge", "--port", "8000", "--path", "/mcp",'
        ' "--host", "0.0.0.0", "--"]',
        'CMD ["python", "server.py"]',
    ]


def test_a_server_that_speaks_http_has_no_bridge() -> None:
    text = render(REQUIREMENTS, transport="streamable-http", settings=PLAIN)

    assert "bridge" not in text
    assert "ENTRYPOINT" not in text
    assert text.endswith('USER 10001:10001\nCMD ["python", "server.py"]\n')


def test_the_words_of_a_step_are_quoted_for_the_shell() -> None:
    step = Step("install", ("uv", "pip", "install", ".[a; touch /pwned]"), "Installing")
    text = render(Plan("python", ("x",), steps=(step,)), transport="stdio", settings=PLAIN)

    assert "/opt/tools/bin/uv pip install '.[a; touch /pwned]'" in text


@pytest.mark.parametrize(
    ("plan", "order"),
    [
        (Plan("python", ("x",)), ["FROM base/python:1\n", "COPY app/ /app/"]),
        (
            Plan("python", ("x",), steps=(replace(INSTALL, early=False),)),
            ["COPY app/ ./", "-r requirements.txt"],
        ),
        (Plan("node", ("x",), steps=(replace(CI, early=False),)), ["COPY app/ ./", "npm ci"]),
        (
            Plan("node", ("x",), files=("package.json",), steps=(CI,)),
            ['COPY ["app/package.json", "./package.json"]', "npm ci --omit=dev", "COPY app/ ./"],
        ),
        (
            Plan(
                "node",
                ("x",),
                files=("package.json",),
                steps=(CI, Step("build", ("npm", "run", "build"), ""), Step("prune", ("npm", "prune"), "")),
            ),
            ["AS build", "npm ci", "COPY app/ ./", "npm run build", "npm prune", "FROM", "COPY --from"],
        ),
    ],
)
def test_the_order_of_layers(plan: Plan, order: list[str]) -> None:
    text = render(plan, transport="streamable-http", settings=PLAIN)

    at = 0
    for part in order:
        assert part in text[at:], f"{part} is not where it should be in\n{text}"
        at = text.index(part, at) + len(part)


def test_node_images_run_the_node_bridge() -> None:
    text = render(Plan("node", ("node", "a b.js")), transport="stdio", settings=PLAIN)

    assert 'ENTRYPOINT ["node", "/opt/mcphost/bridge/bridge.mjs", "--port"' in text
    assert text.endswith('CMD ["node", "a b.js"]\n')


@pytest.mark.parametrize(("manager", "runs"), [("bun", True), ("pnpm", False)])
def test_scripts_run_of_the_managers_that_put_their_program_in_place_so(manager: Any, runs: bool) -> None:
    step = Step("install", (manager, "install"), "")
    text = render(
        Plan("node", ("node", "x.js"), tools=(Tool(manager, "1.2.3"),), steps=(step,)),
        transport="streamable-http",
        settings=PLAIN,
    )
    [line] = [line for line in text.splitlines() if f"{manager}@1.2.3" in line]
    assert ("npm_config_dangerously_allow_all_scripts=true" in line) is runs


def test_secrets_are_mounted_where_they_are_needed_and_nowhere_kept() -> None:
    settings = BuildSettings(
        pip_index_url="https://user:pass@index.example/simple",
        npm_registry="https://registry.example/",
        ca_bundle=Path("/company.pem"),
        proxies={"HTTPS_PROXY": "http://user:pass@proxy.example"},
    )
    ca = "/etc/ssl/certs/ca-certificates.crt"

    python = render(REQUIREMENTS, transport="stdio", settings=settings)
    node = render(Plan("node", ("x",), steps=(CI,)), transport="stdio", settings=settings)

    assert (
        f"--mount=type=secret,id=ca,target={ca} --mount=type=secret,id=pip,target=/run/secrets/pip.conf "
        f"PIP_CERT={ca} SSL_CERT_FILE={ca} PIP_CONFIG_FILE=/run/secrets/pip.conf {PIP} uv==" in python
    )
    assert (
        f"--mount=type=secret,id=ca,target={ca} --mount=type=secret,id=uv,target=/run/secrets/uv-index "
        f"{UV_SET} "
        f'SSL_CERT_FILE={ca} UV_DEFAULT_INDEX="$(cat /run/secrets/uv-index)" /opt/tools/bin/uv pip install'
        in python
    )
    assert (
        f"--mount=type=secret,id=ca,target={ca} --mount=type=secret,id=npm,target=/run/secrets/npmrc "
        "npm_config_cache=/root/.npm npm_config_fund=false npm_config_update_notifier=false "
        f"SSL_CERT_FILE={ca} NODE_EXTRA_CA_CERTS={ca} npm_config_cafile={ca} "
        "npm_config_globalconfig=/run/secrets/npmrc npm ci" in node
    )
    for text in (python, node):
        assert not {"example", "pass", "company", "ARG"} & set(text.replace("://", " ").split())
        assert "user:pass" not in text


def test_a_wrapper_keeps_what_the_image_starts_and_needs_nothing_in_it() -> None:
    settings = BuildSettings(python_image="base/python:3")
    text = render_wrapper("local/x:1", ("tini", "--"), ("serve", "a b"), settings=settings)

    stage, image = text.split("FROM local/x:1\n")
    assert stage.startswith("FROM base/python:3 AS mcphost-python\nUSER 0\n")
    assert "RUN" not in image
    assert "USER" not in image
    assert 'ENTRYPOINT ["/opt/mcphost/python/ld", "--library-path", "/opt/mcphost/python/libs", ' in image
    assert image.endswith('CMD ["tini", "--", "serve", "a b"]\n')
