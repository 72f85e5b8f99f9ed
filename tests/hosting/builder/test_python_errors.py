"""What installers say, and what of it a person is told."""

from __future__ import annotations

import pytest

from hosting.builder import build_errors, install_errors, python_errors
from hosting.builder.progress import Progress, Vertex
from hosting.tooling import Outcome

CONFLICT = """  × No solution found when resolving dependencies:
  ╰─▶ Because only tiny<=2.0 is available and you require tiny>=9, we can
      conclude that your requirements are unsatisfiable.
"""
MISSING = """  × No solution found when resolving dependencies:
  ╰─▶ Because nowhere was not found in the package registry and you require
      nowhere, we can conclude that your requirements are unsatisfiable.
"""
PYTHON = """  × No solution found when resolving dependencies:
  ╰─▶ Because the current Python version (3.11.2) does not satisfy
      Python>=3.13 and x==1 depends on Python>=3.13, we can conclude that x==1 cannot be used.
"""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            CONFLICT,
            "No versions of the packages fit together. Because only tiny<=2.0 is available and you require",
        ),
        (MISSING, "The package index has no package nowhere."),
        (PYTHON, "A package needs Python >=3.13, and the server is installed with 3.11.2."),
        (
            "Because there is no version of mcp==99 and you require mcp==99, we",
            "The package index has no mcp==99.",
        ),
        (
            "ERROR: No matching distribution found for mcp==99",
            "The package index has no mcp==99 that could be",
        ),
        (
            "error: No interpreter found for Python >=3.12 in managed installations or search path\n"
            "error: Request failed after 3 retries in 4.5s cause: Failed to download `https://h.example/astral-sh/"
            "python-build-standalone/releases/download/20261110/cpython-3.12.9%2B20261110-x86_64.tar.gz`",
            "The source asks for Python 3.12, which the base image does not have, and the download failed.",
        ),
        ("x.c:1:10: fatal error: Python.h: No such file or directory", "the header Python.h is missing"),
        ("error: command 'gcc' failed: No such file or directory", "there is no gcc"),
        ("Error: pg_config executable not found.", "there is no pg_config"),
        (
            "error: cargo, the Rust package manager, is not installed or is not on PATH.",
            "there is no Rust (cargo)",
        ),
        (
            "error: Multiple top-level packages discovered in a flat-layout: ['a', 'b'].",
            "which of several packages",
        ),
        (
            "Hash mismatch for `six==1.16.0`",
            "What the package index gave for six==1.16.0 is not what the lock says.",
        ),
        ("error: Distribution not found at: file:///app/libs/x", "The source has no /app/libs/x"),
        ("ModuleNotFoundError: No module named 'numpy'", "A package's build imports numpy"),
    ],
)
def test_the_cause_is_named(said: str, message: str) -> None:
    lines = tuple(said.splitlines())
    process = install_errors.translate(Outcome(1, lines), "uv pip")
    assert message in process.message

    vertex = Vertex("[build 5/6] RUN /opt/tools/bin/uv pip install -r x", 5)
    vertex.lines.extend(lines)
    vertex.error = "exit code: 1"
    progress = Progress(lambda _: None)
    progress.failed = vertex
    assert build_errors.translate(progress, 1, "linux/amd64").message == process.message


def test_what_a_tool_says_of_its_own_use_is_not_told() -> None:
    lines = (
        "error: unexpected argument '--x' found",
        "",
        "Usage: uv pip install [OPTIONS]",
        "For more, try --help",
    )
    told = install_errors.translate(Outcome(2, lines), "uv pip").message
    assert told == "uv pip ended with exit code 2.\nerror: unexpected argument '--x' found"


def test_nothing_is_made_of_other_words() -> None:
    assert python_errors.find(["Resolved 3 packages", "all is well"]) is None
    assert python_errors.find(["a" * 200_000 + " fatal error: " * 2_000]) is None
