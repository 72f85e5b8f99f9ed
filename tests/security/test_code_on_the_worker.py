"""Somebody wants code to run on the worker: by what a package, a repository, an archive or an image brings.

Where servers run in containers, nothing of theirs is executed, imported or built beside the platform's keys.
Each specimen leaves a mark wherever its code runs. The programs that the worker starts are on a list.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from deploy.bench import docker_cli
from deploy.bench.packages import wheels_of
from hosting.build_settings import BuildSettings
from hosting.builder.base import ImageBuild
from hosting.builder.buildkit import find_builder
from hosting.deadline import Deadline
from hosting.errors import SourceError, UserError
from hosting.sources.base import Fetched
from hosting.sources.git import GitSource
from hosting.sources.recognise import recognise
from servers.deploying import fetching
from servers.models import Server
from servers.states import DeploymentStatus
from tests.accounts import make_deployment
from tests.certificates import write_authority
from tests.e2e.conftest import docker_platform, forge, images, repository
from tests.e2e.hosting import DockerPlatform
from tests.eventually import eventually
from tests.hosting.sources.git_server import GitServer, Repository
from tests.kubernetes.test_client import Answer, ApiServer
from tests.platform import Platform, forget_adapters, platform, quick
from tests.security import evil
from tests.security.evil import CRY, PackageHost
from tests.security.started import watching

__all__ = ["docker_platform", "forge", "images", "platform", "quick", "repository"]

# What the worker may start to look at a source of this kind, and to have an image of it built.
TO_LOOK: dict[str, set[str]] = {
    "pypi": set(),
    "npm": {"npm"},
    "git": {"git"},
    "upload": set(),
    "image": set(),
}
TO_BUILD = {"docker"}
KINDS = ("pypi", "npm", "git", "upload", "dockerfile")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that evil code writes to. On the worker it is not there in the end."""
    return tmp_path / "marks" / "ran"


class Specimens:
    """Makes a server of each kind whose code marks where it runs."""

    def __init__(self, platform: Platform, mark: Path, packages: PackageHost, forge: GitServer) -> None:
        self.hosted = DockerPlatform(platform.owner)
        self.mark, self.packages, self.forge = mark, packages, forge
        mark.parent.mkdir()
        packages.files["evil_pypi-1.0.tar.gz"] = evil.sdist(mark, "evil-pypi")
        packages.files["evil-npm.tgz"] = evil.npm_package(mark, "evil-npm")

    def of(self, kind: str, python_image: str = "") -> Server:
        made: dict[str, Callable[[], Server]] = {
            "pypi": lambda: self.hosted.package("pypi", "evil-pypi"),
            "npm": lambda: self.hosted.package("npm", "evil-npm"),
            "git": self._git,
            "upload": self._upload,
            "dockerfile": lambda: self._dockerfile(python_image),
        }
        return made[kind]()

    def _git(self) -> Server:
        kept = evil_repository(self.forge, self.mark)
        return self.hosted.git("evil-git", self.forge.url(f"{kept.path.name}/.git"))

    def _upload(self) -> Server:
        return self.hosted.server("evil-upload", self._tree())

    def _dockerfile(self, python_image: str) -> Server:
        lines = (f"FROM {python_image}", "COPY . /app", "RUN python3 /app/backend.py", "")
        return self.hosted.server("evil-dockerfile", self._tree() | {"Dockerfile": "\n".join(lines)})

    def _tree(self) -> dict[str, str | bytes]:
        return evil.project(self.mark, "evil-tree") | evil.repository_inside(self.mark)


