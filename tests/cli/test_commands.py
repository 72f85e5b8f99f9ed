"""The commands as an operator types them: what they print, and how they end."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError
from django.db import connection
from django.utils import timezone

from access.actor import PLATFORM
from servers import services
from servers.models import Deployment, LogLine, Server
from servers.states import DeploymentStatus, Mode, ServerStatus, Trigger
from tests.eventually import eventually
from tests.platform import Platform, archive_of, hello_files, is_alive

pytestmark = pytest.mark.core
MANAGE = Path(__file__).parents[2] / "manage.py"
COMMANDS = ["deploy", "redeploy", "servers", "logs", "start", "stop", "rotate_secrets"]
BROKEN = {"requirements.txt": "", "server.py": "raise SystemExit('no licence')\n"}


def run(*words: str) -> str:
    """What the command prints; progress goes to the real stdout, results to the command's own."""
    out = io.StringIO()
    with redirect_stdout(out):
        call_command(*words, stdout=out)
    return out.getvalue()


def facts(*words: str) -> dict[str, Any]:
    return dict(json.loads(run(*words, "--json").splitlines()[-1]))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = load_command_class(get_commands()[name], name)
    with pytest.raises(SystemExit) as ended:
        command.create_parser("manage.py", name).parse_args(["--help"])
    assert ended.value.code == 0
    _, found, examples = capsys.readouterr().out.partition("examples:\n")
    assert found
    assert f"manage.py {name}" in examples


@pytest.mark.parametrize("name", ["redeploy", "logs", "start", "stop"])
def test_an_unknown_slug_is_one_line_with_those_there_are(idle: Platform, name: str) -> None:
    with pytest.raises(CommandError, match=r"There is no server “nope”. Servers: none yet."):
        run(name, "nope")
    idle.hello("first")
    with pytest.raises(CommandError, match="Servers: first"):
        run(name, "nope")


def test_an_archive_becomes_a_server(idle: Platform, tmp_path: Path) -> None:
    archive = tmp_path / "hello.tar.gz"
    archive.write_bytes(archive_of(hello_files()))
    words = ("--env", "A=b", "--with", "packaging", "--here")
    said = run("deploy", "greeter", "--archive", str(archive), *words)

    assert said.startswith("greeter #1 is queued.\n")
    for line in ("clone succeeded after", "build succeeded after", "health succeeded after"):
        assert line in said
    assert said.rstrip().endswith("greeter #1 succeeded")
    server = Server.objects.get(slug="greeter")
    assert (server.environment, server.status) == ({"A": "b"}, ServerStatus.RUNNING)
    plan = server.builds.get().plan
    assert (plan["ecosystem"], plan["chosen"]) == ("python", {"with": ["packaging"]})


def test_an_archive_may_hold_the_server_deeper(idle: Platform, tmp_path: Path) -> None:
    files = {f"packages/server/{name}": content for name, content in hello_files().items()}
    archive = tmp_path / "hello.tar.gz"
    archive.write_bytes(archive_of({**files, "packages/core/README": "nothing to start here"}))

    run("deploy", "greeter", "--archive", str(archive), "--subdirectory", "packages/server", "--here")

    server = Server.objects.get(slug="greeter")
    assert (server.source["subdirectory"], server.status) == ("packages/server", ServerStatus.RUNNING)


@pytest.mark.parametrize(
    ("words", "source"),
    [
        (["--pypi", "some-server==1.0"], {"ecosystem": "pypi", "name": "some-server", "version": "1.0"}),
        (["--npm", "@scope/name@2.0"], {"ecosystem": "npm", "name": "@scope/name", "version": "2.0"}),
        (["--npm", "@scope/name"], {"ecosystem": "npm", "name": "@scope/name", "version": ""}),
        (["--git", "https://git.example.org/a.git", "--ref", "v1"], {"url": "https://git.example.org/a.git"}),
        (["--image", "registry.example.org/a/b:1"], {"reference": "registry.example.org/a/b:1"}),
    ],
)  # fmt: skip
def test_each_source_is_understood(idle: Platform, words: list[str], source: dict[str, str]) -> None:
    told = facts("deploy", "thing", *words)
    assert (told["server"], told["number"], told["status"]) == ("thing", 1, "queued")
    held = Server.objects.get(slug="thing").source
    assert {name: held.get(name, "") for name in source} == source


