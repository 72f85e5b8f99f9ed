"""Two teams, one platform, one registry login. An operator of team B wants what team A's servers are made of,
or what else the platform's login may read. B names the image outright, builds from it, copies out of it,
hides its name in an ARG, and hopes that the engine or a node has it already.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest
from django.contrib.auth.models import User

from access.actor import PLATFORM, Actor
from access.models import Role, Team
from deploy.bench.registry import Registry
from hosting.build_settings import BuildSettings
from hosting.builder import logins
from hosting.builder.base import ImageBuild
from hosting.builder.buildkit import find_builder
from hosting.builder.progress import Progress
from hosting.deadline import Deadline
from hosting.errors import BuildError, RuntimeFault, SourceError
from hosting.runtimes import kubernetes_manifests
from hosting.runtimes.base import ImagePull, RunSpec
from hosting.runtimes.docker import DockerRuntime
from registry.credentials import Credential, FixedCredential
from registry.pull_rights import PullRights
from registry.pulls import Pulls
from registry.reference import Reference
from servers import registry_logins, services
from servers.deploying import fetching, pulls, registries
from servers.models import Deployment, FormerServer, Server
from servers.states import DeploymentStatus
from tests.accounts import make_server, outsider, owner, staff, with_member
from tests.eventually import eventually
from tests.platform import Platform, forget_adapters, platform, quick

__all__ = ["outsider", "owner", "platform", "quick", "staff"]

NOT_YOURS = "belongs to a server of another team"
_numbers = itertools.count(1)


class Rig:
    """Two teams on a real engine, with a registry that wants a login: the platform's."""

    def __init__(
        self, platform: Platform, registry: Registry, engine: docker.DockerClient, base: str
    ) -> None:
        self.platform, self.registry, self.engine, self.base = platform, registry, engine, base
        self.teams = {name: Team.objects.create(name=name) for name in ("A", "B")}
        self.people = {name: User.objects.create_user(f"operator-{name}") for name in self.teams}
        for name, person in self.people.items():
            with_member(self.teams[name], person, Role.OPERATOR)
        self.prefix = f"teams-{next(_numbers)}"

    def built(self, team: str, slug: str, dockerfile: str) -> Deployment:
        return self.deployed(self.server(team, slug, dockerfile))

    def server(self, team: str, slug: str, dockerfile: str) -> Server:
        about = {"transport": "streamable-http", "team": self.teams[team]}
        return self.platform.server(slug, {"Dockerfile": dockerfile}, **about)

    def of_image(self, team: str, slug: str, reference: str) -> Deployment:
        """Deployed by an operator of the team, from an image that there is."""
        fields = {
            "name": slug, "slug": slug, "source_kind": "image", "source": {"reference": reference},
            "transport": "streamable-http", "team": self.teams[team],
        }  # fmt: skip
        return self.deployed(services.create_server(by=Actor(self.people[team]), fields=fields))

    def deployed(self, server: Server) -> Deployment:
        """What is built here ends at once: a deployment that is let in fails after its start."""
        return self.platform.deploy(server)

    def private(self, repository: str) -> str:
        """An image that the registry gives to the platform's login only, and the engine lacks."""
        name = f"{self.registry.host}/{repository}"
        self.engine.images.pull(self.base, platform="linux/amd64").tag(name, "1")
        login = {"username": self.registry.username, "password": self.registry.password}
        assert "error" not in self.engine.images.push(name, "1", auth_config=login)
        self.engine.images.remove(f"{name}:1")
        return f"{name}:1"


def has_started(deployment: Deployment) -> bool:
    return deployment.steps.filter(kind="start", status="succeeded").exists()


def failed_at(deployment: Deployment) -> str:
    assert deployment.status == DeploymentStatus.FAILED
    return str(deployment.steps.filter(status="failed").get().kind)