def evil_repository(forge: GitServer, mark: Path) -> Repository:
    """Hooks, filters, a file system monitor and a bare repository, as far as a repository can bring them."""
    kept = Repository(forge.root / "evil")
    for name in ("post-checkout", "post-merge", "pre-commit", "post-index-change"):
        for folder in (kept.path / ".githooks", kept.path / "hooks"):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(f"#!/bin/sh\necho hook >> {mark}\n")
            (folder / name).chmod(0o755)
    within = evil.repository_inside(mark)
    bare = {name.removeprefix(".git/"): text for name, text in within.items()}
    for name, text in (evil.project(mark, "evil-git") | bare).items():
        (kept.path / name).parent.mkdir(parents=True, exist_ok=True)
        (kept.path / name).write_text(str(text))
    driver = f'[filter "evil"]\n\tsmudge = echo filter >> {mark}\n\tprocess = echo filter >> {mark}\n'
    kept.commit("Evil")
    # Past the test's own git, which would obey them: its home is the work tree.
    for name, text in {
        ".gitconfig": driver,
        ".lfsconfig": f"[lfs]\n\turl = ext::sh -c echo% lfs% >>% {mark}\n{driver}",
        ".gitattributes": "* filter=evil diff=evil merge=evil\n*.bin filter=lfs\n",
    }.items():
        (forge.root / name).write_text(text)
        blob = kept.git("hash-object", "-w", "--no-filters", str(forge.root / name))
        kept.git("update-index", "--add", "--cacheinfo", f"100644,{blob},{name}")
    kept.git("commit", "--quiet", "-m", "$(touch x) --upload-pack=x")
    return kept


@pytest.fixture
def specimens(
    request: pytest.FixtureRequest, platform: Platform, settings: Any, mark: Path, forge: GitServer
) -> Iterator[Specimens]:
    """Served on the loopback; where containers build, on the engine's bridge, which they reach too."""
    host, tls = "127.0.0.1", []
    if "docker_platform" in request.fixturenames:
        host = _gateway(request.getfixturevalue("docker_host"))
        # pip takes nothing over http from another machine.
        settings.BUILD_CA_BUNDLE, *tls = write_authority(forge.root.parent, host)
    with evil.package_host(host, tls) as packages:
        if tls:  # an image is built with what its index has: the installer too
            tools = wheels_of(f"uv=={version('uv')}")
            packages.files |= {wheel.name: wheel.read_bytes() for wheel in tools}
        settings.BUILD_PIP_INDEX_URL, settings.BUILD_NPM_REGISTRY = packages.pip, packages.npm
        forget_adapters()
        yield Specimens(platform, mark, packages, forge)


