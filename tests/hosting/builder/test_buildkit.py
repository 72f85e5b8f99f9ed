"""Builds on a real engine. What it builds is small; the order of layers is tested on text."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from deploy.bench.engine import Engine
from deploy.bench.registry import Registry
from hosting.build_settings import BuildSettings
from hosting.builder import buildkit
from hosting.builder.base import BuiltImage, ImageBuild
from hosting.builder.buildkit import Builder, find_builder
from hosting.builder.context import Prepared, prepare
from hosting.deadline import Deadline
from hosting.errors import BuildError, Cancelled, TimedOut
from hosting.sources.base import BuildContext
from hosting.sources.recognise import recognise
from registry.credentials import CredentialStore
from registry.pull_rights import PullRights
from registry.pulls import Pulls
from tests.eventually import eventually

pytestmark = pytest.mark.real
BRIDGE = Path(__file__).parents[3] / "bridge"
SECRET = "-----BEGIN CERTIFICATE-----\nc2VjcmV0IGNlcnRpZmljYXRl\n-----END CERTIFICATE-----\n"


@pytest.fixture(scope="module")
def builder(docker_host: str) -> Builder:
    return find_builder(docker_host)


@pytest.fixture
def engine(docker_host: str) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=docker_host)
    yield client
    client.close()


@pytest.fixture
def settings(docker_host: str, base_images: dict[str, str]) -> BuildSettings:
    return BuildSettings(
        docker_host=docker_host, python_image=base_images["python"], node_image=base_images["node"]
    )


class Yard:
    """Builds from text or from a prepared directory; keeps the lines and the progress."""

    def __init__(self, builder: Builder, settings: BuildSettings, path: Path) -> None:
        self.builder, self.settings, self.path = builder, settings, path
        self.lines: list[str] = []
        self.steps: list[tuple[int, int]] = []

    def build(
        self,
        what: str | Prepared,
        platform: str = "linux/amd64",
        deadline: Deadline | None = None,
        **more: Any,
    ) -> BuiltImage:
        prepared = what if isinstance(what, Prepared) else self._written(what)
        spec = ImageBuild(
            prepared.context,
            prepared.dockerfile,
            platform,
            f"mcphost.local/{self.path.name.lower()}:{platform.rpartition('/')[2]}",
            **more,
        )
        return self.builder.build(
            spec,
            self.settings,
            deadline=deadline or Deadline.of(280),
            on_line=self.lines.append,
            on_progress=lambda done, known: self.steps.append((done, known)),
        )

    def _written(self, text: str) -> Prepared:
        (self.path / "context").mkdir(exist_ok=True)
        (self.path / "Dockerfile").write_text(text)
        return Prepared(self.path / "context", self.path / "Dockerfile")


@pytest.fixture
def yard(builder: Builder, settings: BuildSettings, tmp_path: Path) -> Yard:
    return Yard(builder, settings, tmp_path)


def prepared_from(source: Path, into: Path, settings: BuildSettings, transport: Any = "stdio") -> Prepared:
    context = BuildContext(source, "r")
    plan = recognise(context, images=True)
    return prepare(context, plan, into, transport=transport, settings=settings, bridge=BRIDGE)


def output(engine: docker.DockerClient, image: BuiltImage, *command: str, entrypoint: str = "") -> str:
    more = {"entrypoint": entrypoint} if entrypoint else {}
    said: bytes = engine.containers.run(
        image.tag, list(command) or None, remove=True, network_mode="none", **more
    )
    return said.decode().strip()


@pytest.mark.parametrize(("platform", "machine"), [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")])
def test_an_image_for_a_platform(
    yard: Yard, base_images: dict[str, str], platform: str, machine: str
) -> None:
    text = f'FROM {base_images["busybox"]}\nRUN uname -m\nENTRYPOINT ["uname"]\nCMD ["-m"]\n'

    image = yard.build(text, platform, labels={"mcphost.server": "7"}, no_cache=True)

    assert (image.platform, image.entrypoint, image.command) == (platform, ("uname",), ("-m",))
    assert image.image_id.startswith("sha256:")
    assert image.size > 0
    assert yard.lines[-2:] == [machine, "Writing the image"]
    assert yard.steps[-1] == (2, 2)


def test_labels_and_removal(yard: Yard, engine: docker.DockerClient, base_images: dict[str, str]) -> None:
    image = yard.build(f"FROM {base_images['busybox']}\n", labels={"mcphost.server": "7"})
    assert engine.images.get(image.tag).labels == {"mcphost.server": "7"}

    yard.builder.remove(image.tag)
    yard.builder.remove(image.tag)

    with pytest.raises(docker.errors.ImageNotFound):
        engine.images.get(image.tag)


def test_a_python_source_behind_the_bridge(
    yard: Yard, settings: BuildSettings, engine: docker.DockerClient, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir(mode=0o700)
    (source / "server.py").write_text(
        "import os, idna; print(os.getuid(), os.getcwd(), idna.encode('x').decode())\n"
    )
    (source / "server.py").chmod(0o600)
    (source / "requirements.txt").write_text("idna\n")
    (source / ".env").write_text("SECRET=1\n")

    image = yard.build(prepared_from(source, tmp_path / "build", settings))

    assert image.entrypoint[:2] == ("python3", "/opt/mcphost/bridge")
    assert image.command == ("python", "server.py")
    assert output(engine, image, "server.py", entrypoint="python") == "10001 /app x"
    assert ".env" not in output(engine, image, "-A", entrypoint="ls")
    assert "usage" in output(engine, image, "/opt/mcphost/bridge", "--help", entrypoint="python3").lower()


def test_a_change_of_the_source_keeps_the_layers_of_its_dependencies(
    yard: Yard, settings: BuildSettings, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "requirements.txt").write_text("idna\n")
    for number in range(2):
        (source / "server.py").write_text(f"print({number}, {str(tmp_path)!r})\n")
        yard.lines.clear()
        yard.build(prepared_from(source, tmp_path / f"build{number}", settings))

    install = next(at for at, line in enumerate(yard.lines) if "pip install" in line)
    assert yard.lines[install + 1] == "  cached"


BACKEND = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
WHEEL = "76/c6/c88e154df9c4e1a2a66ccf0005a88dfb2650c1dffb6f5ce603dfbd452ce3/idna-3.10-py3-none-any.whl"
UV_LOCK = f"""version = 1
requires-python = ">=3.9"
[[package]]
name = "hello-helper-of-ours"
version = "1"
source = {{ directory = "helper" }}
[[package]]
name = "hello-mcp"
version = "1"
source = {{ editable = "." }}
dependencies = [{{ name = "hello-helper-of-ours" }}, {{ name = "idna" }}]
[[package]]
name = "idna"
version = "3.10"
source = {{ registry = "https://pypi.org/simple" }}
[[package.wheels]]
url = "https://files.pythonhosted.org/packages/{WHEEL}"
hash = "sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3"
"""


def test_a_python_project_with_a_lock_and_a_directory_of_its_own(
    yard: Yard, settings: BuildSettings, engine: docker.DockerClient, tmp_path: Path
) -> None:
    """B01 and B10: the lock is kept, and a local name is not asked of an index (none has this one)."""
    source = tmp_path / "source"
    (source / "helper").mkdir(parents=True)
    (source / "uv.lock").write_text(UV_LOCK)
    (source / "pyproject.toml").write_text(
        '[project]\nname = "hello-mcp"\nversion = "1"\ndependencies = ["idna", "hello-helper-of-ours"]\n'
        '[project.scripts]\nhello = "hello:main"\n'
        f'[tool.uv.sources]\nhello-helper-of-ours = {{ path = "helper" }}\n{BACKEND}'
        '[tool.setuptools]\npy-modules = ["hello"]\n'
    )
    (source / "helper/pyproject.toml").write_text(
        f'[project]\nname = "hello-helper-of-ours"\nversion = "1"\n{BACKEND}'
    )
    (source / "helper/hello_helper_of_ours.py").write_text("WORD = 'hello'\n")
    (source / "hello.py").write_text(
        "import hello_helper_of_ours as ours, idna\ndef main(): print(ours.WORD, idna.__version__)\n"
    )

    image = yard.build(prepared_from(source, tmp_path / "build", settings, "streamable-http"))

    assert output(engine, image) == "hello 3.10"


def test_a_node_source_that_has_to_be_built(
    yard: Yard, settings: BuildSettings, engine: docker.DockerClient, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    package = {
        "name": "x",
        "bin": "dist/x.js",
        "scripts": {"build": "mkdir dist && cp x.js dist/"},
        "dependencies": {"ms": "2.1.3"},
        "devDependencies": {"is-odd": "3.0.1"},
    }
    (source / "package.json").write_text(json.dumps(package))
    (source / "x.js").write_text("console.log(process.getuid(), require('ms')('1s'))\n")

    image = yard.build(prepared_from(source, tmp_path / "build", settings))

    assert image.entrypoint[:2] == ("node", "/opt/mcphost/bridge/bridge.mjs")
    assert output(engine, image, "dist/x.js", entrypoint="node") == "10001 1000"
    assert "is-odd" not in output(engine, image, "node_modules", entrypoint="ls")


def test_the_ca_and_the_index_are_in_no_layer(
    yard: Yard, builder: Builder, settings: BuildSettings, engine: docker.DockerClient, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(SECRET)
    yard.settings = BuildSettings(
        docker_host=settings.docker_host,
        python_image=settings.python_image,
        pip_index_url="http://user:topsecret@127.0.0.1:9/simple",
        ca_bundle=ca,
        proxies={"NO_PROXY": "proxysecret.example"},
    )
    source = tmp_path / "source"
    source.mkdir()
    (source / "server.py").write_text("")
    (source / "requirements.txt").write_text("mcp\n")
    prepared = prepared_from(source, tmp_path / "build", yard.settings)
    pip = "cat $PIP_CONFIG_FILE $PIP_CERT | wc -l; echo $NO_PROXY | wc -c"
    shown = {
        r"/opt/tools/bin/pip install.*": f"sh -c '{pip}'",
        r"/opt/tools/bin/uv pip install.*": "sh -c 'echo $UV_DEFAULT_INDEX | cat - $SSL_CERT_FILE | wc -c'",
        r"/opt/tools/bin/uv venv.*": "mkdir /opt/venv",
    }
    text = prepared.dockerfile.read_text()
    for command, instead in shown.items():
        text = re.sub(command, lambda _, instead=instead: instead, text)
    prepared.dockerfile.write_text(text)

    image = yard.build(prepared, no_cache=True)

    of_uv = len(f"{yard.settings.pip_index_url}\n{SECRET}")
    assert {"5", "20", str(of_uv)} <= set(yard.lines)  # they were there while both ran
    saved = tmp_path / "image.tar"
    with saved.open("wb") as file:
        file.writelines(engine.images.get(image.tag).save())
    content = saved.read_bytes()
    for secret in (b"c2VjcmV0IGNlcnRpZmljYXRl", b"topsecret", b"proxysecret"):
        assert secret not in content
    assert "topsecret" not in "\n".join(yard.lines)


def test_no_secret_is_in_an_argument(
    yard: Yard, builder: Builder, base_images: dict[str, str], tmp_path: Path
) -> None:
    shim = tmp_path / "docker"
    shim.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/arguments\nexec {builder.cli} "$@"\n')
    shim.chmod(0o755)
    yard.builder = Builder(str(shim), builder.buildx, builder.docker_host, builder.version)
    yard.settings = BuildSettings(
        docker_host=builder.docker_host,
        pip_index_url="http://user:topsecret@127.0.0.1:9/simple",
        npm_registry="http://user:topsecret@127.0.0.1:9/",
        proxies={"HTTPS_PROXY": "http://user:topsecret@127.0.0.1:9"},
    )

    yard.build(f"FROM {base_images['busybox']}\nRUN echo $HTTPS_PROXY | wc -c\n", no_cache=True)

    assert "topsecret" not in (tmp_path / "arguments").read_text()
    assert str(len("http://user:topsecret@127.0.0.1:9") + 1) in yard.lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FRM x\n", "The Dockerfile cannot be read: .*FRM"),
        ("FROM {busybox}\nRUUN x\n", "The Dockerfile cannot be read: .*RUUN"),
        ("", "The build failed: .*cannot be empty"),
        (
            "FROM {busybox}\nRUN echo the reason; exit 3\n",
            r"The step \[2/2\] RUN echo the reason; .* exit code 3 \(for linux/amd64\).\nthe reason",
        ),
        ("FROM {busybox}\nCOPY nothing /\n", "The step .* failed: .*not found"),
        ("FROM {registry}/nothing:1\n", "The base image .*/nothing:1 cannot be pulled: .*not found"),
        ("FROM {busybox}\nRUN echo x > /dev/full\n", "The disk filled up"),
    ],
)
def test_builds_that_fail(yard: Yard, base_images: dict[str, str], text: str, message: str) -> None:
    busybox = base_images["busybox"]

    with pytest.raises(BuildError, match=message):
        yard.build(text.replace("{busybox}", busybox).replace("{registry}", busybox.partition("/")[0]))


def test_a_cancelled_build_ends_in_the_engine_too(
    yard: Yard, base_images: dict[str, str], tmp_path: Path
) -> None:
    text = f"FROM {base_images['busybox']}\nRUN echo begun; exec sleep 86397\n"
    deadline = Deadline.of(280, lambda: "begun" in yard.lines)

    with pytest.raises(Cancelled):
        yard.build(text, deadline=deadline, no_cache=True)

    eventually(lambda: not running("sleep 86397"))


def test_a_build_that_takes_too_long(yard: Yard, base_images: dict[str, str], docker_host: str) -> None:
    yard.settings = BuildSettings(docker_host=docker_host, timeout=2.0)

    with pytest.raises(TimedOut, match="The build took longer"):
        yard.build(f"FROM {base_images['busybox']}\nRUN exec sleep 86398\n", no_cache=True)

    eventually(lambda: not running("sleep 86398"))


def test_a_base_image_behind_a_login(
    yard: Yard,
    engine: docker.DockerClient,
    registry_basic: Registry,
    base_images: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    login = {"username": registry_basic.username, "password": registry_basic.password}
    private = f"{registry_basic.host}/private/busybox"
    engine.images.pull(base_images["busybox"], platform="linux/amd64").tag(private, "1")
    engine.images.push(private, "1", auth_config=login)
    engine.images.remove(f"{private}:1")
    with pytest.raises(BuildError, match=r"cannot be pulled: .*(authorization|credentials|401)"):
        yard.build(f"FROM {private}:1\n")

    login_file = tmp_path / ".dockerconfigjson"
    login_file.write_text(json.dumps({"credHelpers": {registry_basic.host: "environment"}}))
    helper = tmp_path / "docker-credential-environment"
    helper.write_text('#!/bin/sh\nprintf \'{"Username":"%s","Secret":"%s"}\' "$CI_USER" "$CI_PASSWORD"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CI_USER", registry_basic.username)
    monkeypatch.setenv("CI_PASSWORD", registry_basic.password)
    pulls = Pulls(PullRights(shared=(registry_basic.host,)), CredentialStore(login_file))

    assert yard.build(f"FROM {private}:1\n", pulls=pulls).size > 0
    assert registry_basic.password not in "\n".join(yard.lines)


def test_an_engine_that_goes_away_in_the_middle(
    own_engine: Engine, base_images: dict[str, str], tmp_path: Path
) -> None:
    settings = BuildSettings(docker_host=own_engine.host)
    yard = Yard(find_builder(own_engine.host), settings, tmp_path)
    stopped = False

    def stop_once() -> bool:
        nonlocal stopped
        if "begun" in yard.lines and not stopped:
            stopped = True
            own_engine.daemon.stop()
        return False

    with pytest.raises(BuildError, match="The Docker Engine does not answer") as caught:
        yard.build(
            f"FROM {base_images['busybox']}\nRUN echo begun; exec sleep 60\n",
            deadline=Deadline.of(280, stop_once),
        )
    assert not caught.value.permanent


def test_an_engine_that_is_away(yard: Yard, builder: Builder, tmp_path: Path) -> None:
    yard.builder = Builder(builder.cli, builder.buildx, f"unix://{tmp_path}/none.sock", builder.version)

    with pytest.raises(BuildError, match="The Docker Engine does not answer"):
        yard.build("FROM x\n")


def test_the_builder_is_found(builder: Builder, docker_host: str) -> None:
    assert builder.capability().found
    assert buildkit.capability(docker_host).detail == builder.capability().detail


def test_a_login_lies_in_the_deployments_own_directory(tmp_path: Path) -> None:
    cli, seen, work, login = (tmp_path / name for name in ("docker", "seen", "work", ".dockerconfigjson"))
    cli.write_text(
        f'#!/bin/sh\ncd "$DOCKER_CONFIG"\npwd > {seen}\nstat -c %a config.json >> {seen}\n'
        f"cat config.json >> {seen}\nexit 1\n"
    )
    cli.chmod(0o755)
    work.mkdir()
    login.write_text('{"auths": {"r.example": {"username": "ci", "password": "pw"}}}')
    (tmp_path / "Dockerfile").write_text("FROM r.example/base\n")
    pulls = Pulls(PullRights(shared=("r.example",)), CredentialStore(login))
    spec = ImageBuild(tmp_path, tmp_path / "Dockerfile", "linux/amd64", "x", scratch=work, pulls=pulls)
    alone = Builder(str(cli), False, "unix:///nonexistent/docker.sock", "20.10")
    with pytest.raises(BuildError, match="Engine"):
        alone.build(spec, BuildSettings(), deadline=Deadline.of(60), on_line=print)
    directory, mode, config = seen.read_text().splitlines()
    assert Path(directory).parent == work
    assert mode == "600"
    assert json.loads(config) == {"auths": {"r.example": {"auth": "Y2k6cHc="}}}
    assert not list(work.iterdir())


def test_a_machine_that_cannot_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, docker_host: str
) -> None:
    (tmp_path / "docker").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo Docker version 28.2.2\nexit $?\n'
    )
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    found = buildkit.capability(docker_host, places=())

    assert not found.found
    assert str(tmp_path / "docker") in found.detail
    assert "docker-buildx-plugin" in found.advice


def running(command: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if (
            b" ".join(words).decode(errors="replace").strip() == command
            and int(path.parent.name) != os.getpid()
        ):
            return True
    return False