@pytest.fixture
def rig(
    platform: Platform, settings: Any, docker_host: str, base_images: dict[str, str],
    registry_basic: Registry, tmp_path: Path,
) -> Iterator[Rig]:  # fmt: skip
    engine = docker.DockerClient(base_url=docker_host)
    rig = Rig(platform, registry_basic, engine, base_images["busybox"])
    login = {"username": registry_basic.username, "password": registry_basic.password}
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {registry_basic.host: login}}))
    settings.CONTAINER_RUNTIME, settings.DOCKER_HOST, settings.HEALTH_TIMEOUT = "docker", docker_host, 30
    settings.REGISTRY, settings.REGISTRY_AUTH_DOCKERCONFIG = f"{registry_basic.host}/{rig.prefix}", config
    settings.REGISTRY_ARCH_TARGETS = ["linux/amd64"]
    forget_adapters()
    yield rig
    for server in Server.objects.all():
        services.delete(server=server, by=PLATFORM)
    eventually(lambda: not Server.objects.exists(), within=120, what="every server is deleted")
    engine.close()


@pytest.fixture
def harbour(settings: Any, quick: None, owner: User, outsider: User) -> Callable[..., Server]:
    """`harbour(team, slug)`: a server's row, where nothing has to run."""
    settings.REGISTRY, settings.REGISTRY_ADDRESS = "registry.example:5000/mcphost", "registry:5000"

    def make(team: str, slug: str, **fields: Any) -> Server:
        return make_server(owner, slug=slug, team=Team.objects.get_or_create(name=team)[0], **fields)

    return make


Harbour = Callable[..., Server]


# --- On a real engine and a real registry


@pytest.mark.real
def test_an_operator_deploys_another_teams_image(rig: Rig) -> None:
    first = rig.built("A", "ours", f'FROM {rig.base}\nRUN echo secret > /recipe\nCMD ["true"]\n')
    assert has_started(first)
    tag = first.steps.get(kind="build").details["tag"]

    for number, reference in enumerate(
        (first.build.image, first.build.image.partition("@")[0] + ":latest", tag)
    ):
        stolen = rig.of_image("B", f"thief-{number}", reference)
        assert (failed_at(stolen), stolen.error_kind) == ("clone", "source"), reference
        assert NOT_YOURS in stolen.error
        assert "REGISTRY_SHARED_PREFIXES" in stolen.error


@pytest.mark.real
def test_an_operator_builds_from_another_teams_image_which_the_engine_has(rig: Rig) -> None:
    """No login is needed for it: the engine keeps what it built and pushed."""
    first = rig.built("A", "ours", f'FROM {rig.base}\nRUN echo secret > /recipe\nCMD ["true"]\n')
    repository, tag = first.build.image.partition("@")[0], first.steps.get(kind="build").details["tag"]
    pushed = f"{repository}:{first.number}-{first.build.short_revision}"
    assert {pushed, tag} <= {name for image in rig.engine.images.list() for name in image.tags}

    attempts = {
        "from-tag": f"FROM {tag}\n",
        "from-pushed": f"FROM {pushed}\n",
        "copy": f"FROM {rig.base}\nCOPY --from={tag} /recipe /\n",
        "mount": f"FROM {rig.base}\nRUN --mount=type=bind,from={tag},target=/t cat /t/recipe\n",
        "argument": f"ARG HOST={rig.registry.host}\nARG WHAT=$HOST/{rig.prefix}/ours\nFROM ${{WHAT}}:1\n",
        "localhost": f"FROM localhost:{rig.registry.host.rpartition(':')[2]}/{rig.prefix}/ours:1\n",
    }
    for slug, dockerfile in attempts.items():
        stolen = rig.built("B", slug, f'{dockerfile}CMD ["true"]\n')
        assert failed_at(stolen) == "build", slug
        assert NOT_YOURS in stolen.error, slug
        assert "secret" not in rig.platform.log(stolen), slug