@pytest.fixture
def empty_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An API server that knows of nothing: what is tried here ends before a cluster has to run it."""
    served = ApiServer()
    served.answers = Nothing()
    here = f"http://127.0.0.1:{served.http.server_port}"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": here}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    yield
    served.http.shutdown()
    served.http.server_close()


class Nothing(list[Any]):
    def pop(self, _index: Any = 0) -> Answer:
        return 200, {}, {"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []}


def _gateway(docker_host: str) -> str:
    client = docker.APIClient(base_url=docker_host)
    try:
        return str(client.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"])
    finally:
        client.close()


def look(server: Server, into: Path) -> Fetched:
    return fetching.source_of(server).fetch(into, deadline=Deadline.of(60), log=lambda _: None)


def allowed(kind: str) -> set[str]:
    return TO_LOOK["upload" if kind == "dockerfile" else kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_look_at_it_runs_none_of_it_on_any_runtime(
    specimens: Specimens, kind: str, mark: Path, tmp_path: Path
) -> None:
    server = specimens.of(kind, "base")

    with watching(tmp_path) as started:
        fetched = look(server, tmp_path / "into")
        plan = recognise(fetched, images=True)  # type: ignore[arg-type]

    assert plan.ecosystem == {"npm": "node", "dockerfile": "dockerfile"}.get(kind, "python")
    assert started.programs() == allowed(kind)
    assert (started.code, mark.exists()) == ([], False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pypi", "npm", "git", "upload"])
def test_where_the_operator_chose_processes_it_runs_in_the_build_as_was_asked_for(
    specimens: Specimens, platform: Platform, kind: str, mark: Path
) -> None:
    """Which also shows that the specimens are alive."""
    deployment = platform.deploy(specimens.of(kind))

    assert (deployment.status, deployment.error_kind) == (DeploymentStatus.FAILED, "build"), deployment.error
    assert CRY in platform.log(deployment)
    assert mark.exists()


@pytest.mark.real
@pytest.mark.parametrize("runtime", ["docker", "kubernetes"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_in_the_builds_container_and_nowhere_else(
    empty_cluster: None,
    docker_platform: DockerPlatform,
    specimens: Specimens,
    settings: Any,
    kind: str,
    runtime: str,
    mark: Path,
    tmp_path: Path,
) -> None:
    settings.CONTAINER_RUNTIME = runtime
    forget_adapters()
    server = specimens.of(kind, settings.BASE_IMAGE_PYTHON)

    with watching(tmp_path) as started:
        deployment = docker_platform.deploy(server, within=200)

    assert (deployment.status, deployment.error_kind) == (DeploymentStatus.FAILED, "build"), deployment.error
    assert deployment.build.runtime == runtime
    assert CRY in docker_platform.log(deployment)
    assert started.programs() == allowed(kind) | TO_BUILD
    assert (started.code, mark.exists()) == ([], False)


@pytest.mark.real
@pytest.mark.parametrize(("image", "transport"), [("busybox", "streamable-http"), ("python", "stdio")])
def test_an_images_command_runs_in_its_container_and_nowhere_else(
    docker_platform: DockerPlatform,
    base_images: dict[str, str],
    settings: Any,
    image: str,
    transport: str,
    mark: Path,
    tmp_path: Path,
) -> None:
    """Over stdio it gets the bridge around it, which is a build."""
    settings.HEALTH_TIMEOUT = 20
    mark.parent.mkdir()
    words = ["sh", "-c", f"mkdir -p {mark.parent}; echo image >> {mark}; echo {CRY} >&2; exit 3"]
    source = {"reference": base_images[image], "arguments": words}
    server = docker_platform.made(
        f"evil-{image}", source_kind="image", source=source, transport=transport, port=8000
    )

    with watching(tmp_path) as started:
        deployment = docker_platform.deploy(server, within=120)

    assert deployment.status == DeploymentStatus.FAILED
    eventually(lambda: CRY in docker_platform.log(deployment), what="the image's own words are in the log")
    assert started.programs() <= TO_LOOK["image"] | TO_BUILD
    assert (started.code, mark.exists()) == ([], False)


@pytest.mark.real
def test_a_repository_in_an_archive_whose_configuration_names_programs_for_buildx(
    docker_host: str, base_images: dict[str, str], mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """buildx asks git about the directory that it builds: with a lazy fetch, git runs what that names."""
    cli, plugins = docker_cli.with_buildx()
    (tmp_path / "home").mkdir()
    (tmp_path / "home/cli-plugins").symlink_to(plugins)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{cli.parent}:{os.environ['PATH']}")
    mark.parent.mkdir()
    context = tmp_path / "context"
    for name, text in (
        evil.repository_inside(mark) | {"Dockerfile": f"FROM {base_images['busybox']}\n"}
    ).items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_text(str(text))

    builder = find_builder(docker_host)
    spec = ImageBuild(context, context / "Dockerfile", "linux/amd64", "mcphost.local/evil:amd64")
    built = builder.build(spec, BuildSettings(docker_host), deadline=Deadline.of(120), on_line=lambda _: None)

    assert (builder.buildx, builder.cli) == (True, str(cli))
    assert built.image_id.startswith("sha256:")
    assert not mark.exists(), mark.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "url = ext::sh -c echo% submodule% >>% {mark}",
        "url = --upload-pack=touch {mark}",
        "url = ssh://-oProxyCommand=touch% {mark}/x",
        "url = file:///etc",
        "url = ./\n\tupdate = !echo submodule >> {mark}",
        "url = ./\n\tpath = ../outside\n\tupdate = !echo submodule >> {mark}",
    ],
)
def test_a_submodule_that_names_a_program(forge: GitServer, mark: Path, line: str, tmp_path: Path) -> None:
    mark.parent.mkdir()
    kept = Repository(forge.root / "evil")
    first = kept.commit("First", server__py="")
    kept.git("update-index", "--add", "--cacheinfo", f"160000,{first},module")
    (kept.path / ".gitmodules").write_text(
        f'[submodule "module"]\n\tpath = module\n\t{line.format(mark=mark)}\n'
    )
    kept.git("add", ".gitmodules")
    kept.git("commit", "--quiet", "-m", "Second")
    source = GitSource(forge.url("evil/.git"), protocols=("http",))

    with watching(tmp_path) as started, pytest.raises(SourceError):
        source.fetch(tmp_path / "into", deadline=Deadline.of(60), log=lambda _: None)

    assert started.programs() == {"git"}
    assert not mark.exists(), mark.read_text()


@pytest.mark.slow
def test_a_program_in_the_source_that_bears_a_tools_name(
    forge: GitServer, mark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty or relative entry of PATH means the directory in which a tool is run: the source's own."""
    mark.parent.mkdir()
    kept = Repository(forge.root / "evil")
    for name in ("git", "sh", "ssh", "sed", "basename", "uname", "git-remote-http"):
        (kept.path / name).write_text(f"#!/bin/sh\necho {name} >> {mark}\n")
        (kept.path / name).chmod(0o755)
    kept.commit("First", server__py="")
    monkeypatch.setenv("PATH", f":.:{os.environ['PATH']}")

    source = GitSource(forge.url("evil/.git"), protocols=("http",))
    source.fetch(tmp_path / "into", deadline=Deadline.of(60), log=lambda _: None)

    assert not mark.exists(), mark.read_text()