@pytest.mark.parametrize(
    "words",
    [
        ["--git", "ftp://x/y.git"],
        ["--image", "Not A Reference"],
        ["--pypi", "-r file"],
        ["--archive", "/nowhere/x.zip"],
        ["--pypi", "x", "--env", "1=2"],
        ["--pypi", "x", "--subdirectory", "packages/x"],
        ["--archive", "/nowhere/x.zip", "--ref", "main"],
    ],
)
def test_what_is_not_accepted_is_one_line_and_makes_nothing(idle: Platform, words: list[str]) -> None:
    with pytest.raises(CommandError) as raised:
        run("deploy", "thing", *words)
    assert len(str(raised.value).splitlines()) == 1
    assert not Deployment.objects.exists()
    assert not Server.objects.exists(), "the name is free for the next try"


def test_a_negative_number_of_lines_is_one_line(idle: Platform) -> None:
    idle.hello()
    with pytest.raises(CommandError, match="--lines takes a number from 0 on"):
        run("logs", "hello", "-n", "-1")


def test_a_database_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    own = {**os.environ, "DATABASE_URL": "", "DATA_DIR": str(tmp_path / "none"), "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, MANAGE, "servers"], env=own, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError: The database cannot be used: ")
    assert len(ended.stderr.splitlines()) == 1


def test_why_a_server_failed_is_shown_as_it_is_written(idle: Platform) -> None:
    hello = idle.hello()
    Server.objects.filter(pk=hello.pk).update(status=ServerStatus.ERROR, error="no [/app/x] in [red]")
    assert "no [/app/x] in [red]" in " ".join(run("servers").split())


def test_redeploying_here_shows_the_steps_and_the_outcome(idle: Platform) -> None:
    idle.hello()
    assert run("redeploy", "hello", "--here").rstrip().endswith("hello #1 succeeded")
    told = facts("redeploy", "hello", "--here", "--mode", "same-digest")
    assert (told["number"], told["status"], told["error"]) == (2, "succeeded", "")
    assert Deployment.objects.get(number=2).mode == Mode.SAME_DIGEST


def test_a_deployment_that_fails_ends_the_command_with_its_reason(idle: Platform) -> None:
    idle.server("broken", BROKEN)
    out = io.StringIO()
    with pytest.raises(CommandError, match=r"broken #1 failed: .*no licence"), redirect_stdout(out):
        call_command("redeploy", "broken", "--here", stdout=out)
    assert "health failed after" in out.getvalue()
    assert "It wrote last" not in out.getvalue(), "the reason is said once, by the error"