@pytest.mark.real
def test_what_the_platforms_login_reads_is_not_every_teams(rig: Rig, settings: Any) -> None:
    image = rig.private("elsewhere/tool")
    asked = rig.of_image("B", "asks", image)
    assert (failed_at(asked), asked.error_kind) == ("clone", "source")
    assert "asked for without a login" in asked.error
    built = rig.built("B", "builds", f'FROM {image}\nCMD ["true"]\n')
    assert failed_at(built) == "build"
    # Even where it lies in the engine, for a team that may have it.
    settings.REGISTRY_SHARED_PREFIXES = [f"{rig.registry.host}/elsewhere"]
    assert has_started(rig.built("A", "shared", f'FROM {image}\nCMD ["true"]\n'))
    settings.REGISTRY_SHARED_PREFIXES = [f"{rig.registry.host}/else"]
    assert failed_at(rig.built("B", "builds-again", f'FROM {image}\nCMD ["true"]\n')) == "build"
    assert rig.registry.password not in rig.platform.log(built)


@pytest.mark.real
def test_a_login_that_the_team_gave_opens_its_registry_to_that_team(rig: Rig) -> None:
    image, person = rig.private("given/tool"), rig.people["B"]
    registry_logins.give(
        team=rig.teams["B"], host=rig.registry.host, username=rig.registry.username,
        password=rig.registry.password, by=Actor(person),
    )  # fmt: skip
    assert has_started(rig.of_image("B", "pulls", image))
    assert has_started(rig.built("B", "builds", f'FROM {image}\nCMD ["true"]\n'))
    assert failed_at(rig.of_image("A", "none-given", image)) == "clone"
    assert failed_at(rig.built("A", "none-given-either", f'FROM {image}\nCMD ["true"]\n')) == "build"


@pytest.mark.real
def test_a_team_builds_on_what_its_own_servers_pushed(rig: Rig) -> None:
    base = rig.built("A", "base", f'FROM {rig.base}\nRUN echo made > /made\nCMD ["true"]\n')
    rig.engine.images.remove(base.build.image, force=True)
    again = rig.built("A", "upon", f'FROM {base.build.image}\nRUN cat /made\nCMD ["true"]\n')
    assert has_started(again), again.error
    assert has_started(rig.of_image("A", "same", base.build.image))


@pytest.mark.real
@pytest.mark.parametrize(
    "line",
    [
        "COPY --from=mcphost/ours:1 / /\n",
        "RUN --mount=type=bind,from=mcphost/ours:1,target=/t true\n",
        "FROM mcphost/ours:1\n",
        "FROM mcphost/ours:1 AS other\nFROM scratch\nCOPY --from=other / /\n",
    ],
)
def test_a_build_reads_what_nobody_saw_in_its_dockerfile(
    rig: Rig, docker_host: str, tmp_path: Path, line: str
) -> None:
    """As an ONBUILD of its base image could, or a Dockerfile that BuildKit understands in another way."""
    rig.engine.images.pull(rig.base, platform="linux/amd64").tag("mcphost/ours", "1")
    (tmp_path / "Dockerfile").write_text(f"FROM {rig.base}\n{line}")
    spec = ImageBuild(tmp_path, tmp_path / "Dockerfile", "linux/amd64", "mcphost/watched:1")
    rights = PullRights(homes=("docker.io/mcphost",), others=frozenset({"ours"}))
    seen = logins.plan(Pulls(rights), f"FROM {rig.base}\n", {}, print)

    progress = Progress(lambda line: None, may_read=seen.allows)
    builder, settings = find_builder(docker_host), BuildSettings(docker_host=docker_host)
    with pytest.raises(BuildError, match=r"reads docker.io/mcphost/ours:1, which is not named"):
        builder._run(builder._argv(spec, settings, tmp_path), settings, tmp_path, Deadline.of(120), progress)


@pytest.mark.real
def test_an_engine_is_told_the_platforms_login_only_where_it_may_be_used(rig: Rig, docker_host: str) -> None:
    image, asked = rig.private("told/tool"), list[Reference]()
    wanted = registries.client(rig.registry.host).head_manifest
    digest = wanted(Reference.parse(image)).digest
    pinned = f"{image.removesuffix(':1')}@{digest}"

    def auth(ref: Reference) -> Mapping[str, str]:
        asked.append(ref)
        return {"username": rig.registry.username, "password": rig.registry.password}

    runtime = DockerRuntime(docker_host, instance="told", auth=auth)
    spec = RunSpec(
        server_id=1, slug="x", deployment_id=1, number=1, run_id=1, transport="streamable-http", image=pinned
    )
    with pytest.raises(RuntimeFault, match="does not let the image be pulled"):
        runtime.start(spec, deadline=Deadline.of(60), log=print)
    assert asked == []


