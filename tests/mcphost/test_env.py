"""A bad value is one line that names the variable, the value and what is accepted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcphost.env import BadSetting, Environment

Read = Callable[[Environment], Any]

BAD: list[tuple[str, Read, str]] = [
    ("99999", lambda e: e.integer("X", 3000, 1, 65535), "a whole number from 1 to 65535"),
    ("3.5", lambda e: e.integer("X", 3, 1, 20), "a whole number from 1 to 20"),
    ("many", lambda e: e.integer("X", 3, 1, 20), "a whole number from 1 to 20"),
    ("-1", lambda e: e.number("X", 5, 0, 600), "a number from 0 to 600"),
    ("nan", lambda e: e.number("X", 5, 0, 600), "a number from 0 to 600"),
    ("perhaps", lambda e: e.boolean("X", False), "true or false"),
    ("podman", lambda e: e.choice("X", "auto", ["auto", "docker"]), "one of auto, docker"),
    ("linux/amd65", lambda e: e.platforms("X", "linux/amd64"), "linux/amd64"),
    (",", lambda e: e.platforms("X", "linux/amd64"), "a comma-separated list of"),
    ("ftp://host", lambda e: e.url("X", "", ["http", "https"]), "http://, https://"),
    ("http://host:99999", lambda e: e.url("X", "", ["http"]), "http://"),
    ("http://[::1", lambda e: e.url("X", "", ["http"]), "http://"),
    ("A B", lambda e: e.pattern("X", "", "[a-z]+", "small letters"), "small letters"),
    ("'open", lambda e: e.words("X"), "closed quotation marks"),
    ("/nowhere/at/all", lambda e: e.readable_file("X"), "a file that this process can read"),
    ("/", lambda e: e.readable_file("X"), "a file that this process can read"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "read", "accepted"), BAD)
def test_bad_values(value: str, read: Read, accepted: str) -> None:
    with pytest.raises(BadSetting) as raised:
        read(Environment({"X": value}))
    (line,) = str(raised.value).splitlines()
    assert line.startswith(f"X={value}: not accepted; it must be ")
    assert accepted in line


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        ("8080", lambda e: e.integer("X", 3000, 1, 65535), 8080),
        ("ON", lambda e: e.boolean("X", False), True),
        ("0", lambda e: e.boolean("X", True), False),
        ("Docker", lambda e: e.choice("X", "auto", ["auto", "docker"]), "docker"),
        (" a, ,b ", lambda e: e.names("X"), ["a", "b"]),
        ("linux/386,linux/amd64,linux/386", lambda e: e.platforms("X", ""), ["linux/386", "linux/amd64"]),
        ("login 'a b'", lambda e: e.words("X"), ["login", "a b"]),
        ("https://[::1]:8443", lambda e: e.url("X", "", ["https"]), "https://[::1]:8443"),
    ],
)  # fmt: skip
def test_good_values(value: str, read: Read, expected: object) -> None:
    assert read(Environment({"X": value})) == expected


@pytest.mark.parametrize("values", [{}, {"X": ""}, {"X": "  "}])
def test_nothing_is_the_default(values: dict[str, str]) -> None:
    assert Environment(values).integer("X", 7, 1, 9) == 7


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("pass-word", lambda e: e.url("X", "", ["postgres"], secret=True)),
        ("mysql://user:pass-word@host/db", lambda e: e.url("X", "", ["postgres"])),
        ("http://user:pass-word@host:99999/", lambda e: e.url("X", "", ["http"])),
    ],
)
def test_secrets_are_not_shown(value: str, read: Read) -> None:
    with pytest.raises(BadSetting, match=r"^X=\(not shown\): ") as raised:
        read(Environment({"X": value}))
    assert "pass-word" not in str(raised.value)


def test_a_value_may_stand_in_a_file(tmp_path: Path) -> None:
    held = tmp_path / "port"
    held.write_text("8081\n")
    assert Environment({"X_FILE": str(held)}).integer("X", 3000, 1, 65535) == 8081


def test_a_file_that_cannot_be_read_is_named_with_its_variable(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(BadSetting, match=why) as raised:
            Environment({"X_FILE": str(path)}).text("X", secret=True)
        assert str(raised.value).startswith(f"X_FILE={path}: cannot be read")


def test_a_file_that_is_no_text_is_not_shown(tmp_path: Path) -> None:
    held = tmp_path / "key"
    held.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSetting, match="not text"):
        Environment({"X_FILE": str(held)}).text("X", secret=True)


def test_a_value_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="X and X_FILE are both set: keep one"):
        Environment({"X": "1", "X_FILE": str(tmp_path / "x")}).text("X")


def test_the_process_environment_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "env").write_text("X_ONE=file\nX_TWO=file\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "env"))
    monkeypatch.setenv("X_ONE", "process")
    found = Environment.load(tmp_path)
    assert (found.text("X_ONE"), found.text("X_TWO")) == ("process", "file")
