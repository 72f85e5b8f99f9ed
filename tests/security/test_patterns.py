"""A pattern, or a text for one, made to take for ever: filters of webhooks, tool policies, our own."""

from __future__ import annotations

import ast
import fnmatch
import random
import re
from collections.abc import Iterator

import pytest

from hooks.matching import MOST_TEXT, Wanted, objection
from hooks.models import LONGEST_PATTERN, MOST_PATTERNS
from hooks.push import MOST_PATHS, Push
from hosting import globs
from hosting.builder import named_images, node_errors
from hosting.builder.progress import Progress
from hosting.process_group import MAX_LINE_BYTES
from hosting.runtimes import docker_faults
from metrics.methods import client_of
from registry import reasons
from registry.challenge import read_challenge
from registry.content import next_page as _next_page
from registry.engine_errors import from_engine
from servers.models import tool_patterns
from tests import rooms


def deploys(paths: list[str], *changed: str) -> bool:
    return objection(Wanted(paths=paths), Push(ref="refs/heads/main", paths=changed)) == ""


# None of these asserts a time: what went back and forth never came to an end here.


@pytest.mark.parametrize(
    "pattern", ["*a*a*a*a*a*a*a*ab", "**/a**/a**/a**/ab", "?*?*?*?*?*?*?*?*b", "!*a*a*a*a*a*a*a*ab"]
)
def test_a_filter_of_eight_stars_and_a_path_of_many_letters(pattern: str) -> None:
    assert deploys([pattern], "a" * 4000) is pattern.startswith("!")


