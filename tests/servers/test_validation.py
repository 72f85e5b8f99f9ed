from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from servers import validation


@pytest.mark.parametrize(
    ("kind", "source", "key"),
    [
        ("git", {}, "url"),
        ("git", {"url": "file:///etc"}, "url"),
        ("git", {"url": "https://user:secret@git.example.org/a.git"}, "url"),
        ("git", {"url": "https://git.example.org/a.git", "ref": "--upload-pack=x"}, "ref"),
        ("git", {"url": "https://git.example.org/a.git", "subdirectory": "../x"}, "subdirectory"),
        ("upload", {"archive": "a.zip", "subdirectory": "../x"}, "subdirectory"),
        ("upload", {"archive": "a.zip", "subdirectory": "a\0b"}, "subdirectory"),
        ("package", {"ecosystem": "gem", "name": "a"}, "ecosystem"),
        ("package", {"ecosystem": "pypi"}, "name"),
        ("package", {"ecosystem": "pypi", "name": "-r evil"}, "name"),
        ("package", {"ecosystem": "pypi", "name": "a", "version": "one"}, "version"),
        ("package", {"ecosystem": "npm", "name": "a", "command": "'open"}, "command"),
        ("package", {"ecosystem": "npm", "name": "a", "arguments": [1]}, "arguments"),
        ("image", {"reference": "https://x"}, "reference"),
        ("upload", {"archive": "../../etc/passwd"}, "archive"),
    ],
)
def test_a_bad_source_names_the_key_at_fault(kind: str, source: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validation.clean_source(kind, source)
    assert list(raised.value.message_dict) == [key]
    assert "secret" not in str(raised.value)


def test_a_source_has_exactly_the_keys_of_its_kind() -> None:
    given = {"ecosystem": "pypi", "name": " mcp-server-time ", "url": "x", "arguments": ["--utc"]}
    assert validation.clean_source("package", given) == {
        "ecosystem": "pypi",
        "name": "mcp-server-time",
        "version": "",
        "command": "",
        "arguments": ["--utc"],
    }


def test_environment_lines() -> None:
    text = "# comment\nA=1\n\nB=x=y\nC= kept "
    assert validation.parse_environment(text) == {"A": "1", "B": "x=y", "C": " kept "}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A=1\nhunter2", "Line 2 has no “=”: write NAME=value."),
        ("A=1\nA=2", "Line 2 sets A a second time."),
        ("1A=x", "“1A” cannot name a variable"),
    ],
)
def test_a_bad_line_is_named_without_its_value(text: str, said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        validation.parse_environment(text)
    assert said in raised.value.messages[0]
    assert "hunter2" not in str(raised.value)


def test_words_are_split_as_in_a_shell() -> None:
    assert validation.parse_words("uvx 'my server' --flag=$HOME") == ["uvx", "my server", "--flag=$HOME"]