# --- What a Dockerfile says


def planned(dockerfile: str, pulls: Pulls | None = None) -> dict[str, Any]:
    rights = PullRights(
        homes=("registry.example:5000/mcphost", "docker.io/mcphost"), own=frozenset({"mine"}),
        others=frozenset({"theirs"}), shared=("registry.example:5000/base",),
    )  # fmt: skip
    given = pulls or Pulls(rights, FixedCredential(Credential("platform", "pw")))
    found = logins.plan(given, dockerfile, {"TARGETARCH": "amd64"}, lambda line: None)
    return dict(json.loads(found.config).get("auths", {}))


THEIRS = "registry.example:5000/mcphost/theirs"


@pytest.mark.parametrize(
    "dockerfile",
    [
        f"FROM {THEIRS}:1\n",
        f"FROM --platform=$TARGETARCH {THEIRS}@sha256:{'a' * 64} AS x\n",
        f"FROM scratch\nCOPY --from={THEIRS}:1 / /\n",
        f"FROM scratch\nADD --from={THEIRS}:1 / /\n",
        f"FROM scratch\nRUN --mount=type=bind,source=/,from={THEIRS},target=/x true\n",
        f"FROM scratch\nONBUILD COPY --from={THEIRS}:1 / /\n",
        f"ARG X={THEIRS}\nFROM $X:1\n",
        "ARG H=registry.example:5000\nARG X=${H}/mcphost/theirs\nFROM ${X}:${TAG:-1}\n",
        f"FROM {THEIRS}:$UNKNOWN\n",
        f"FROM \\\n# a remark\n{THEIRS}\n",
        f"# escape=`\nFROM `\n{THEIRS}\n",
        f'FROM scratch\nRUN echo "<<E"\nFROM {THEIRS}\n',
        f"FROM registry.example:5000/mcphost/mine\nFROM {THEIRS.replace('registry', 'REGISTRY')}\n",
        "FROM mcphost/theirs:3-linux-amd64\n",
        "FROM docker.io/mcphost/theirs:3-linux-amd64-bridged\n",
        f"FROM {THEIRS}/below:1\n",
    ],
)
def test_a_dockerfile_that_names_another_teams_image(dockerfile: str) -> None:
    with pytest.raises(BuildError, match=NOT_YOURS):
        planned(dockerfile)


@pytest.mark.parametrize(
    "dockerfile",
    [
        "ARG X\nFROM $X\n",
        "ARG X=registry.example:5000/mcphost\nFROM $X/${Y}:1\n",
        "FROM registry.example:5000/mcphost/${X%y}irs\n",
        "FROM scratch\nENV X=y\nCOPY --from=$X / /\n",
        "FROM quay.example/tool:${X%y}\n",
    ],
)
def test_a_name_that_only_the_build_knows_has_to_be_written_out(dockerfile: str) -> None:
    with pytest.raises(BuildError, match="Write the image out"):
        planned(dockerfile)


@pytest.mark.parametrize("line", ["# syntax={}\n", "// syntax={}\n"])
def test_a_reader_of_ones_own_could_read_everything(line: str) -> None:
    for reader in ("evil.example/reader:1", "docker.io/evil/dockerfile:1", THEIRS):
        with pytest.raises(BuildError, match=r"wants to be read by"):
            planned(line.format(reader) + "FROM scratch\n")
    assert planned(line.format("docker/dockerfile:1.7") + "FROM scratch\n") == {}


def test_the_platforms_login_goes_to_builds_that_name_nothing_else_there() -> None:
    mine, shared = "registry.example:5000/mcphost/mine", "registry.example:5000/base/python"
    assert set(planned(f"FROM {mine}\nCOPY --from={shared} / /\n")) == {"registry.example:5000"}
    assert planned(f"FROM {mine}\nCOPY --from=registry.example:5000/other/tool / /\n") == {}
    assert planned("FROM debian\nFROM quay.example/x/y\n") == {}