def test_the_largest_filter_and_the_largest_push() -> None:
    patterns = [("**/" * 4 + "a" * LONGEST_PATTERN)[:LONGEST_PATTERN] + str(n) for n in range(MOST_PATTERNS)]
    paths = ["a/" * (MOST_TEXT // MOST_PATHS // 2)] * MOST_PATHS
    assert not deploys(patterns, *paths)


def test_a_push_of_more_text_than_is_compared() -> None:
    """It counts as one that touches the paths, as does one of which not all is known."""
    assert deploys(["src/**"], "docs/" + "a" * MOST_TEXT)


def test_a_tool_policy_and_a_name_of_many_letters() -> None:
    pattern = ("*a" * (tool_patterns.LONGEST // 2))[: tool_patterns.LONGEST - 1] + "b"
    assert not tool_patterns.permit("a" * tool_patterns.LONGEST_NAME, [pattern] * tool_patterns.MOST, [])
    assert not tool_patterns.permit("a" * 4_000_000, ["*"], [])


@pytest.mark.parametrize("filling", [" ", ",", "a", "0", "[", "<", "\n", "a.", "a:", "/", "\t", "--mount="])
def test_a_text_from_outside_for_our_own_expressions(filling: str) -> None:
    text = filling * 200_000
    read_challenge(text)
    _next_page(text, "/v2/")
    from_engine(text)
    docker_faults.from_text(text)
    reasons.reason_in(text)
    node_errors.find([text] * 400)
    for dockerfile in (
        text,
        f"FROM {text}",
        f"RUN --mount={text}",
        f"ARG X={text}\nFROM $X",
        f"# syntax={text}",
    ):
        named_images.read(dockerfile, {})
    client_of({"client": text})
    text = text[: MAX_LINE_BYTES - 20]
    for line in (f"#1 {text}", f"#2 [{text}", f"#3 [1/2] {text}", f"#1 {text}"):
        Progress(lambda _line: None).feed(line)


# The same meaning as before


def former_path(pattern: str) -> re.Pattern[str]:
    """What a filter was compiled to before."""
    whole = pattern.removeprefix("/") + ("**" if pattern.endswith("/") else "")
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", whole)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts), re.DOTALL)


@pytest.mark.parametrize("seed", range(4))
def test_filters_mean_what_they_meant(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(1500):
        signs = ["a", "b", "/", "*", "**", "**/", "?", ".", "\n", "é"]
        pattern = "".join(chance.choices(signs, k=chance.randint(0, 7)))
        former, ours = former_path(pattern), globs.of_paths((pattern,))
        for _ in range(5):
            text = "".join(chance.choices("ab/.\né", k=chance.randint(0, 9)))
            assert ours.match(text) == bool(former.fullmatch(text)), (pattern, text)


@pytest.mark.parametrize("seed", range(4))
def test_policies_mean_what_they_meant(seed: int) -> None:
    """But for ranges that are written backwards: Python's made other characters of them."""
    chance = random.Random(seed)
    for _ in range(1500):
        pattern = "".join(chance.choices("ab-[]!*?^\\zé", k=chance.randint(0, 8)))
        if any(one > other for one, other in re.findall(r"(?s)(?=(.)-(.))", pattern)):
            continue
        ours = globs.of_names((pattern,))
        for _ in range(5):
            text = "".join(chance.choices("ab-[]!^\\zqé", k=chance.randint(0, 6)))
            assert ours.match(text) == fnmatch.fnmatchcase(text, pattern), (pattern, text)


def test_a_list_of_patterns_matches_what_one_of_them_does() -> None:
    assert not globs.of_names(()).match("")
    assert globs.of_names(("",)).match("")
    either = globs.of_names(("read_*", "echo", "[!a-y]"))
    assert all(either.match(name) for name in ("read_", "echo", "z"))
    assert not any(either.match(name) for name in ("a", "echo2", "rea", ""))


# No pattern from outside is given to an engine that goes back and forth

FUNCTIONS = {"compile", "match", "search", "sub", "subn", "fullmatch", "split", "findall", "finditer"}
ADDS_NOTHING = {"re.escape", "_nested", "_WORDS.upper"}
# Patterns that are no literals, and why they are ours all the same.
OURS = {
    "mcphost/env.py": "settings' own, written at the setting",
    "registry/engine_errors.py": "joined from the table beside it",
    "registry/errors.py": "joined from the table beside it",
    "hosting/builder/install_errors.py": "the table beside it",
    "redaction/redactor.py": "secrets, escaped",
    "redaction/rules.py": "joined from the table beside it",
    "hosting/runtimes/docker_faults.py": "the table beside it",
    "hosting/runtimes/kube_pods.py": "the tables beside it",
    "hosting/signs.py": "the tables of `Sign`s",
    "hosting/sources/git_errors.py": "the table beside it, and the shared one",
    "hosting/sources/package.py": "the shared table's, and its own",
    "registry/reasons.py": "the table beside it",
}
LOOKUPS = re.compile(r"__i?regex\b")


def is_fixed(node: ast.expr) -> bool:
    """A literal, or put together of literals and constants of the module."""
    if isinstance(node, ast.JoinedStr):
        return all(is_fixed(each) for each in node.values)
    if isinstance(node, ast.FormattedValue):
        return is_fixed(node.value)
    if isinstance(node, ast.BinOp):
        return is_fixed(node.left) and is_fixed(node.right)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ADDS_NOTHING and all(map(is_fixed, node.args))
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return isinstance(node, ast.Constant) or (bool(name) and name.isupper())


def made_of_others(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            if isinstance(node, ast.ImportFrom) and node.module == "re":
                yield ast.unparse(node)
            yield from (name for name in names if name in ("fnmatch", "sre_compile", "regex"))
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            takes = called.startswith("re.") and called[3:] in FUNCTIONS
            if (takes or called.endswith("RegexValidator")) and node.args and not is_fixed(node.args[0]):
                yield ast.unparse(node)
        elif isinstance(node, ast.keyword) and node.arg and LOOKUPS.search(node.arg):
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and LOOKUPS.search(node.value):
            yield node.value


def test_no_expression_is_made_of_what_somebody_typed() -> None:
    found = {name: told for name, tree in rooms.sources() if (told := list(made_of_others(tree)))}
    assert found.keys() - OURS.keys() == set(), found
    assert OURS.keys() - found.keys() == set()


def test_a_pattern_of_a_hosted_server_is_tried_by_a_browser_only_where_it_cannot_keep_it_long() -> None:
    scripts = {path.name: path.read_text() for path in (rooms.ROOT / "static/mcphost").glob("*.js")}
    made = {name: len(re.findall(r"new RegExp|\bRegExp\(", text)) for name, text in scripts.items()}
    assert {name: count for name, count in made.items() if count} == {"schema_form.js": 1}
    before, _, _ = scripts["schema_form.js"].partition("new RegExp")
    assert "if (!isQuick(pattern)" in before.rpartition("function fits")[2]
