"""Lines that published servers wrote before they ended, and what is made of them."""

from __future__ import annotations

import pytest

from hosting.why_ended import why

SENTRY = """
Error: No access token was provided.
Run `sentry-mcp auth login` interactively first, or pass `--access-token` / `SENTRY_ACCESS_TOKEN`.
Usage: @sentry/mcp-server [--access-token=<token>] [--host=<host>] [--insecure-http]
Authentication:
--access-token <token>  Sentry User Auth Token with API access
Optional for sentry.io (device code flow is used if omitted)
Required for self-hosted instances
Environment variables:
SENTRY_ACCESS_TOKEN     Sentry auth token (alternative to --access-token)
OPENAI_API_KEY          OpenAI API key for AI-powered search tools
MCP_DISABLE_SKILLS      Disable specific skills (comma-separated)
Examples:
@sentry/mcp-server --access-token=TOKEN --agent-provider=openrouter
"""
STRIPE = """
/app/node_modules/@stripe/mcp/dist/cli.js:34
throw new Error('Stripe API key not provided. Please set the OTHER_SECRET_KEY environment variable.');
Error: Stripe API key not provided. Please set the STRIPE_SECRET_KEY environment variable.
"""
FIGMA = """
- ENV_FILE: /tmp/n/.env (source: default)
Usage telemetry enabled. Disable: FRAMELINK_TELEMETRY=off or DO_NOT_TRACK=1
[INFO] HTTP server listening on port 3333
[INFO] StreamableHTTP endpoint available at http://127.0.0.1:3333/mcp
"""
MOTHERDUCK = """
Error: In-memory databases require the --read-write flag.
Options:
- Add --read-write to allow writes (data won't persist anyway)
"""
NO_GIT = """
ImportError: Bad git executable.
The git executable must be specified in one of the following ways:
- be included in your $PATH
- be set via $GIT_PYTHON_GIT_EXECUTABLE
All git commands will error until this is rectified.
This initial message can be silenced or aggravated in the future by setting the
$GIT_PYTHON_REFRESH environment variable. Use one of the following values:
Example:
export GIT_PYTHON_REFRESH=quiet
"""


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (SENTRY, "It asks for the variable SENTRY_ACCESS_TOKEN."),
        (STRIPE, "It asks for the variable STRIPE_SECRET_KEY."),
        ("return os.environ['DB_URL']\nKeyError: 'DB_URL'", "It asks for the variable DB_URL."),
        (
            "ValueError: OBSIDIAN_API_KEY environment variable required. Working directory: /app",
            "It asks for the variable OBSIDIAN_API_KEY.",
        ),
        (
            "Error: A Brave API key is required via --brave-api-key, BRAVE_API_KEY, or BRAVE_API_KEY_FILE.",
            "It asks for the variable BRAVE_API_KEY.",
        ),
        (
            "1 validation error for Settings\nqdrant_url\n  Field required [type=missing, input_value={}]",
            "It asks for the setting qdrant_url.",
        ),
        (
            "excel-mcp-server: error: the following arguments are required: transport",
            "It asks for the argument transport.",
        ),
        (
            "error: the following required arguments were not provided:\n<TOKEN>",
            "It asks for the argument <TOKEN>.",
        ),
        (MOTHERDUCK, "It asks for the option --read-write."),
        (NO_GIT, "It needs the program git, which is not there."),
        ("Error: spawn ffmpeg ENOENT", "It needs the program ffmpeg, which is not there."),
        ("Error: Could not find Chrome (ver. 131.0.6778.204).", "It needs a browser, which is not there."),
        (
            "ImportError: libstdc++.so.6: cannot open shared object file: No such file or directory",
            "It needs the library libstdc++.so.6, which is not there.",
        ),
        (
            "ERROR | fastembed - Could not download model from HuggingFace: Name or service not known",
            "It could not download what it needs (model).",
        ),
        ("Error: getaddrinfo ENOTFOUND db.internal", "It could not reach db.internal."),
        (
            'OperationalError: connection to server at "10.0.0.7", port 5432 failed: Connection refused',
            "It could not reach 10.0.0.7.",
        ),
        (FIGMA, "It serves HTTP on port 3333, and is set to speak stdio."),
        ("Error: Cannot find module 'express'", "It misses the module express."),
    ],
)
def test_what_published_servers_ask_for(said: str, found: str) -> None:
    cause = why(said.splitlines(), stdio=True)
    assert cause is not None
    assert cause.says == found