def test_what_the_engine_may_have_already_is_asked_for_at_its_registry() -> None:
    asked: list[str] = []
    pulls = Pulls(PullRights(shared=("base.example",)), ask=lambda ref: asked.append(str(ref)))
    planned("FROM base.example/x\nFROM debian:12\nFROM quay.example/x/y:1\nFROM acme/tool\n", pulls)
    assert asked == ["quay.example/x/y:1", "docker.io/acme/tool"]


@pytest.mark.parametrize(
    "line",
    [
        "#3 [internal] load metadata for docker.io/mcphost/theirs:1",
        "#3 [linux/arm64 internal] load metadata for registry.example:5000/mcphost/theirs:1",
        "#2 resolve image config for docker-image://evil.example/reader:1",
        "#2 resolve image config for evil.example/reader:1",
        "#3 FROM docker.io/mcphost/theirs:1",
        f"#3 [other 1/3] FROM docker.io/mcphost/theirs:1@sha256:{'a' * 64}",
    ],
)
@pytest.mark.parametrize("before", [[], ["#3 forged by a step", "#2 forged by a step"]])
def test_a_build_that_reads_what_its_dockerfile_does_not_name_is_ended(line: str, before: list[str]) -> None:
    plan = logins.plan(Pulls(), "FROM quay.example/x/y:1\n", {}, print)
    progress = Progress(lambda line: None, may_read=plan.allows)
    for said in (*before, "#4 [internal] load metadata for quay.example/x/y:1"):
        progress.feed(said)
    with pytest.raises(BuildError, match="Write every image out"):
        progress.feed(line)


# --- Whose a repository is


def test_a_team_is_its_servers_and_a_server_without_one_its_owners(harbour: Harbour, outsider: User) -> None:
    harbour("A", "ours"), harbour("A", "ours-too"), harbour("B", "theirs")
    alone, other = make_server(outsider, slug="alone"), make_server(outsider, slug="alone-too")
    rights = pulls.of(Server.objects.get(slug="ours")).rights
    assert rights.own == {"ours", "ours-too"}
    assert rights.others == {"theirs", "alone", "alone-too"}
    assert pulls.of(alone).rights.own == {"alone", "alone-too"}
    other.team = Team.objects.get(name="A")
    other.save()
    assert pulls.of(alone).rights.own == {"alone"}


def test_an_administrators_server_follows_its_team(harbour: Harbour, staff: User) -> None:
    harbour("A", "ours")
    by_staff = make_server(staff, slug="staffs", team=Team.objects.create(name="B"))
    with pytest.raises(SourceError, match=NOT_YOURS):
        pulls.platforms_of(by_staff, "registry.example:5000/mcphost/ours:1")


@pytest.mark.parametrize(
    "name", ["registry.example:5000/mcphost/ours", "registry:5000/mcphost/ours", "mcphost/ours"]
)
def test_every_name_of_the_platforms_registry_counts(harbour: Harbour, name: str) -> None:
    harbour("A", "ours")
    thief = harbour("B", "thief", source_kind="image", source={"reference": f"{name}:1"})
    for ask in (
        lambda: fetching.source_of(thief).fetch(Path("/nowhere"), deadline=Deadline.of(5), log=print),
        lambda: pulls.start_command(thief, f"{name}:1", "linux/amd64"),
        lambda: pulls.platforms_of(thief, f"{name}:1"),
    ):
        with pytest.raises(SourceError, match=NOT_YOURS):
            ask()


def test_the_name_of_a_deleted_server_does_not_open_what_it_pushed(harbour: Harbour) -> None:
    FormerServer.remember(harbour("A", "reborn"))
    Server.objects.all().delete()
    first, second = harbour("B", "reborn"), harbour("B", "second")
    for server in (first, second):
        with pytest.raises(SourceError, match=NOT_YOURS):
            pulls.platforms_of(server, "registry.example:5000/mcphost/reborn:1-abc")
    third = harbour("A", "third")
    with pytest.raises(SourceError, match=NOT_YOURS):  # nobody's: not even its former team's
        pulls.platforms_of(third, "registry.example:5000/mcphost/reborn:1-abc")