@pytest.mark.slow
def test_an_engine_that_is_away_makes_no_process_of_what_was_in_a_container(
    specimens: Specimens, platform: Platform, settings: Any, mark: Path, tmp_path: Path
) -> None:
    """Whoever can bring the engine down while the platform starts would have the platform's rights."""
    server = specimens.of("upload")
    make_deployment(server, runtime="docker")
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST = "auto", f"unix://{tmp_path}/away.sock"
    forget_adapters()

    with watching(tmp_path) as started:
        deployment = platform.deploy(server)

    assert (deployment.status, deployment.build.runtime) == (DeploymentStatus.FAILED, "docker")
    assert "Docker Engine does not answer" in deployment.error
    assert started.programs() <= TO_BUILD
    assert (started.code, mark.exists()) == ([], False)


@pytest.mark.slow
def test_a_package_that_has_its_source_alone_and_tells_no_command(
    specimens: Specimens, mark: Path, tmp_path: Path
) -> None:
    """It is asked for, never found out by a build."""
    files = evil.project(mark, "silent") | {"pyproject.toml": "[build-system]\nrequires = []\n"}
    packed = evil.tar_gz({f"silent-1.0/{name}": text for name, text in files.items()})
    specimens.packages.files["silent-1.0.tar.gz"] = packed
    server = specimens.hosted.package("pypi", "silent")

    with (
        watching(tmp_path) as started,
        pytest.raises(UserError, match="Which command starts silent") as caught,
    ):
        look(server, tmp_path / "into")
    server.command = ["silent", "--stdio"]
    given = look(server, tmp_path / "again")
    server.command, server.source["command"] = [], "silent --http"
    told = look(server, tmp_path / "once-more")

    assert "Set the command" in caught.value.hint
    assert [given.command, told.command] == [("silent", "--stdio"), ("silent", "--http")]  # type: ignore[union-attr]
    assert (started.commands, mark.exists()) == ([], False)
