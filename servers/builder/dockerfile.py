"""Dockerfiles as text: for a recognised source, and around an image that speaks stdio."""

from __future__ import annotations

import json
from collections.abc import Sequence

from servers.builder.base import BuildSettings
from servers.runtimes.base import Transport
from servers.sources.base import Recipe

# What the build directory holds beside the Dockerfile (see context.py), and where it goes in the image.
APP, BRIDGE, DEPENDENCIES, ENTRY = "app", "bridge", "dependencies.txt", "entry.sh"
HOME_OF_OURS = "/opt/mcphost"
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
USER = "10001:10001"
PIP_INSTALL = "pip install --disable-pip-version-check --root-user-action=ignore --progress-bar=off"
NPM_VARIABLES = {
    "npm_config_cache": "/root/.npm",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
}
STDIO_PORT, STDIO_PATH = 8000, "/mcp"
BRIDGE_ARGUMENTS = ("--port", str(STDIO_PORT), "--path", STDIO_PATH, "--host", "0.0.0.0", "--")

# Secrets of a build by id (`buildkit.py` gives them): where a RUN finds them, and what points tools at them.
SECRETS = {
    "ca": (
        CA_FILE,
        {
            "PIP_CERT": CA_FILE,
            "SSL_CERT_FILE": CA_FILE,
            "NODE_EXTRA_CA_CERTS": CA_FILE,
            "npm_config_cafile": CA_FILE,
        },
    ),
    "pip": ("/run/secrets/pip.conf", {"PIP_CONFIG_FILE": "/run/secrets/pip.conf"}),
    "npm": ("/run/secrets/npmrc", {"npm_config_globalconfig": "/run/secrets/npmrc"}),
}


def render(recipe: Recipe, *, transport: Transport, settings: BuildSettings) -> str:
    """The Dockerfile of a python or node recipe, for a build directory made by `context.prepare`.

    A stdio server is served over HTTP by the bridge, on port 8000 at /mcp.
    """
    lines = _python(recipe, settings) if recipe.kind == "python" else _node(recipe, settings)
    lines += ["ENV HOME=/tmp", f"USER {USER}"]
    if transport == "stdio":
        lines += [
            f"COPY {BRIDGE}/ {HOME_OF_OURS}/bridge/",
            f"EXPOSE {STDIO_PORT}",
            _exec("ENTRYPOINT", (*_bridge(recipe), *BRIDGE_ARGUMENTS)),
        ]
    return "\n".join([*lines, _exec("CMD", recipe.command), ""])


def render_wrapper(base: str, entrypoint: Sequence[str], command: Sequence[str]) -> str:
    """An image around `base`, whose own `entrypoint` and `command` speak stdio: the bridge serves them.

    The image's user, directory and environment stay as they are. It needs /bin/sh, and python3 or node.
    """
    return "\n".join(
        [
            f"FROM {base}",
            f"COPY {BRIDGE}/ {HOME_OF_OURS}/bridge/",
            f"COPY {ENTRY} {HOME_OF_OURS}/{ENTRY}",
            f"EXPOSE {STDIO_PORT}",
            _exec("ENTRYPOINT", ("/bin/sh", f"{HOME_OF_OURS}/{ENTRY}")),
            _exec("CMD", (*entrypoint, *command)),
            "",
        ]
    )


def entry_script() -> str:
    """The entry of a wrapped image: whichever of python3 and node there is runs the bridge."""
    arguments = " ".join(BRIDGE_ARGUMENTS)
    return f"""#!/bin/sh
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
  exec python3 {HOME_OF_OURS}/bridge {arguments} "$@"
elif command -v node >/dev/null 2>&1; then
  exec node {HOME_OF_OURS}/bridge/bridge.mjs {arguments} "$@"
fi
echo "This image speaks stdio: serving it over HTTP needs python3 (3.9 or newer) or node in it." >&2
exit 127
"""