def test_a_server_that_is_being_deleted_is_nobodys(harbour: Harbour) -> None:
    harbour("A", "going", desired_state="deleted")
    assert "going" in pulls.of(harbour("A", "staying")).rights.others


def test_clients_of_two_logins_share_no_token(quick: None) -> None:
    ours, theirs = (Credential("ci", password) for password in ("one", "two"))
    clients = {id(registries.client("quay.example", login)) for login in (None, ours, theirs)}
    assert len(clients) == 3
    client = registries.client("quay.example", ours)
    assert client is registries.client("quay.example", Credential("ci", "one"))
    assert client.credentials.for_host("quay.example") == ours


# --- On Kubernetes


def objects(pull: ImagePull, secret: str = "platform-pull") -> list[dict[str, Any]]:
    spec = RunSpec(
        server_id=7, slug="weather", deployment_id=42, number=3, run_id=42, transport="streamable-http",
        image="quay.example/weather@sha256:" + "1" * 64, pull=pull,
    )  # fmt: skip
    place = kubernetes_manifests.Placement("0123456789ab", "hosted", pull_secret=secret)
    return kubernetes_manifests.manifests(spec, place)


def pod(pull: ImagePull) -> dict[str, Any]:
    [deployment] = [each for each in objects(pull) if each["kind"] == "Deployment"]
    return dict(deployment["spec"]["template"]["spec"])


def test_a_pod_whose_image_is_not_for_the_platforms_login_does_not_get_it() -> None:
    assert "imagePullSecrets" not in pod(ImagePull())
    assert pod(ImagePull(by_platform=True))["imagePullSecrets"] == [{"name": "platform-pull"}]
    assert pod(ImagePull(ours=True, by_platform=True))["imagePullSecrets"] == [{"name": "platform-pull"}]


def test_a_team_login_is_a_secret_of_that_run_alone() -> None:
    pull = ImagePull(username="robot", password="s3cret")
    assert pod(pull)["imagePullSecrets"] == [{"name": "mcp-012345-weather-r42-pull"}]
    [made] = [each for each in objects(pull) if each.get("type") == "kubernetes.io/dockerconfigjson"]
    assert made["metadata"]["name"] == "mcp-012345-weather-r42-pull"
    assert made["metadata"]["labels"]["mcphost/deployment"] == "42"
    content = json.loads(base64.b64decode(made["data"][".dockerconfigjson"]))
    assert content == {"auths": {"quay.example": {"username": "robot", "password": "s3cret"}}}
    assert "s3cret" not in json.dumps(pod(pull))
    assert "s3cret" not in repr(pull)


def test_a_nodes_copy_is_not_given_unasked() -> None:
    """An image that another team's pod brought there (Kubernetes KEP-2535)."""
    for pull in (ImagePull(), ImagePull(by_platform=True), ImagePull(username="x", password="y")):
        assert pod(pull)["containers"][0]["imagePullPolicy"] == "Always"
    built = pod(ImagePull(ours=True, by_platform=True))
    assert built["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def test_who_pulls_what_is_started(harbour: Harbour, owner: User) -> None:
    server = harbour("A", "ours")
    registry_logins.give(
        team=server.team, host="Quay.Example:443", username="robot", password="s3cret", by=Actor(owner)
    )
    pull = pulls.image_pull
    mine, digest = "registry.example:5000/mcphost/ours", "@sha256:" + "1" * 64
    assert pull(server, mine + digest, built_here=True) == ImagePull(ours=True, by_platform=True)
    assert pull(server, mine + digest, built_here=False) == ImagePull(by_platform=True)
    given = ImagePull(username="robot", password="s3cret")
    assert pull(server, f"quay.example/x/y{digest}", built_here=False) == given
    assert pull(server, f"quay.example:8443/x/y{digest}", built_here=False) == ImagePull()
    assert pull(harbour("B", "b"), f"quay.example/x/y{digest}", built_here=False) == ImagePull()
