"""Who may call: one file per provider, each with a `label` and a function `verified`."""

from __future__ import annotations

from hooks.providers import generic, gitea, github, gitlab
from hooks.providers.base import Provider

PROVIDERS: dict[str, Provider] = {
    "github": github,
    "gitlab": gitlab,
    "gitea": gitea,
    "generic": generic,
}
