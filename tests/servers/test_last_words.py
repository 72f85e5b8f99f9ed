from __future__ import annotations

import pytest

from servers.last_words import last_words, other_version


def test_the_bridges_own_lines_are_no_last_words_of_a_server() -> None:
    said = ["bridge: listening on 127.0.0.1:8000", "Traceback …", "", "KeyError: DB_URL", "bridge: it exited"]
    assert last_words(said, 5) == ["Traceback …", "KeyError: DB_URL"]
    assert last_words([said[0], said[-1]], 5) == [said[0], said[-1]], "better than nothing"


def test_each_line_once_and_the_newest_of_them() -> None:
    assert last_words(["one", "two", "three", "two", " "], 2) == ["three", "two"]
    assert last_words([], 3) == []


def test_a_tracebacks_heading_and_what_points_at_code_are_left_out() -> None:
    said = [
        "Traceback (most recent call last):",
        '    DATABASE = os.environ["DB_URL"]',
        "               ~~~~~~~~~~^^^^^^^^^^",
        "KeyError: 'DB_URL'",
    ]
    assert last_words(said, 5) == ['DATABASE = os.environ["DB_URL"]', "KeyError: 'DB_URL'"]


@pytest.mark.parametrize(
    ("line", "lacking"),
    [
        (
            "AttributeError: 'Server' object has no attribute 'list_resources'",
            "'Server' object: list_resources",
        ),
        ("AttributeError: module 'mcp.types' has no attribute 'Root'", "module 'mcp.types': Root"),
        ("ImportError: cannot import name 'FastMCP' from 'mcp.server' (/x/mcp.py)", "mcp.server: FastMCP"),
        ("TypeError: FastMCP.__init__() got an unexpected keyword argument 'host'", "FastMCP.__init__: host"),
        (
            "SyntaxError: The requested module 'zod' does not provide an export named 'z4'",
            "zod: z4",
        ),
        ("AttributeError: 'NoneType' is not what you think", ""),
        ("x" * 100_000 + "ImportError", ""),
    ],
)
def test_what_another_version_of_a_package_would_have(line: str, lacking: str) -> None:
    assert other_version(["starting", line]) == lacking
