"""Writes Dockerfiles: for a recognised source, and for the bridge around an image that speaks stdio.

Reference: docs.docker.com/reference/dockerfile.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib.metadata import version

from hosting.build_settings import BuildSettings
from hosting.builder import base_images
from hosting.runtimes.base import Transport
from hosting.sources import python_releases
from hosting.sources.node_managers import LET_SCRIPTS_RUN, REGISTRY, WITH_SCRIPTS, package_of
from hosting.sources.plan import BESIDE, Plan, Step, Tool

# Names in the build directory (see context.py), and paths in the image.
APP, BRIDGE, PORTABLE = "app", "bridge", "portable.py"
HOME_OF_OURS = "/opt/mcphost"
PYTHON_OF_OURS = f"{HOME_OF_OURS}/python"
CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
USER = "10001:10001"
ROOT, VENV, TOOLS, PYTHON = "/app", "/opt/venv", "/opt/tools", "/opt/python"
PIP = f"{TOOLS}/bin/pip install --disable-pip-version-check --root-user-action=ignore --progress-bar=off"
UV_VARIABLES = {
    "UV_LINK_MODE": "copy",
    "UV_NO_PROGRESS": "1",
    "UV_PYTHON_DOWNLOADS": "never",
    "UV_SYSTEM_CERTS": "true",
}
NPM_VARIABLES = {
    "npm_config_cache": "/root/.npm",
    "npm_config_fund": "false",
    "npm_config_update_notifier": "false",
}
PNPM_VARIABLES = dict.fromkeys(("npm_config_store_dir", "pnpm_config_store_dir"), "/root/.pnpm-store")
STDIO_PORT, STDIO_PATH = 8000, "/mcp"
BRIDGE_ARGUMENTS = ("--port", str(STDIO_PORT), "--path", STDIO_PATH, "--host", "0.0.0.0", "--")

NPM_REGISTRY = '"$(sed -n s/^registry=//p /run/secrets/npmrc)"'

# The secrets of a build by id (`buildkit.py` passes them): the path in a RUN, and the variables by which
# tools find it, as shell words.
SECRETS = {
    "ca": (
        CA_FILE,
        {
            "PIP_CERT": CA_FILE,
            "SSL_CERT_FILE": CA_FILE,
            "NODE_EXTRA_CA_CERTS": CA_FILE,
            "npm_config_cafile": CA_FILE,
            "YARN_HTTPS_CA_FILE_PATH": CA_FILE,
        },
    ),
    "pip": ("/run/secrets/pip.conf", {"PIP_CONFIG_FILE": "/run/secrets/pip.conf"}),
    "uv": ("/run/secrets/uv-index", {"UV_DEFAULT_INDEX": '"$(cat /run/secrets/uv-index)"'}),
    "npm": (
        "/run/secrets/npmrc",
        {
            "npm_config_globalconfig": "/run/secrets/npmrc",
            **dict.fromkeys(("npm_config_registry", *REGISTRY), NPM_REGISTRY),
            "YARN_UNSAFE_HTTP_WHITELIST": "'*'",
        },
    ),
}


def render(plan: Plan, *, transport: Transport, settings: BuildSettings) -> str:
    """The Dockerfile of a python or node plan, for a build directory made by `context.prepare`.

    A stdio server is served over HTTP by the bridge, on port 8000 at /mcp.
    """
    lines = _python(plan, settings) if plan.ecosystem == "python" else _node(plan, settings)
    lines += ["ENV HOME=/tmp", f"USER {USER}"]
    if transport == "stdio":
        lines += [
            f"COPY {BRIDGE}/ {HOME_OF_OURS}/bridge/",
            f"EXPOSE {STDIO_PORT}",
            _exec("ENTRYPOINT", (*_bridge(plan), *BRIDGE_ARGUMENTS)),
        ]
    return "\n".join([*lines, _exec("CMD", plan.command), ""])


def render_wrapper(
    base: str, entrypoint: Sequence[str], command: Sequence[str], *, settings: BuildSettings
) -> str:
    """The Dockerfile of an image made from `base`, in which the bridge serves `entrypoint` and `command`, a
    stdio server.

    The files, the user, the directory and the environment of the image stay. It needs no shell and no
    interpreter: the Python of `settings.python_image` is copied into it (see `portable`).
    """
    return "\n".join(
        [
            f"FROM {settings.python_image} AS mcphost-python",
            "USER 0",
            f"COPY {BRIDGE}/ {HOME_OF_OURS}/{BRIDGE}/",
            f"COPY {PORTABLE} {HOME_OF_OURS}/",
            f"RUN python3 {HOME_OF_OURS}/{PORTABLE} {HOME_OF_OURS}/{BRIDGE} {PYTHON_OF_OURS}",
            f"FROM {base}",
            f"COPY --from=mcphost-python {PYTHON_OF_OURS}/ {PYTHON_OF_OURS}/",
            f"COPY {BRIDGE}/ {HOME_OF_OURS}/{BRIDGE}/",
            f"EXPOSE {STDIO_PORT}",
            _exec("ENTRYPOINT", (*_carried_python(), f"{HOME_OF_OURS}/{BRIDGE}", *BRIDGE_ARGUMENTS)),
            _exec("CMD", (*entrypoint, *command)),
            "",
        ]
    )


def _carried_python() -> tuple[str, ...]:
    loader = (f"{PYTHON_OF_OURS}/ld", "--library-path", f"{PYTHON_OF_OURS}/libs")
    return (*loader, f"{PYTHON_OF_OURS}/bin/python3", "-I", "-S")


def _bridge(plan: Plan) -> tuple[str, str]:
    if plan.ecosystem == "python":
        return ("python3", f"{HOME_OF_OURS}/bridge")
    return ("node", f"{HOME_OF_OURS}/bridge/bridge.mjs")


def _python(plan: Plan, settings: BuildSettings) -> list[str]:
    image = base_images.python_image(plan, settings)
    start = [
        f"FROM {image.reference}",
        f"ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PATH={VENV}/bin:$PATH",
    ]
    if not (plan.steps or image.asked):
        return [*start, *_workdir(plan), f"COPY {APP}/ {ROOT}/"]
    # A stage of its own, so that uv and the leftovers of package builds are not in the image.
    return [
        f"FROM {image.reference} AS build",
        # The steps use this interpreter, also where the project has another one in .python-version.
        f"ENV VIRTUAL_ENV={VENV} UV_PROJECT_ENVIRONMENT={VENV} UV_PYTHON={VENV}/bin/python"
        f" PATH={VENV}/bin:$PATH",
        f"WORKDIR {ROOT}",
        f"RUN python3 -m venv {TOOLS}{f' && mkdir {PYTHON}' if image.asked else ''}",
        _run(f"{PIP} uv=={version('uv')}", settings),
        _interpreter(image, settings),
        *_steps(plan, settings),
        *start,
        *_workdir(plan),
        *([f"COPY --from=build {PYTHON} {PYTHON}"] if image.asked else []),
        f"COPY --from=build {VENV} {VENV}",
        f"COPY --from=build {ROOT}/ {ROOT}/",
    ]


def _interpreter(image: base_images.PythonImage, settings: BuildSettings) -> str:
    """Makes the virtual environment, with the Python of the image or one that uv finds or downloads."""
    if not image.asked:
        return f"RUN {_venv('python3')}"
    looked_for = image.otherwise and not python_releases.EXACT.fullmatch(image.asked)
    otherwise = _venv(image.otherwise) if image.otherwise else ""
    downloads = "automatic" if settings.python_downloads else "never"
    variables = {"UV_PYTHON_DOWNLOADS": downloads, "UV_PYTHON_INSTALL_DIR": PYTHON}
    first = _venv(image.asked, "--no-python-downloads " if looked_for else "")
    return _run(first, settings, otherwise=otherwise, **variables)


def _venv(python: str, more: str = "") -> str:
    return f"{TOOLS}/bin/uv venv --quiet --no-project {more}--python={shlex.quote(python)} {VENV}"


def _node(plan: Plan, settings: BuildSettings) -> list[str]:
    base = base_images.node_image(plan, settings)
    fetched = [tool for tool in plan.tools if tool.version]
    kept = any(tool.name in " ".join(plan.command).split() for tool in fetched)
    directories = (f"{directory}/node_modules/.bin" for directory in (_home(plan), ROOT))
    bins = ":".join(dict.fromkeys(directories))
    paths = f"{bins}:{TOOLS}/bin" if kept else bins
    start = [f"ENV NODE_ENV=production PATH={paths}:$PATH", f"WORKDIR {ROOT}"]
    had = [_tool(tool, settings) for tool in fetched]
    if not plan.builds and (kept or not fetched):
        there = _workdir(plan) if plan.member else []
        return [f"FROM {base}", *start, *had, *_steps(plan, settings), *there]
    # A stage of its own, so that what only the build needs is not in the image.
    with_tools = [f"ENV PATH={TOOLS}/bin:$PATH", *had] if had else []
    build = [f"FROM {base} AS build", *start, *with_tools, *_steps(plan, settings)]
    copied = [f"COPY --from=build {ROOT}/ {ROOT}/"]
    copied += [f"COPY --from=build {TOOLS}/ {TOOLS}/"] if kept else []
    return [*build, f"FROM {base}", start[0], *_workdir(plan), *copied]


def _tool(tool: Tool, settings: BuildSettings) -> str:
    variables = LET_SCRIPTS_RUN if tool.name in WITH_SCRIPTS else {}
    return _run(f"npm install --global --prefix={TOOLS} {package_of(tool)}", settings, **variables)


def _home(plan: Plan) -> str:
    return f"{ROOT}/{plan.member}" if plan.member else ROOT


def _workdir(plan: Plan) -> list[str]:
    return [
        f"WORKDIR {_home(plan)}"
    ]  # WORKDIR has no JSON form; `recognise` accepts only plain names of members


def _steps(plan: Plan, settings: BuildSettings) -> list[str]:
    """Copies the files that early steps need before these steps, and the whole source before the others."""
    early = [step for step in plan.steps if step.early]
    first = [*_copy_manifests(plan.files), *(_step(step, plan, settings) for step in early)] if early else []
    beside = [f"COPY {BESIDE}/ /{BESIDE}/"] if plan.beside else []
    rest = (_step(step, plan, settings) for step in plan.steps if not step.early)
    return [*beside, *first, f"COPY {APP}/ ./", *rest]


def _step(step: Step, plan: Plan, settings: BuildSettings) -> str:
    words = (f"{TOOLS}/bin/uv", *step.argv[1:]) if step.argv[0] == "uv" else step.argv
    return _run(shlex.join(words), settings, **plan.environment)


def _copy_manifests(files: Sequence[str]) -> list[str]:
    # One COPY for each file: a COPY of several files would put all of them into one directory.
    return [f"COPY {json.dumps([f'{APP}/{file}', f'./{file}'])}" for file in files]


# By the name of the program: the directory of its cache, its secrets and its variables.
TOOLING: dict[str, tuple[str, tuple[str, ...], dict[str, str]]] = {
    "pip": ("/root/.cache/pip", ("ca", "pip"), {}),
    "uv": ("/root/.cache/uv", ("ca", "uv"), UV_VARIABLES),
    "npm": ("/root/.npm", ("ca", "npm"), NPM_VARIABLES),
    "pnpm": ("/root/.pnpm-store", ("ca", "npm"), PNPM_VARIABLES),
    "yarn": ("/root/.cache/yarn", ("ca", "npm"), {"YARN_GLOBAL_FOLDER": "/root/.cache/yarn/berry"}),
    "bun": ("/root/.bun/install/cache", ("ca", "npm"), {}),
    "node": ("/root/.cache/yarn", ("ca", "npm"), {"YARN_GLOBAL_FOLDER": "/root/.cache/yarn/berry"}),
    "sh": ("/root/.cache", ("ca", "pip", "uv", "npm"), {**UV_VARIABLES, **NPM_VARIABLES}),
}


def _run(command: str, settings: BuildSettings, *, otherwise: str = "", **variables: str) -> str:
    """A RUN with the cache of its tool, and with the secrets of the settings for this RUN only.

    `otherwise` is a command of the same tool that runs where the first one fails.
    """
    tool = command.partition(" ")[0].rpartition("/")[2]
    cache, secrets, own = TOOLING[tool]
    key = f"id={settings.cache_key}{cache.replace('/', '-')}," if settings.cache_key else ""
    mounts = [f"--mount=type=cache,{key}target={cache}"]
    set_here = {name: shlex.quote(value) for name, value in {**own, **variables}.items()}
    for name in (name for name in secrets if name in given_secrets(settings)):
        target, pointers = SECRETS[name]
        mounts.append(f"--mount=type=secret,id={name},target={target}")
        set_here |= {key: value for key, value in pointers.items() if _concerns(key, tool)}
    assigned = [f"{name}={value}" for name, value in set_here.items()]
    tried = [" ".join([*assigned, each]) for each in (command, otherwise) if each]
    return " ".join(["RUN", *mounts, " || ".join(tried)])


OF_NODE = ("NODE_", "npm_", "pnpm_", "YARN_", "BUN_")


def _concerns(variable: str, tool: str) -> bool:
    own = {
        "pip": ("PIP_",),
        "uv": ("UV_",),
        "npm": ("NODE_", "npm_config_globalconfig", "npm_config_cafile"),
        "sh": ("PIP_", "UV_", *OF_NODE),
    }
    return variable.startswith(("SSL_", *own.get(tool, OF_NODE)))


def given_secrets(settings: BuildSettings) -> set[str]:
    """The ids of the secrets that a build gets with these settings; see SECRETS."""
    given = {
        "ca": settings.ca_bundle,
        "pip": settings.pip_index_url,
        "uv": settings.pip_index_url,
        "npm": settings.npm_registry,
    }
    return {name for name, value in given.items() if value}


def _exec(instruction: str, words: Sequence[str]) -> str:
    return f"{instruction} {json.dumps(list(words))}"
