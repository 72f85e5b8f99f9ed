"""Turns a failed installation into an error that names the cause."""

from __future__ import annotations

import re

from hosting import tooling
from hosting.builder import node_errors, python_errors
from hosting.builder.context import no_space
from hosting.errors import BuildError
from registry.reasons import reason_in

SHOWN_LINES = 12
HINTS = (
    (r"No interpreter found", "Install that version of Python, or relax requires-python."),
    (r"(?i)certificate", "Behind a proxy with its own CA, set the CA bundle for builds."),
    (
        r"ENOTFOUND|dns error|ECONNREFUSED|error sending",
        "The package index cannot be reached: check the network, the proxy and the index URL.",
    ),
)


def translate(outcome: tooling.Outcome, name: str) -> BuildError:
    """The error for a failed command. `name` is its short form for users: `uv pip`, `npm run build`."""
    if outcome.out_of_space:
        return no_space()
    if name.startswith("uv") and (cause := python_errors.find(outcome.lines)):
        return BuildError(cause.says, hint=cause.hint, reason=cause.reason, details=_kept(outcome))
    if not name.startswith("uv") and (found := node_errors.find(outcome.lines)):
        ended = f"{name} ended with exit code {outcome.code}."
        return BuildError(f"{found.says}\n{ended}", hint=found.hint, details=_kept(outcome))
    shown = python_errors.without_usage(outcome.lines)[-SHOWN_LINES:]
    return BuildError(
        f"{name} ended with exit code {outcome.code}.\n" + "\n".join(shown),
        reason=reason_in(outcome.text),
        hint=next((hint for pattern, hint in HINTS if re.search(pattern, outcome.text)), ""),
        details=_kept(outcome),
    )


def _kept(outcome: tooling.Outcome) -> dict[str, list[str]]:
    return {"lines": list(outcome.lines[-tooling.KEPT_LINES :])}
