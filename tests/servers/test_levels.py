from __future__ import annotations

import pytest

from servers import levels


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("INFO: ready", "info"),
        ("2026-11-22 10:00:00,123 - app - WARNING - slow", "warning"),
        ("2026-11-22T10:00:00Z error it broke", "error"),
        ("[error] it broke", "error"),
        ("time=10:00 level=debug msg=x", "debug"),
        ('{"level":"fatal","msg":"x"}', "error"),
        ('{"level":40,"msg":"x"}', "warning"),
        ('{"severity": "NOTICE"}', "info"),
        ("npm warn deprecated x@1", "warning"),
        ("npm ERR! code E404", "error"),
        ("Traceback (most recent call last):", "error"),
        ("ModuleNotFoundError: No module named 'x'", "error"),
        ("/x.py:1: DeprecationWarning: y", "warning"),
        ("E: unable", ""),
        ("Error: cannot find module", "error"),
        ("0 errors, 0 warnings", ""),
        ("Found the error_handler", ""),
        ("Info about errors can be found here", ""),
        ("Listening on 8000", ""),
        ("level=²", ""),
        ("ınfo: x", ""),
        ("verboſe: x", ""),
        ("", ""),
        ("x" * 300 + " ERROR", ""),
    ],
)
def test_the_level_that_a_line_claims(text: str, level: str) -> None:
    assert levels.level_of(text) == level


def test_a_level_and_those_above() -> None:
    assert levels.at_least("warning") == ("warning", "error")
    with pytest.raises(ValueError):
        levels.at_least("loud")
