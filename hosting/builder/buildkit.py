"""Builds images with BuildKit, through the Docker CLI, since docker-py does not support BuildKit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from hosting import process_group, tooling
from hosting.build_settings import BuildSettings
from hosting.builder import build_errors, logins, named_images
from hosting.builder.base import BuiltImage, ImageBuild
from hosting.builder.progress import Progress
from hosting.deadline import Deadline
from hosting.errors import BuildError
from hosting.process_group import LineSink
from hosting.runtimes.base import Capability
from redaction.rules import without_secrets
from registry.reasons import reason_in

USUAL_PLACES = ("/usr/bin", "/usr/local/bin", "/snap/bin", "/opt/homebrew/bin")
BUILT_IN_BEFORE = 23  # the CLI of this version and later needs the plugin buildx for BuildKit
ADVICE = "Install a Docker CLI that can build: docker.io (Debian) or docker-ce-cli with docker-buildx-plugin."
CONFIG = "config.json"
PROBE_SECONDS = 10
# buildx runs git in the context to describe it. A hostile repository there can make git run programs.
# Older releases have no switch for this; for them GIT_DIR hides the repository from git.
NO_GIT = {"BUILDX_GIT_INFO": "false", "GIT_DIR": os.devnull}
ENGINE_TIMEOUT = 30
MAX_DOCKERFILE = 1 << 20  # characters in which to look for base images

OnProgress = Callable[[int, int], None]  # steps done, steps known


@dataclass(frozen=True)
class Builder:
    """A Docker CLI that can build (`cli` is its path), and the engine that it uses. Thread-safe.

    `docker_host` is a DOCKER_HOST, "" means the default socket. `buildx`: it builds through that plugin.
    """

    cli: str
    buildx: bool
    docker_host: str
    version: str

    def build(
        self,
        spec: ImageBuild,
        settings: BuildSettings,
        *,
        deadline: Deadline,
        on_line: LineSink,
        on_progress: OnProgress | None = None,
    ) -> BuiltImage:
        """Builds one image for one platform. The image is in the engine afterwards.

        `on_line` gets the lines for the build log. Raises `BuildError`: for a failed step with its last
        lines, and before the build starts, for an image that `spec.pulls` does not allow. Raises `Cancelled`,
        `TimedOut`; the process group of the CLI and the build in the engine have ended then.
        """
        plan = _plan(spec, on_line)
        progress = Progress(on_line, on_progress, may_read=plan.allows)
        with _scratch(spec.scratch) as scratch:
            _write_private(scratch / CONFIG, plan.config)
            code = self._run(
                self._argv(spec, settings, scratch),
                settings,
                scratch,
                deadline.within(settings.timeout, "build"),
                progress,
            )
        if code:
            self._require_engine()
            raise build_errors.translate(progress, code, spec.platform)
        return self._inspect(spec)

    def find(self, tag: str, platform: str) -> BuiltImage | None:
        """The image with this tag, if the engine has it for this platform; else None. Raises `BuildError`."""
        with _engine(self.docker_host) as client:
            try:
                image: dict[str, Any] = client.inspect_image(tag)  # type: ignore[no-untyped-call]
            except ImageNotFound:
                return None
        return _built(image, tag, platform) if _is_for(image, platform) else None

    def _require_engine(self) -> None:
        """Raises `BuildError` when the engine is down. Its steps then fail with errors that do not say so."""
        with _engine(self.docker_host) as client:
            client.ping()

    def remove(self, tag: str) -> None:
        """Removes a tag from the engine, and the image with its last tag. Idempotent. Raises `BuildError`."""
        with _engine(self.docker_host) as client:
            try:
                client.remove_image(tag, force=True)
            except ImageNotFound:
                return

    def capability(self) -> Capability:
        return Capability(
            "BuildKit", True, f"{self.cli} {self.version}" + (" with buildx" if self.buildx else "")
        )

    def _run(
        self, argv: list[str], settings: BuildSettings, scratch: Path, deadline: Deadline, progress: Progress
    ) -> int:
        env = _cli_environment(settings, scratch, self.docker_host)
        return process_group.run(
            argv,
            deadline=deadline,
            on_line=lambda line: progress.feed(without_secrets(line)),
            env=env,
            cwd=scratch,
        )

    def _argv(self, spec: ImageBuild, settings: BuildSettings, scratch: Path) -> list[str]:
        build = ["buildx", "build", "--load", "--provenance=false"] if self.buildx else ["build"]
        argv = [self.cli, *build, "--progress=plain", f"--platform={spec.platform}", f"--tag={spec.tag}"]
        argv += [f"--file={spec.dockerfile}", *(["--no-cache"] if spec.no_cache else [])]
        argv += [f"--label={name}={value}" for name, value in spec.labels.items()]
        argv += [f"--secret=id={name},src={path}" for name, path in _secrets(settings, scratch)]
        # Without a value the CLI takes it from its environment, so that a proxy's password is in no argument
        # and no layer.
        argv += [f"--build-arg={name}" for name in _proxy_names(settings)]
        argv += [f"--build-arg={name}={value}" for name, value in spec.arguments.items()]
        argv += [f"--target={spec.target}"] if spec.target else []
        return [*argv, str(spec.context)]

    def _inspect(self, spec: ImageBuild) -> BuiltImage:
        with _engine(self.docker_host) as client:
            image: dict[str, Any] = client.inspect_image(spec.tag)  # type: ignore[no-untyped-call]
        if not _is_for(image, spec.platform):
            raise BuildError(
                f"The build for {spec.platform} gave an image for {_platform_of(image)}.",
                hint=f"The base image in FROM has to exist for {spec.platform}.",
            )
        return _built(image, spec.tag, spec.platform)


def _platform_of(image: Mapping[str, Any]) -> str:
    return f"{image.get('Os')}/{image.get('Architecture')}"


def _is_for(image: Mapping[str, Any], platform: str) -> bool:
    """Whether the image is for this platform. Its config has the variant (v7) apart, or not at all."""
    return platform == _platform_of(image) or platform.startswith(_platform_of(image) + "/")


def _built(image: Mapping[str, Any], tag: str, platform: str) -> BuiltImage:
    config = image.get("Config") or {}
    return BuiltImage(
        platform=platform,
        tag=tag,
        image_id=str(image["Id"]),
        size=int(image.get("Size", 0)),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
    )


def find_builder(docker_host: str = "", *, places: Sequence[str] = USUAL_PLACES) -> Builder:
    """The first CLI that can build with BuildKit, on PATH and then in `places`. Raises `BuildError`."""
    found = _candidates(places)
    for cli in found:
        if builder := _probe(cli, docker_host):
            return builder
    seen = f"{', '.join(found)} cannot build with BuildKit" if found else "there is no docker command"
    raise BuildError(f"No image can be built on this machine: {seen}.", hint=ADVICE, permanent=False)


def capability(docker_host: str = "", *, places: Sequence[str] = USUAL_PLACES) -> Capability:
    """Whether `find_builder` finds a CLI, which it does not raise."""
    try:
        return find_builder(docker_host, places=places).capability()
    except BuildError as error:
        return Capability("BuildKit", False, error.message, error.hint)


def _candidates(places: Sequence[str]) -> list[str]:
    directories = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *places]
    found = (shutil.which("docker", path=directory) for directory in dict.fromkeys(directories) if directory)
    return list(dict.fromkeys(os.path.realpath(path) for path in found if path))


def _probe(cli: str, docker_host: str) -> Builder | None:
    with _scratch() as scratch:
        env = _cli_environment(BuildSettings(), scratch, docker_host)
        if version := _ask([cli, "buildx", "version"], env):
            return Builder(cli, True, docker_host, version.split()[1] if " " in version else version)
        version = _ask([cli, "--version"], env)
    number = re.search(r"\d+\.\d+(\.\d+)?", version)
    if number and int(number[0].split(".")[0]) < BUILT_IN_BEFORE:
        return Builder(cli, False, docker_host, number[0])
    return None


def _ask(argv: list[str], env: dict[str, str]) -> str:
    try:
        answer = subprocess.run(
            argv, env=env, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if answer.returncode else answer.stdout.strip()


@contextmanager
def _scratch(within: Path | None = None) -> Iterator[Path]:
    """A private directory for the configuration of the CLI, so that it uses no login of this user."""
    with tempfile.TemporaryDirectory(prefix="mcphost-build-", dir=within) as name:
        scratch = Path(name)
        plugins = _user_plugins()
        if plugins.is_dir():
            (scratch / "cli-plugins").symlink_to(plugins)
        yield scratch


def _plan(spec: ImageBuild, log: LineSink) -> logins.PullPlan:
    try:
        with spec.dockerfile.open(errors="replace") as file:
            text = file.read(MAX_DOCKERFILE)
    except OSError:  # the build reports it
        text = ""
    automatic = named_images.automatic(spec.platform, spec.here)
    return logins.plan(spec.pulls, text, automatic, log, given=spec.arguments)


def _user_plugins() -> Path:
    configured = os.environ.get("DOCKER_CONFIG")
    return (Path(configured) if configured else Path.home() / ".docker") / "cli-plugins"


def _cli_environment(settings: BuildSettings, scratch: Path, docker_host: str) -> dict[str, str]:
    env = (
        tooling.environment(settings, scratch)
        | {
            "DOCKER_CONFIG": str(scratch),
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CLI_HINTS": "false",
        }
        | NO_GIT
    )
    passed = {
        name: os.environ[name] for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH") if name in os.environ
    }
    return env | passed | ({"DOCKER_HOST": docker_host} if docker_host else {})


def _secrets(settings: BuildSettings, scratch: Path) -> Iterator[tuple[str, Path]]:
    if settings.ca_bundle:
        yield "ca", settings.ca_bundle
    if settings.pip_index_url:
        yield "pip", _write_private(scratch / "pip.conf", f"[global]\nindex-url = {settings.pip_index_url}\n")
        yield "uv", _write_private(scratch / "uv-index", settings.pip_index_url)
    if settings.npm_registry:
        yield "npm", _write_private(scratch / "npmrc", f"registry={settings.npm_registry}\n")


def _write_private(path: Path, text: str) -> Path:
    path.touch(0o600)
    path.write_text(text, "utf-8")
    return path


def _proxy_names(settings: BuildSettings) -> list[str]:
    return [
        spelled
        for name, value in settings.proxies.items()
        if value
        for spelled in (name.upper(), name.lower())
    ]


@contextmanager
def _engine(docker_host: str) -> Iterator[docker.APIClient]:
    try:
        client = docker.APIClient(base_url=docker_host or None, version="auto", timeout=ENGINE_TIMEOUT)
        try:
            yield client
        finally:
            client.close()
    except APIError as error:
        said = str(error.explanation or error)
        raise BuildError(f"The Docker Engine refused: {said}.", reason=reason_in(said)) from error
    except (DockerException, requests.RequestException) as error:
        raise build_errors.engine_away() from error
