# ruff: noqa: E501  (texts stay as they are pasted)
"""Texts that are made to hurt: they come to an end, with a sentence, whatever they hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from servers.paste import LARGEST, read

# None of these asserts a time: what went back and forth never came to an end here.
FILLINGS = [
    " ", "\n", "a", "A", "0", "-", "_", "'", '"', "`", "\\", "\\\n", "{", "[", "<", "(", "$(", "${", "{{", "://", "//",
    "/*", "#", "```\n", "~~~\n", "a=", "-e ", "&&", ";", "|", "your", "your_", "my_a", "x", ".", "…", "@", "/", "[a](",
    '{"a":', '"a":{', '"a":[', "[a]\n", "[[a]]\n", "a:\n", "mcpServers:\n", "- ", "&a [*a]", "é", "\u200b", "“", "—",
    "https://", "https://a/", "cursor://?config=", "npx ", "uvx --with ", "docker run -e ", "sh -c ", "env ", "cmd /c ",
    "%7B", "=", "eyJ", "-----BEGIN ", "ghp_", "$ ", "a@b: $ ", "PS C:", "\x00", "\ud800", "'{", '"{\n',
]  # fmt: skip
HEADS = [
    "", "npx -y ", "uvx ", "docker run -e A=", "docker run ", "claude mcp add a ", "claude mcp add-json a '", "{",
    '{"mcpServers": {"a": {"command": "npx", "args": ["', "[mcp_servers.a]\n", "mcpServers:\n  ", "https://a.example.org/",
    "A=", "export A=", "API_KEY=", "https://github.com/", "code --add-mcp '", "git clone ", "npx -y a-b --token ",
]  # fmt: skip


@pytest.mark.parametrize("filling", FILLINGS)
def test_a_text_of_one_kind(filling: str) -> None:
    for head in HEADS:
        reading = read((head + filling * LARGEST)[: LARGEST // 32 if head else LARGEST // 4])
        assert reading.candidates or reading.notes


@pytest.mark.parametrize("text", ["a" * (LARGEST + 1), "é" * LARGEST, "npx -y kit-mcp " + "a " * LARGEST])
def test_a_text_that_is_too_large(text: str) -> None:
    reading = read(text)
    assert reading.candidates == ()
    assert "larger than 64 KiB" in reading.notes[0]


@pytest.mark.parametrize("depth", [63, 64, 65, 500, 5_000, 30_000])
def test_json_toml_and_yaml_that_are_nested(depth: int) -> None:
    for text in (
        '{"mcpServers": ' + '{"a":' * depth + "1" + "}" * depth + "}",
        "[" * depth + "]" * depth,
        "[mcp_servers.a]\nargs = " + "[" * depth + "]" * depth,
        "mcpServers:\n  a: " + "[" * depth + "]" * depth,
        "[mcp_servers" + ".a" * depth + "]",
    ):
        assert read(text[:LARGEST]).notes


def test_yaml_that_grows_out_of_aliases() -> None:
    grown = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 30))
    assert read("x0: &x0 [a]\n" + grown + "\nmcpServers:\n  a: {command: npx, args: *x29}").candidates == ()


def test_yaml_that_names_types() -> None:
    assert read("mcpServers:\n  - !!python/object/apply:os.system ['true']\n").candidates == ()


def test_many_servers_are_cut() -> None:
    block = {"mcpServers": {f"a{n}": {"command": "npx", "args": [f"a{n}-mcp"]} for n in range(200)}}
    assert len(read(json.dumps(block)).candidates) == 60


def test_names_that_are_odd() -> None:
    names = ["", " ", "\u202e", "a" * 500, "<script>", "a\nb", "../..", "a'b", "…", "\x1b[31m"]
    block = {"mcpServers": {name: {"command": "npx", "args": [f"k{n}"]} for n, name in enumerate(names)}}
    found = [each.name for each in read(json.dumps(block)).candidates]
    assert len(found) == len(set(found)) == len(names)
    assert all(0 < len(name) <= 100 and name.isprintable() for name in found)


def test_values_of_odd_types() -> None:
    entry = {
        "command": "npx", "args": ["-y", "kit-mcp", 1, 1.5, True, None, {}, [], "x"],
        "env": {"A": 1, "B": True, "C": None, "D": {}, "E": [], "F": {"value": "x"}, "bad name": "x", "": "y"},
        "env_keys": "no", "envFile": 1, "settings": [],
    }  # fmt: skip
    candidate = read(json.dumps({"mcpServers": {"a": entry}})).picked()
    assert candidate is not None
    assert candidate.source["arguments"] == ["1", "1.5", "true", "", "x"]
    assert candidate.environment == {"A": "1", "B": "true", "F": "x"}


words = st.sampled_from(
    ["npx", "uvx", "docker", "run", "-y", "-e", "--env", "A=b", "--", "-c", "sh", "env", "cmd", "/c", "claude", "mcp",
     "add", "add-json", "--from", "git+https://a.example.org/b", "pip", "install", "&&", "|", "'", '"', "{", "}", "\\",
     "--with", "mcp<2", "python", "-m", "a_b", "@a/b@1", "$KEY", "<KEY>", "\n", "```", "https://github.com/a/b", "git",
     "clone", "code", "--add-mcp", '{"command":"npx","args":["a-b"]}', "mcpServers:", "[mcp_servers.a]", "=", "-", ""]
)  # fmt: skip
LIMITS = settings(max_examples=150, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@LIMITS
@given(st.lists(words, max_size=25))
def test_words_in_any_order(chosen: list[str]) -> None:
    reading = read(" ".join(chosen))
    assert reading.candidates or reading.notes
    for each in reading.candidates:
        assert each.why_not or each.source, chosen


@LIMITS
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    reading = read(text)
    assert reading.candidates or reading.notes


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["command", "args", "env", "url", "mcpServers", "servers", "mcp", "inputs", "id", "name", "path"]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@LIMITS
@given(json_values)
def test_any_configuration(value: object) -> None:
    reading = read(json.dumps(value))
    assert reading.candidates or reading.notes