@pytest.mark.parametrize(
    "said",
    [
        "API_BASE_URL is not set, using the default\nSegmentation fault",
        "LOG_LEVEL not set, falling back to INFO",
        'raise ValueError("MY_KEY is required")',
        "Error: ERR_INVALID_ARG_TYPE: must be a string",
        "panic: index out of range",
        "AttributeError: 'NoneType' is not what you think",
        "x" * 100_000 + "ImportError",
        "x" * 100_000 + " MY_KEY is required",
        "",
    ],
)
def test_of_what_tells_nothing_nothing_is_made(said: str) -> None:
    assert why(said.splitlines(), stdio=True) is None


def test_what_serves_http_is_told_so_only_where_stdio_is_set() -> None:
    assert why(FIGMA.splitlines(), stdio=False) is None


def test_the_bridges_own_address_is_not_the_servers() -> None:
    assert why(["bridge: listening on http://127.0.0.1:50059/mcp"], stdio=True) is None
    assert why(["listening on http://127.0.0.1:50059/mcp"], stdio=True)


def test_the_line_that_tells_and_the_newest_of_several() -> None:
    cause = why(["A_KEY is required", "B_KEY is required", "bye"], stdio=True)
    assert cause is not None
    assert (cause.says, cause.line) == ("It asks for the variable B_KEY.", "B_KEY is required")
    assert cause.hint.startswith("Set B_KEY in the server's environment")


def test_what_is_told_over_two_lines_is_shown_by_the_one_that_names_it() -> None:
    cause = why(["qdrant_url", "Field required [type=missing, input_value={}]", "bye"], stdio=True)
    assert cause is not None
    assert (cause.says, cause.line) == ("It asks for the setting qdrant_url.", "qdrant_url")


@pytest.mark.parametrize(
    ("line", "lacking", "bound"),
    [
        (
            "AttributeError: 'Server' object has no attribute 'list_resources'",
            "'Server' object: list_resources",
            "mcp<2",
        ),
        ("AttributeError: module 'mcp.types' has no attribute 'Root'", "module 'mcp.types': Root", "mcp<2"),
        (
            "ImportError: cannot import name 'FastMCP' from 'mcp.server' (/x/mcp.py)",
            "mcp.server: FastMCP",
            "mcp<2",
        ),
        (
            "ImportError: cannot import name 'eval_type_backport' from 'pydantic._internal' (/x.py)",
            "pydantic._internal: eval_type_backport",
            "pydantic<VERSION",
        ),
        (
            "TypeError: FastMCP.__init__() got an unexpected keyword argument 'host'",
            "FastMCP.__init__: host",
            "mcp<2",
        ),
    ],
)
def test_what_another_version_of_a_package_would_have(line: str, lacking: str, bound: str) -> None:
    cause = why(["starting", line], stdio=True)
    assert cause is not None
    assert cause.says == f"It asks for what the installed packages do not have ({lacking})."
    assert f"(with: {bound})" in cause.hint


@pytest.mark.parametrize(("module", "needed"), [("mcp.server.fastmcp", "mcp<2"), ("requests", "requests")])
def test_a_module_that_is_missing_can_be_added(module: str, needed: str) -> None:
    cause = why([f"ModuleNotFoundError: No module named '{module}'"], stdio=True)
    assert cause is not None
    assert cause.says == f"It misses the module {module}."
    assert f"(with: {needed})" in cause.hint


def test_an_export_of_nodes_that_is_not_there() -> None:
    line = "SyntaxError: The requested module 'zod' does not provide an export named 'z4'"
    cause = why([line], stdio=True)
    assert cause is not None
    assert cause.says == "It asks for what the installed packages do not have (zod: z4)."
    assert "package.json" in cause.hint
