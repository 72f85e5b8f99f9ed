"""A server that writes for the operator's terminal: titles, links, the clipboard, a screen wiped clean."""

from __future__ import annotations

import ast
import json
import logging
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest
from django.conf import settings
from django.core.management import get_commands, load_command_class

from cli.terminal import ShownCommand
from cli.visible import visible
from mcphost import logs
from tests.e2e.upping import MANAGE, Machine, machine

ROOT = MANAGE.parent
HOSTILE = (
    "\x1b]0;owned\x07"  # the window's title
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\"  # a link that says something else
    "\x1b]52;c;cm0gLXJm\x07"  # the clipboard
    "\x1b[2J\x1b[1;1H\x1bc"  # wipe all, begin at the top
    "\x1bP+q544e\x1b\\"  # ask the terminal, which answers as if somebody typed
    "\x9b2J\x9d0;x\x9c\x90$q\x9c"  # the same in 8 bits
    "\x08\x0b\x0c\x0e\x7fback\roverwritten"
    "\u202edrawkcab\u2066\u2029\u200f"
    "\x1b[8mconcealed\x1b[38;5;8m"
)
OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What Rich writes itself where it draws: cursor, lines, colours.
DRAWN = re.compile(r"\x1b\[(?:\?25[lh]|[0-9]*[AK]|[0-9;]*m)|\r")
PREPARED = f"""
from django.contrib.auth.models import User
from django.utils import timezone
from axes.models import AccessAttempt
from servers.models import Build, Deployment, LogLine, Server, Step
text, now = {HOSTILE!r}, timezone.now()
bad = dict(error_kind="runtime", error=text)
owned = dict(owner=User.objects.get(), source_kind="upload", status="error", **bad)
server = Server.objects.create(name=text[:90], slug="evil", **owned)
build = Build.objects.create(server=server, number=1, revision=text)
done = dict(trigger="api", status="failed", build=build, **bad)
made = Deployment.objects.create(server=server, number=1, **done)
Step.objects.create(deployment=made, kind="start", status="failed", error=text)
for stream in ("build", "platform", "stdout", "stderr"):
    for said in (text + " of " + stream, "\\x1b[31mred"):
        LogLine.objects.create(server=server, deployment=made, stream=stream, at=now, text=said)
attempt = dict(username=text[:200], user_agent=text[:200], ip_address="192.0.2.1", failures_since_start=3)
AccessAttempt.objects.create(**attempt)
"""
FOLLOW = """
from cli.following import follow
from servers.models import Deployment
follow(Deployment.objects.get())
"""
DOCUMENT = {
    "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
    "name": "io.example/evil",
    "description": "x",
    "version": "1.0.0",
    "packages": [
        {
            "registryType": "pypi",
            "identifier": "evil",
            "version": "1.0.0",
            "transport": {"type": "stdio"},
            "environmentVariables": [{"name": "KEY", "description": HOSTILE}],
        }
    ],
}
COMMANDS = {
    "logs": ["logs", "evil"],
    "servers": ["servers"],
    "runbook": ["runbook", "evil"],
    "redeploy": ["redeploy", HOSTILE],
    "approve": ["approve", HOSTILE],
    "import_server --questions": ["import_server", "evil.json", "--questions"],
    "import_server": ["import_server", "broken.json"],
    "a command of another package": ["axes_list_attempts"],
    "a deployment that is followed": ["shell", "-v", "0", "-c", FOLLOW],
    "a command to come": ["shell", "-v", "0", "-c", f"print({HOSTILE!r})"],
    "a complaint": ["shell", "-v", "0", "-c", f"import sys; sys.stderr.write({HOSTILE!r})"],
    "a traceback": ["shell", "-v", "0", "-c", f"raise ValueError({HOSTILE!r})"],
}
PROGRAMS_READ = {
    "logs": ["logs", "evil", "--json"],
    "servers": ["servers", "--json"],
    "runbook": ["runbook", "evil", "--json"],
}
NEXT = "== next =="
# One process for all of them: it takes seconds to start.
ONE_BY_ONE = """
import sys, traceback
from django.core.management import execute_from_command_line
for words in {commands!r}:
    try:
        execute_from_command_line(["manage.py", *words])
    except SystemExit:
        pass
    except Exception:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        stream.write({next!r} + "\\n")
        stream.flush()
"""
Said = dict[str, str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A platform of which everything that a person from outside could name is hostile."""
    with machine(tmp_path_factory.mktemp("terminal"), migrated=True) as made:
        assert made.command("prepare").returncode == 0
        filled = made.command("shell", "-c", PREPARED)
        assert filled.returncode == 0, filled.stderr
        (made.home / "evil.json").write_text(json.dumps(DOCUMENT))
        (made.home / "broken.json").write_text(json.dumps({**DOCUMENT, "name": HOSTILE}))
        yield made


def script(home: Machine, commands: Iterable[list[str]]) -> str:
    found = [
        [str(home.home / word) if word.endswith(".json") else word for word in each] for each in commands
    ]
    return ONE_BY_ONE.format(commands=found, next=NEXT)


@pytest.fixture(scope="module")
def piped(home: Machine) -> Said:
    """What each command writes where no terminal is."""
    ended = home.command("shell", "-v", "0", "-c", script(home, COMMANDS.values()))
    parts = zip(ended.stdout.split(NEXT), ended.stderr.split(NEXT), strict=True)
    return {name: out + err for name, (out, err) in zip(COMMANDS, parts, strict=False)}


@pytest.fixture(scope="module")
def seen(home: Machine) -> Said:
    """What each command writes to a terminal, which has both streams."""
    parts = on_terminal(home, ["shell", "-v", "0", "-c", script(home, COMMANDS.values())]).split(NEXT)
    return {name: "".join(both) for name, both in zip(COMMANDS, batched(parts), strict=False)}


def batched(parts: list[str]) -> Iterator[list[str]]:
    return (parts[at : at + 2] for at in range(0, len(parts), 2))


def on_terminal(home: Machine, words: list[str]) -> str:
    """What a terminal gets, all of it."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, str(MANAGE), *words]
    environment = home.environment(TERM="xterm-256color", BIND_PORT="1")
    with subprocess.Popen(argv, env=environment, stdout=theirs, stderr=theirs, stdin=theirs) as process:
        os.close(theirs)
        got = b"".join(iter(lambda: _read(ours), b""))
        process.wait(60)
    os.close(ours)
    return got.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody writes any more
        return b""


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_text_from_outside_that_a_command_prints(piped: Said, seen: Said, command: str) -> None:
    assert not OBEYED.search(piped[command])
    assert not OBEYED.search(DRAWN.sub("", seen[command]))
    for said in (piped, seen):
        assert "\\x1b]0;owned" in said[command]


@pytest.mark.slow
def test_a_text_from_outside_that_a_program_reads(home: Machine) -> None:
    """Nothing to obey, and nothing lost."""
    said = home.command("shell", "-v", "0", "-c", script(home, PROGRAMS_READ.values())).stdout
    assert not OBEYED.search(said)
    found = dict(zip(PROGRAMS_READ, said.split(NEXT), strict=False))
    lines = [json.loads(line) for line in found["logs"].splitlines() if line.startswith("{")]
    assert f"{HOSTILE} of build" in [line["text"] for line in lines]
    assert HOSTILE in [json.loads(found["servers"])["error"]]
    assert json.loads(found["runbook"])["deployment"] == 1


@pytest.mark.slow
def test_colours_of_a_build_stay_on_a_terminal_and_end_with_their_line(home: Machine) -> None:
    assert "\x1b[31mred\x1b[0m\n" in on_terminal(home, ["logs", "evil"])
    assert "\\x1b[31mred\n" in home.command("logs", "evil").stdout


@pytest.mark.slow
def test_a_backup_holds_every_character_as_it_is(home: Machine) -> None:
    rows = json.loads(home.command("dumpdata", "servers.logline").stdout)
    assert f"{HOSTILE} of build" in [row["fields"]["text"] for row in rows]


@pytest.mark.parametrize(
    ("given", "plain", "coloured"),
    [
        ("a\tb\nc", "a\tb\nc", "a\tb\nc"),
        ("a\r\nb", "a\nb", "a\nb"),
        ("a\rb", "a\\x0db", "a\\x0db"),
        ("\x9b2J", "\\x9b2J", "\\x9b2J"),
        ("\u202e", "\\u202e", "\\u202e"),
        ("Grüße, 日本 👩\u200d💻", "Grüße, 日本 👩\u200d💻", "Grüße, 日本 👩\u200d💻"),
        ("\x1b[1;31mred\x1b[0m", "\\x1b[1;31mred\\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[31mred", "\\x1b[31mred", "\x1b[31mred\x1b[0m"),
        ("\x1b[31mred\n", "\\x1b[31mred\n", "\x1b[31mred\x1b[0m\n"),
        ("\x1b[08mno", "\\x1b[08mno", "\\x1b[08mno"),
        ("\x1b[1;8mno", "\\x1b[1;8mno", "\\x1b[1;8mno"),
        ("\x1b[31\x1b]0;x\x07m", "\\x1b[31\\x1b]0;x\\x07m", "\\x1b[31\\x1b]0;x\\x07m"),
        ("\x1b[?25l\x1b[m", "\\x1b[?25l\\x1b[m", "\\x1b[?25l\x1b[m"),
    ],
)
def test_what_is_shown_and_what_stays(given: str, plain: str, coloured: str) -> None:
    assert visible(given) == plain
    assert visible(given, colours=True) == coloured
    assert visible(plain) == plain


@pytest.mark.parametrize("log_format", ["keyvalue", "json"])
def test_a_text_from_outside_in_the_platforms_own_log(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    logs.configure(log_format, "info")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("x").exception("%s", HOSTILE, extra={"said": HOSTILE, "list": [HOSTILE]})
    finally:
        logs.configure(settings.LOG_FORMAT, settings.LOG_LEVEL)
    line = capsys.readouterr().err
    assert not OBEYED.search(line)
    assert "\\u001b]0;owned" in line
    if log_format == "json":
        assert json.loads(line)["said"] == HOSTILE


def test_every_command_of_ours_shows_what_it_writes() -> None:
    ours = [path.parent.parent.name for path in ROOT.glob("*/management/commands")]
    commands = {name: app for name, app in get_commands().items() if app in ours}
    assert {"logs", "up", "import_server", "changepassword"} <= commands.keys()
    loaded = [load_command_class(app, name) for name, app in commands.items()]
    assert [each for each in loaded if not isinstance(each, ShownCommand)] == []


def test_no_command_writes_past_the_guarded_streams() -> None:
    """Rich's own console, file descriptors and the streams' buffers would."""
    past = {"Console": "rich", "buffer": "", "__stdout__": "", "__stderr__": ""}
    own = {ROOT / "cli/drawing.py"}
    places = {*ROOT.glob("*/management/commands/*.py"), *ROOT.glob("cli/*.py")} - own
    found = [
        (path.name, ast.unparse(node))
        for path in places
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in past)
        or (isinstance(node, ast.ImportFrom) and node.module == "rich.console")
        or (isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.write", "os.writev"))
    ]
    assert found == []