def test_a_failure_is_told_as_json_too(idle: Platform) -> None:
    idle.server("broken", BROKEN)
    out = io.StringIO()
    with pytest.raises(CommandError), redirect_stdout(out):
        call_command("redeploy", "broken", "--here", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert (told["status"], told["error_kind"]) == ("failed", "runtime")


def test_rolling_back_from_the_command_line(idle: Platform) -> None:
    idle.hello()
    run("redeploy", "hello", "--here")
    run("redeploy", "hello", "--here")
    assert facts("redeploy", "hello", "--to", "1", "--here")["status"] == "succeeded"
    assert Deployment.objects.get(number=3).trigger == Trigger.ROLLBACK
    with pytest.raises(CommandError, match="hello has no deployment #9"):
        run("redeploy", "hello", "--to", "9")


def test_waiting_follows_what_a_worker_does(platform: Platform) -> None:
    platform.hello()
    assert run("redeploy", "hello", "--wait").rstrip().endswith("hello #1 succeeded")


def test_stop_and_start(idle: Platform) -> None:
    idle.hello()
    run("redeploy", "hello", "--here")
    with pytest.raises(CommandError, match="is running already"):
        run("start", "hello")
    assert facts("stop", "hello", "--here") == {"slug": "hello", "status": "stopped"}
    assert run("stop", "hello", "--here") == "hello is stopped.\n"
    assert facts("start", "hello", "--here")["status"] == "succeeded"
    assert idle.fresh(Server.objects.get()).serving


def test_the_list_says_what_serves_and_why_not(idle: Platform) -> None:
    assert run("servers") == "No servers yet. `manage.py deploy --help` shows how to make one.\n"
    idle.hello()
    run("redeploy", "hello", "--here")
    broken = idle.server("broken", BROKEN)
    Server.objects.filter(pk=broken.pk).update(status=ServerStatus.ERROR, error="No licence.")

    table = run("servers")
    assert "hello" in table
    assert "Running" in table
    assert "#1" in table
    assert "No licence." in table
    listed = {each["slug"]: each for each in map(json.loads, run("servers", "--json").splitlines())}
    assert listed["hello"]["serving"] == 1
    assert (listed["broken"]["status"], listed["broken"]["serving"]) == ("error", None)


def test_logs_are_chosen_by_deployment_and_stream(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=PLATFORM, trigger=Trigger.COMMAND)
    write(deployment, "stdout", "one")
    write(deployment, "stderr", "two")

    assert [line.split()[-3:] for line in run("logs", "hello").splitlines()] == [
        ["#1", "stdout", "one"],
        ["#1", "stderr", "two"],
    ]
    assert facts("logs", "hello", "--stream", "stderr")["text"] == "two"
    assert run("logs", "hello", "-n", "1").endswith("two\n")
    assert run("logs", "hello", "--deployment", "2") == ""


def test_logs_follow_until_interrupted(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=PLATFORM, trigger=Trigger.COMMAND)
    write(deployment, "stdout", "before")
    environment = {**os.environ, "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}"}
    if connection.vendor == "postgresql":
        name = connection.settings_dict["NAME"]
        environment["DATABASE_URL"] = f"{os.environ['DATABASE_URL'].rpartition('/')[0]}/{name}"
    following = subprocess.Popen(
        [sys.executable, MANAGE, "logs", "hello", "-f"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert following.stdout
    assert following.stdout.readline().endswith("before\n")
    write(deployment, "stdout", "after")
    assert following.stdout.readline().endswith("after\n")
    following.send_signal(signal.SIGINT)
    _, complaints = following.communicate(timeout=60)
    assert (following.returncode, complaints) == (130, "")


def test_a_reader_that_leaves_is_no_error(idle: Platform) -> None:
    server = idle.hello()
    deployment = services.deploy(server=server, by=PLATFORM, trigger=Trigger.COMMAND)
    write(deployment, "stdout", "x")

    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(SystemExit) as ended:
        call_command("logs", "hello", stdout=Gone())
    assert ended.value.code == 0


def test_stopping_says_when_nothing_does_the_work(idle: Platform, settings: Any) -> None:
    settings.STOP_GRACE_SECONDS = -29.5
    server = idle.hello()
    with pytest.raises(CommandError, match=r"still stopping. Is `manage.py up` running"):
        run("stop", "hello", "--wait")
    assert idle.fresh(server).status == ServerStatus.STOPPING


def test_the_work_of_a_killed_command_is_found_again(idle: Platform) -> None:
    idle.hello()
    run("redeploy", "hello", "--here")
    deployment = Deployment.objects.get()
    assert deployment.status == DeploymentStatus.SUCCEEDED
    eventually(
        lambda: is_alive(deployment),
        what="it outlives the command that started it",
    )


def write(deployment: Deployment, stream: str, text: str) -> None:
    LogLine.objects.create(
        server_id=deployment.server_id, deployment=deployment, stream=stream, at=timezone.now(), text=text
    )
