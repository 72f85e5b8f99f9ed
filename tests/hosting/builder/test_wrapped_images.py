"""Images that speak stdio, behind the bridge on a real engine: they need to hold their program alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosting import handshake
from hosting.build_settings import BuildSettings
from hosting.builder.base import BuiltImage, ImageBuild
from hosting.builder.buildkit import Builder, find_builder
from hosting.builder.context import Prepared, prepare_wrapper
from hosting.deadline import Deadline
from hosting.errors import BuildError, RuntimeFault
from hosting.runtimes.base import Handle, Limits, RunSpec
from hosting.runtimes.docker import DockerRuntime
from tests.hosting.runtimes.programs import all_output, texts

pytestmark = pytest.mark.real
BRIDGE = Path(__file__).parents[3] / "bridge"
# A server in awk, which a static busybox runs: one tool, named by what the program sees around itself.
SERVER = r"""
BEGIN { while ((getline line < "/proc/self/status") > 0) if (split(line, w) && w[1] == "Uid:") uid = w[2] }
function member(name, value) { return "\"" name "\":" value }
function text(name, value) { return member(name, "\"" value "\"") }
function say(body) { print "{" text("jsonrpc", "2.0") "," member("id", id) "," body "}"; fflush() }
function result(body) { say(member("result", "{" body "}")) }
{ match($0, /"id": *[0-9]+/); id = substr($0, RSTART + 5, RLENGTH - 5) }
/"initialize"/ {
  me = ARGV[2] " " uid ENVIRON["GREETING"] ENVIRON["LD_LIBRARY_PATH"]
  info = member("serverInfo", "{" text("name", me) "," text("version", "1") "}")
  result(text("protocolVersion", "2025-06-18") "," member("capabilities", "{}") "," info)
  next
}
id { say(member("error", "{" member("code", -32601) "," text("message", "no") "}")) }
"""


@pytest.fixture(scope="module")
def builder(docker_host: str) -> Builder:
    return find_builder(docker_host)


@pytest.fixture
def settings(docker_host: str, base_images: dict[str, str]) -> BuildSettings:
    return BuildSettings(docker_host=docker_host, python_image=base_images["python"])


class Hosting:
    """Builds an image, wraps it, starts it as the runtime does, and speaks to it."""

    def __init__(self, builder: Builder, settings: BuildSettings, runtime: DockerRuntime, path: Path) -> None:
        self.builder, self.settings, self.runtime, self.path = builder, settings, runtime, path

    def wrapped(self, dockerfile: str, platform: str = "linux/amd64") -> BuiltImage:
        (self.path / "own").mkdir()
        (self.path / "own" / "server.awk").write_text(SERVER)
        (self.path / "own" / "script").write_text("#!/bin/interpreter\n")
        own = self.path / "Dockerfile"
        own.write_text(dockerfile)
        base = self._build(Prepared(self.path / "own", own), platform, "own")
        wrapper = prepare_wrapper(
            base.tag, base.entrypoint, base.command, self.path / "w", settings=self.settings, bridge=BRIDGE
        )
        return self._build(wrapper, platform, "bridged")

    def _build(self, prepared: Prepared, platform: str, name: str) -> BuiltImage:
        tag = f"mcphost.local/{self.path.name.lower()}:{name}"
        spec = ImageBuild(prepared.context, prepared.dockerfile, platform, tag)
        return self.builder.build(spec, self.settings, deadline=Deadline.of(280), on_line=lambda _: None)

    def start(self, image: BuiltImage) -> Handle:
        spec = RunSpec(
            server_id=7,
            slug="small",
            deployment_id=1,
            number=1,
            run_id=1,
            transport="stdio",
            image=image.image_id,
            limits=Limits(memory_mb=256, pids=64),
        )
        return self.runtime.start(spec, deadline=Deadline.of(120), log=lambda _: None)

    def name_of(self, handle: Handle) -> str:
        """What the server calls itself."""
        return handshake.wait_healthy(
            handle.endpoint, deadline=Deadline.of(120), alive=lambda: self.runtime.poll(handle)
        ).name


@pytest.fixture
def hosting(builder: Builder, settings: BuildSettings, docker_host: str, tmp_path: Path) -> Iterator[Hosting]:
    runtime = DockerRuntime(docker_host, instance=uuid.uuid4().hex[:8])
    yield Hosting(builder, settings, runtime, tmp_path)
    for stray in runtime.strays():
        runtime.stop(stray.handle, grace=0)


def scratch(base_images: dict[str, str], *more: str, command: str = "stdio") -> str:
    start = json.dumps(["/busybox", "awk", "-f", "server.awk", "-"])
    return "\n".join(
        [
            f"FROM {base_images['busybox']} AS made",
            "FROM scratch",
            "COPY --from=made /bin/busybox /busybox",
            "WORKDIR /srv",
            "COPY server.awk ./",
            *more,
            f"ENTRYPOINT {start}",
            f'CMD ["{command}"]',
            "",
        ]
    )


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_an_image_with_nothing_but_a_static_program(
    hosting: Hosting, base_images: dict[str, str], platform: str
) -> None:
    """Its directory and its environment stay; it names no user."""
    handle = hosting.start(hosting.wrapped(scratch(base_images, "ENV GREETING=-hello"), platform))

    assert hosting.name_of(handle) == "stdio 10001-hello"


def test_an_image_with_a_user_that_is_a_number(hosting: Hosting, base_images: dict[str, str]) -> None:
    handle = hosting.start(hosting.wrapped(scratch(base_images, "USER 65532")))

    assert hosting.name_of(handle) == "stdio 65532"


def test_an_image_whose_user_has_a_name_that_nothing_in_it_knows(
    hosting: Hosting, base_images: dict[str, str]
) -> None:
    image = hosting.wrapped(scratch(base_images, "USER nonroot"))

    with pytest.raises(RuntimeFault, match="The image names a user that it does not have") as caught:
        hosting.start(image)
    assert "USER 65532" in caught.value.hint


def test_the_libraries_of_the_image_and_of_the_bridge_keep_apart(
    hosting: Hosting, base_images: dict[str, str]
) -> None:
    """A program that is linked dynamically, with a C library of its own and a way to it."""
    text = "\n".join(
        [
            f"FROM {base_images['python']}",
            "RUN mv /usr/bin/python3 /usr/bin/snake && rm -f /usr/bin/python /bin/sh /bin/dash /bin/bash",
            "ENV LD_LIBRARY_PATH=/nowhere PYTHONHOME=/nowhere",
            'ENTRYPOINT ["/usr/bin/snake", "-E", "-c"]',
            "CMD " + json.dumps([IN_PYTHON]),
            "",
        ]
    )

    assert hosting.name_of(hosting.start(hosting.wrapped(text))) == "/nowhere"


IN_PYTHON = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("method") == "initialize":
        me = {"name": os.environ["LD_LIBRARY_PATH"], "version": "1"}
        said = {"result": {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": me}}
    else:
        said = {"error": {"code": -32601, "message": "no"}}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}), flush=True)
"""


def test_a_program_whose_loader_is_missing_is_told_apart_from_one_that_is(
    hosting: Hosting, base_images: dict[str, str]
) -> None:
    text = scratch(base_images).replace("FROM scratch\n", "FROM scratch\nCOPY server.awk /script\n")
    text = text[: text.index("ENTRYPOINT")] + 'ENTRYPOINT ["/script"]\n'
    image = hosting.wrapped(text.replace("COPY server.awk /script", "COPY --chmod=755 script /script"))
    handle = hosting.start(image)

    with pytest.raises(RuntimeFault, match="exits before it answers"):
        hosting.name_of(handle)

    said = texts(all_output(hosting.runtime, handle))
    assert any(
        "/script: it is there, but the interpreter or the loader that it names is not" in line
        for line in said
    )


def test_an_image_that_starts_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="neither an ENTRYPOINT nor a CMD"):
        prepare_wrapper("local/x:1", (), (), tmp_path, settings=BuildSettings(), bridge=BRIDGE)
