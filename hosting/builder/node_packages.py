"""How Node's package managers are had, and what tells each of them which registry to ask."""

from __future__ import annotations

from hosting.sources.plan import Tool

BERRY = "@yarnpkg/cli-dist"  # Yarn 2 and later
# Variables of those that do not go by npm's own.
REGISTRY = ("YARN_NPM_REGISTRY_SERVER", "BUN_CONFIG_REGISTRY", "pnpm_config_registry")

WITH_SCRIPTS = ("bun",)  # puts its program in place by a script when it is installed


def package_of(tool: Tool) -> str:
    """What brings the tool, with its version, as npm takes it."""
    modern = tool.name == "yarn" and not tool.version.startswith(("0.", "1."))
    return f"{BERRY if modern else tool.name}@{tool.version}"
