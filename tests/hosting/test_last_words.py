from __future__ import annotations

from hosting.last_words import last_words


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


def test_of_nodes_stack_the_message_is_left() -> None:
    said = [
        "file:///app/server.js:3",
        "        throw new Error('no key');",
        "              ^",
        "Error: no key",
        "    at parseArgs (/app/node_modules/@x/mcp/dist/cli.js:34:15)",
        "    at Object.<anonymous> (/app/index.js:81:5)",
        "    at new Promise (<anonymous>)",
        "    at node:internal/main/run_main_module:28:49",
        "Node.js v20.20.2",
    ]
    assert last_words(said, 5) == ["file:///app/server.js:3", "throw new Error('no key');", "Error: no key"]
