"""Every file and every name of our code that the documents mention exists."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, code, rows, sections, text_of
from tests.rooms import ROOMS, ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
# Files of the projects that people push, and of other programs.
OTHERS = {"main.py", "app.py", "start.py", "bot.py", "hello.py", "server.py", "index.js", "setup.py",
          "Alpine.js", "Chart.js", "services/webhook/deliver.go"}  # fmt: skip
BESIDE = ("benchmarks", "deploy", "docs", "examples", "static", "templates", "tests")
FILE = re.compile(r"(?<![\w./<-])[\w-]+(?:/[\w.-]+)*\.(?:py|js|mjs|css|html|go)\b")
SPAN = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
DIRECTORY = re.compile(r"[\w-]+(?:/[\w-]+)*/")
DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?:\(.*\))?")
PLACE = re.compile(r"[\w/]+(?:/|\.(?:py|json|js|mjs))")
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@cache
def files() -> frozenset[str]:
    directories = (*ROOMS, *BESIDE)
    paths = [*ROOT.glob("*.*"), *(path for name in directories for path in (ROOT / name).rglob("*.*"))]
    return frozenset(path.relative_to(ROOT).as_posix() for path in paths)


@cache
def names() -> frozenset[str]:
    """Every word of our Python and of the Helm chart: modules, and whatever they define or use."""
    texts = [path for path in files() if path.endswith((".py", "values.yaml"))]
    words = {word for path in texts for word in re.findall(r"[A-Za-z_]\w*", (ROOT / path).read_text())}
    return frozenset(words | {Path(path).stem for path in texts} | set(ROOMS))


def is_there(file: str) -> bool:
    """`gateway/era.py` is a path from the top, or the end of one; `era.py` is the name of a file."""
    return file in OTHERS or any(f"/{path}".endswith(f"/{file}") for path in files())


@each_document
def test_its_files_exist(document: Path) -> None:
    missing = {file for file in FILE.findall(document.read_text()) if not is_there(file)}
    assert not missing


@each_document
def test_its_directories_and_names_exist(document: Path) -> None:
    for span in SPAN.findall(BLOCK.sub("", document.read_text())):
        if DIRECTORY.fullmatch(span) and span.partition("/")[0] in (*ROOMS, *BESIDE):
            assert (ROOT / span).is_dir(), span
        if (found := DOTTED.fullmatch(span)) and found[1].partition(".")[0] in ROOMS:
            assert not set(found[1].split(".")) - names(), span


@each_document
def test_its_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_places_of_the_rooms_exist() -> None:
    """In “Where does it live?” a bare name is a file beside the one before it."""
    table = sections(text_of("design/rooms.md"))["Where does it live?"]
    for question, place in rows(table):
        directory = ROOT
        for span in filter(PLACE.fullmatch, code(place)):
            path = ROOT / span if "/" in span else directory / span
            assert path.exists(), (question, span)
            directory = path.parent


def test_what_is_gone_is_found() -> None:
    assert is_there("mcphost/settings.py")
    assert not is_there("mcphost/wiring.py")
    assert FILE.findall("`servers/x.py`, `y.py`: [z](../deploy/a.yaml)") == ["servers/x.py", "y.py"]
