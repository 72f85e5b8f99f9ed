"""What an installation that failed means, in words that name the cause."""

from __future__ import annotations

import re

from servers.builder import node_errors, tooling
from servers.builder.context import no_space
from servers.errors import BuildError

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
    """`name` is what was run, as a person would say it: `uv pip`, `npm run build`."""
    if outcome.out_of_space:
        return no_space()
    if not name.startswith("uv") and (found := node_errors.find(outcome.lines)):
        return BuildError(
            f"{found[0]}\n{name} ended with exit code {outcome.code}.",
            hint=found[1],
            details={"lines": list(outcome.lines[-tooling.KEPT_LINES :])},
        )
    shown = [line for line in outcome.lines if line.strip()][-SHOWN_LINES:]
    return BuildError(
        f"{name} ended with exit code {outcome.code}.\n" + "\n".join(shown),
        hint=next((hint for pattern, hint in HINTS if re.search(pattern, outcome.text)), ""),
        details={"lines": list(outcome.lines[-tooling.KEPT_LINES :])},
    )