def _bridge(recipe: Recipe) -> tuple[str, str]:
    if recipe.kind == "python":
        return ("python3", f"{HOME_OF_OURS}/bridge")
    return ("node", f"{HOME_OF_OURS}/bridge/bridge.mjs")


def _python(recipe: Recipe, settings: BuildSettings) -> list[str]:
    lines = [
        f"FROM {settings.python_image}",
        "ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH=/opt/venv/bin:$PATH",
        "WORKDIR /app",
        "RUN python3 -m venv /opt/venv",
    ]
    pip = _run(PIP_INSTALL, "/root/.cache/pip", ("ca", "pip"), settings)
    return lines + _python_install(recipe, pip)


def _python_install(recipe: Recipe, pip: str) -> list[str]:
    context = f"COPY {APP}/ ./"
    listed = [f"COPY {DEPENDENCIES} {HOME_OF_OURS}/", f"{pip} -r {HOME_OF_OURS}/{DEPENDENCIES}", context]
    if not recipe.install:
        return [context]
    if recipe.install == "project":
        return [*listed, f"{pip} ."]
    if recipe.files == ("pyproject.toml",):
        return listed
    if not recipe.files:
        return [context, f"{pip} -r requirements.txt"]
    return [*_copy_manifests(recipe.files), f"{pip} -r requirements.txt", context]


def _node(recipe: Recipe, settings: BuildSettings) -> list[str]:
    npm = _run("npm", "/root/.npm", ("ca", "npm"), settings, **NPM_VARIABLES)
    verb = "ci" if recipe.install == "lock" else "install --no-package-lock"
    install = f"{npm} {verb} {'--include=dev' if recipe.build else '--omit=dev'}"
    context = f"COPY {APP}/ ./"
    start = ["ENV NODE_ENV=production PATH=/app/node_modules/.bin:$PATH", "WORKDIR /app"]
    installed = [*_copy_manifests(recipe.files), install, context] if recipe.files else [context, install]
    if not recipe.build:
        return [f"FROM {settings.node_image}", *start, *installed]
    # A stage of its own: what only the build needs is not in the image.
    build = [f"FROM {settings.node_image} AS build", *start, *installed, f"{npm} run build", f"{npm} prune"]
    return [*build, f"FROM {settings.node_image}", *start, "COPY --from=build /app/ ./"]


def _copy_manifests(files: Sequence[str]) -> list[str]:
    # One line per file: COPY flattens directories, and includes lie where they lie.
    return [f"COPY {json.dumps([f'{APP}/{file}', f'./{file}'])}" for file in files]


def _run(tool: str, cache: str, secrets: Sequence[str], settings: BuildSettings, **variables: str) -> str:
    """`RUN …tool`: with a cache, and with the secrets that the settings give, for this one RUN only."""
    own = f"id={settings.cache_key}{cache.replace('/', '-')}," if settings.cache_key else ""
    mounts = [f"--mount=type=cache,{own}target={cache}"]
    for name in (name for name in secrets if name in given_secrets(settings)):
        target, pointers = SECRETS[name]
        mounts.append(f"--mount=type=secret,id={name},target={target}")
        variables |= {key: value for key, value in pointers.items() if _concerns(key, tool)}
    words = [*mounts, *(f"{name}={value}" for name, value in variables.items()), tool]
    return "RUN " + " ".join(words)


def _concerns(variable: str, tool: str) -> bool:
    others = ("PIP_",) if tool == "npm" else ("NODE_", "npm_")
    return not variable.startswith(others)


def given_secrets(settings: BuildSettings) -> set[str]:
    """The ids of the secrets that a build with these settings is given."""
    given = {"ca": settings.ca_bundle, "pip": settings.pip_index_url, "npm": settings.npm_registry}
    return {name for name, value in given.items() if value}


def _exec(instruction: str, words: Sequence[str]) -> str:
    return f"{instruction} {json.dumps(list(words))}"
