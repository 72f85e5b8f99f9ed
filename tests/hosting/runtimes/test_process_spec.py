from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hosting.errors import RuntimeFault
from hosting.runtimes import process_spec
from hosting.runtimes.base import Limits
from hosting.runtimes.process_table import Mark
from tests.hosting.runtimes.programs import prepared, spec


def test_a_stdio_command_is_wrapped_without_being_parsed(tmp_path: Path) -> None:
    command = ("/venv/bin/server", "--", "--port", "{port}")
    found = process_spec.command(
        spec(tmp_path, transport="stdio", command=command), 4000, python=Path("/py"), bridge=Path("/bridge")
    )
    assert found[:4] == ["/py", "-I", "-u", "/bridge"]
    at = found.index("--")
    assert found[4:at] == ["--host", "127.0.0.1", "--port", "4000", "--path", "/mcp"]
    assert found[at + 1 :] == ["/venv/bin/server", "--", "--port", "4000"]


def test_an_http_server_is_started_as_it_is(tmp_path: Path) -> None:
    found = process_spec.command(spec(tmp_path), 4000, python=Path(sys.executable), bridge=tmp_path)
    assert found == [sys.executable, "server.py"]
    with pytest.raises(RuntimeFault):
        process_spec.command(spec(tmp_path, command=()), 4000, python=Path("/py"), bridge=tmp_path)


def test_the_servers_variables_go_over_ours_but_for_the_address(tmp_path: Path) -> None:
    environment = {"HOME": "/elsewhere", "HOST": "0.0.0.0", "MODE": "x"}
    found = process_spec.environment(
        spec(prepared(tmp_path / "d"), environment=environment), 4000, temporary=tmp_path, search_path="/bin"
    )
    assert (found["HOME"], found["MODE"]) == ("/elsewhere", "x")
    assert (found["HOST"], found["PORT"]) == ("127.0.0.1", "4000")
    assert found["TMPDIR"] == str(tmp_path)


def test_limits_of_nothing_are_not_set() -> None:
    found = process_spec.resource_limits(Limits(cpu=0, memory_mb=0, pids=0))
    assert set(found) == {"RLIMIT_CORE", "RLIMIT_NOFILE"}
    assert process_spec.resource_limits(Limits(memory_mb=512))["RLIMIT_DATA"] == 1024 << 20


def test_a_mark_is_read_back_and_nonsense_is_none() -> None:
    mark = Mark(7, 42, "abc", "d1")
    assert Mark.parse(str(mark)) == mark
    for text in ("", "7:42", "7:42:abc", "x:42:abc:d", "7:42::d", "-1:2:a:b"):
        assert Mark.parse(text) is None
