# ruff: noqa: E501  (texts stay as they are pasted)
"""Texts as READMEs have them, and what each of them says."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from servers.paste import Candidate, read

GHP = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
SK = "sk-" + "proj-9aK3lm2Qx8Zr5Tw1Vb7Nc4"


def npm(name: str, version: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "package", "source": {"ecosystem": "npm", "name": name, "version": version, **more}}


def pypi(name: str, version: str = "", **more: Any) -> dict[str, Any]:
    return {"kind": "package", "source": {"ecosystem": "pypi", "name": name, "version": version, **more}}


def git(url: str, ref: str = "", subdirectory: str = "") -> dict[str, Any]:
    return {"kind": "git", "source": {"url": url, "ref": ref, "subdirectory": subdirectory}}


def image(reference: str, *arguments: str, **more: Any) -> dict[str, Any]:
    listed = {"arguments": list(arguments)} if arguments else {}
    return {"kind": "image", "source": {"reference": reference, **listed}, **more}


def block(entry: dict[str, Any], key: str = "mcpServers", name: str = "it") -> str:
    return json.dumps({key: {name: entry}}, indent=2)


def link(entry: dict[str, Any]) -> str:
    return quote(base64.b64encode(json.dumps(entry).encode()).decode())


NPX = {"command": "npx", "args": ["-y", "@acme/weather-mcp"]}
WEATHER = npm("@acme/weather-mcp")
EVERYTHING = npm("@modelcontextprotocol/server-everything")
DIGEST = "sha256:" + "0" * 64
TOML = (
    '[mcp_servers.context7]\ncommand = "npx"\nargs = ["-y", "@acme/weather-mcp"]\nenv = { LEVEL = "debug" }\n'
)
GOOSE = """extensions:
  time:
    name: time
    type: stdio
    enabled: true
    cmd: uvx
    args:
      - mcp-server-time
    env_keys: [TIME_KEY]
"""
CONTINUE = (
    "mcpServers:\n  - name: Files\n    command: npx\n    args:\n      - '-y'\n      - '@acme/weather-mcp'\n"
)
ONE: list[tuple[str, dict[str, Any]]] = [
    # npx and its kin
    ("npx -y @modelcontextprotocol/server-everything", EVERYTHING),
    ("$ npx -y @modelcontextprotocol/server-everything", EVERYTHING),
    ("`npx -y @modelcontextprotocol/server-everything`", EVERYTHING),
    ("1. npx --yes @modelcontextprotocol/server-everything@latest", EVERYTHING),
    ("npx -y @acme/w@1.2.3 --flag 'two words'", npm("@acme/w", "1.2.3", arguments=["--flag", "two words"])),
    ("npx @acme/w@next", npm("@acme/w", "next")),
    ("npx -y @acme/w@^1.2", npm("@acme/w")),
    ("npx -y -p @acme/w w-server --stdio", npm("@acme/w", command="w-server", arguments=["--stdio"])),
    ("npx --package=@acme/w -c 'w-server --stdio'", npm("@acme/w", command="w-server", arguments=["--stdio"])),
    ("npm exec --yes -- @acme/weather-mcp", WEATHER),
    ("npm exec @acme/weather-mcp", WEATHER),
    ("bunx @acme/weather-mcp", WEATHER),
    ("bunx --bun @acme/weather-mcp", WEATHER),
    ("bun x @acme/weather-mcp", WEATHER),
    ("pnpm dlx @acme/weather-mcp", WEATHER),
    ("yarn dlx @acme/weather-mcp", WEATHER),
    ("npx -y github:acme/weather#v2", git("https://github.com/acme/weather", "v2")),
    ("npx -y acme/weather", git("https://github.com/acme/weather")),
    ("npx -y git+https://github.com/acme/weather.git", git("https://github.com/acme/weather.git")),
    ("cmd /c npx -y @acme/weather-mcp", WEATHER),
    ("C:\\Users\\me> npx.cmd -y @acme/weather-mcp", WEATHER),
    ('powershell -Command "npx -y @acme/weather-mcp"', WEATHER),
    ('bash -c "export A=b && npx -y @acme/weather-mcp"', WEATHER),
    ("sudo npx -y @acme/weather-mcp", WEATHER),
    ("/opt/homebrew/bin/npx -y @acme/weather-mcp", WEATHER),
    ("npx -y \\\n  @acme/weather-mcp \\\n  --port=1", npm("@acme/weather-mcp", arguments=["--port=1"])),
    ("npx -y `\n  @acme/weather-mcp", WEATHER),
    ("npx -y “@acme/weather-mcp” —verbose", npm("@acme/weather-mcp", arguments=["--verbose"])),
    ("npx -y @acme/weather-mcp  # starts it", WEATHER),
    ("npm install -g @acme/weather-mcp", WEATHER),
    ("npx -y supergateway --stdio 'npx -y @acme/weather-mcp'", WEATHER),
    ("npx @modelcontextprotocol/inspector npx -y @acme/weather-mcp", WEATHER),
    # uvx and its kin
    ("uvx mcp-server-time", pypi("mcp-server-time")),
    ("uvx mcp-server-time@1.2", pypi("mcp-server-time", "1.2")),
    ("uvx mcp-server-time@latest", pypi("mcp-server-time")),
    ("uvx mcp-server-time==1.2 --tz UTC", pypi("mcp-server-time", "1.2", arguments=["--tz", "UTC"])),
    ("uvx 'kit[cli]@1.2'", {**pypi("kit", "1.2"), "build": {"extras": ["cli"]}}),
    ("uvx --with 'mcp<2' kit-mcp", {**pypi("kit-mcp"), "build": {"with": ["mcp<2"]}}),
    ("uvx --with mcp<2 --python 3.12 kit-mcp", {**pypi("kit-mcp"), "build": {"with": ["mcp<2"], "python": "3.12"}}),
    ("uvx kit-mcp@1.2 --with 'mcp<2'", {**pypi("kit-mcp", "1.2"), "build": {"with": ["mcp<2"]}}),
    ("uvx --from kit-mcp==1.2 kit serve", pypi("kit-mcp", "1.2", command="kit", arguments=["serve"])),
    ("uvx --from kit-mcp kit-mcp", pypi("kit-mcp")),
    ("uv tool run kit-mcp", pypi("kit-mcp")),
    ("pipx run kit-mcp==1.0", pypi("kit-mcp", "1.0")),
    ("pipx run --spec kit-mcp kit", pypi("kit-mcp", command="kit")),
    ("uv run --with kit-mcp kit-mcp --x", pypi("kit-mcp", arguments=["--x"])),
    ("python -m kit_mcp --x", pypi("kit-mcp", command="python -m kit_mcp", arguments=["--x"])),
    ("python3.12 -m kit_mcp", {**pypi("kit-mcp", command="python -m kit_mcp"), "build": {"python": "3.12"}}),
    ("pip install kit-mcp && kit-mcp --x", pypi("kit-mcp", arguments=["--x"])),
    ("pip install 'kit==2'\npython -m kit.server", pypi("kit", "2", command="python -m kit.server")),
    ("pip install kit-mcp", pypi("kit-mcp")),
    (
        "uvx --from git+https://github.com/acme/kit@v1#subdirectory=packages/x kit serve",
        {**git("https://github.com/acme/kit", "v1", "packages/x"), "command": ("kit", "serve")},
    ),
    ("uvx git+ssh://git@git.example.org/acme/kit.git", git("ssh://git@git.example.org/acme/kit.git")),
    # Docker
    ("docker run -i --rm acme/kit", image("acme/kit", transport="stdio")),
    ("docker run -i --rm ghcr.io/acme/kit:1 --x", image("ghcr.io/acme/kit:1", "--x", transport="stdio")),
    ("podman run --rm -i quay.io/a/b@" + DIGEST, image("quay.io/a/b@" + DIGEST, transport="stdio")),
    ("docker run -d -p 8080:3000 acme/kit", image("acme/kit", transport="streamable-http", port=3000)),
    ("docker run -itp 127.0.0.1:80:80 acme/kit", image("acme/kit", transport="streamable-http", port=80)),
    ("docker run -i -eA=b --env C=d acme/kit", image("acme/kit", environment={"A": "b", "C": "d"})),
    ("docker run -i --entrypoint kit acme/kit serve", image("acme/kit", command=("kit", "serve"))),
    ("docker pull acme/kit:2", image("acme/kit:2")),
    # Addresses
    ("https://github.com/acme/kit", git("https://github.com/acme/kit")),
    ("https://github.com/acme/kit.git", git("https://github.com/acme/kit.git")),
    ("github.com/acme/kit", git("https://github.com/acme/kit")),
    ("https://github.com/acme/kit/tree/main/packages/x", git("https://github.com/acme/kit", "main", "packages/x")),
    ("https://github.com/acme/kit/blob/main/src/x/README.md", git("https://github.com/acme/kit", "main", "src/x")),
    ("https://github.com/acme/kit/tree/v1.2#readme", git("https://github.com/acme/kit", "v1.2")),
    ("https://github.com/acme/kit/releases/tag/v3", git("https://github.com/acme/kit", "v3")),
    ("https://github.com/acme/kit/issues/7", git("https://github.com/acme/kit")),
    ("https://gitlab.com/g/sub/kit/-/tree/main/a/b", git("https://gitlab.com/g/sub/kit", "main", "a/b")),
    ("https://codeberg.org/acme/kit/src/branch/main/x", git("https://codeberg.org/acme/kit", "main", "x")),
    ("https://git.example.org/a/kit/src/tag/v1/x", git("https://git.example.org/a/kit", "v1", "x")),
    ("https://bitbucket.org/a/kit/src/main/x/", git("https://bitbucket.org/a/kit", "main", "x")),
    ("https://git.example.org/a/kit.git?path=x/y&ref=dev", git("https://git.example.org/a/kit.git", "dev", "x/y")),
    ("git@github.com:acme/kit.git", git("git@github.com:acme/kit.git")),
    ("git clone -b dev https://github.com/acme/kit && cd kit", git("https://github.com/acme/kit", "dev")),
    ("https://pypi.org/project/kit-mcp/", pypi("kit-mcp")),
    ("https://pypi.org/project/kit-mcp/1.2.0/", pypi("kit-mcp", "1.2.0")),
    ("https://www.npmjs.com/package/@acme/weather-mcp", WEATHER),
    ("https://www.npmjs.com/package/kit/v/1.0.0", npm("kit", "1.0.0")),
    ("https://hub.docker.com/r/acme/kit", image("acme/kit")),
    ("https://hub.docker.com/mcp/server/time/overview", image("mcp/time")),
    ("https://github.com/acme/kit/pkgs/container/kit", image("ghcr.io/acme/kit")),
    ("ghcr.io/acme/kit:latest", image("ghcr.io/acme/kit:latest")),
    ("docker.io/mcp/time", image("docker.io/mcp/time")),
    ("docker://acme/kit:1", image("acme/kit:1")),
    ("@acme/weather-mcp", WEATHER),
    ("kit-mcp==1.2", pypi("kit-mcp", "1.2")),
    ("io.github.acme/kit@1.2.0", {"kind": "document", "source": {"name": "io.github.acme/kit", "version": "1.2.0"}}),
    (
        "https://registry.modelcontextprotocol.io/v0.1/servers/io.github.acme%2Fkit/versions/latest",
        {"kind": "document", "source": {"name": "io.github.acme/kit", "version": "latest"}},
    ),
    (
        "https://github.com/acme/kit/blob/main/server.json",
        {"kind": "document", "source": {"url": "https://github.com/acme/kit/raw/main/server.json"}},
    ),
    # Blocks
    (block(NPX), WEATHER),
    (block(NPX, "servers"), WEATHER),
    (json.dumps({"mcp": {"servers": {"it": {"type": "stdio", **NPX}}}}), WEATHER),
    (json.dumps({"mcp.servers": {"it": NPX}}), WEATHER),
    (json.dumps({"mcp": {"it": {"type": "local", "command": ["npx", "-y", "@acme/weather-mcp"]}}}), WEATHER),
    (block({"command": {"path": "npx", "args": ["-y", "@acme/weather-mcp"]}}, "context_servers"), WEATHER),
    (json.dumps(NPX), WEATHER),
    (json.dumps({"weather": NPX}), WEATHER),
    ('"weather": ' + json.dumps(NPX), WEATHER),
    (block({"command": "npx -y @acme/weather-mcp"}), WEATHER),
    (block({"command": "cmd", "args": ["/c", "npx", "-y", "@acme/weather-mcp"]}), WEATHER),
    ('{"mcpServers": {"a": {"command": "npx", // here\n "args": ["-y", "@acme/weather-mcp",],},},}', WEATHER),
    ('{"mcpServers": { ..., "a": {"command": "npx", /* x */ "args": ["-y", "@acme/weather-mcp"]}}}', WEATHER),
    ('{"mcpServers": {"a": {"command": "npx", "args": ["-y", "@acme/weather-mcp"', WEATHER),
    ("{“mcpServers”: {“a”: {“command”: “npx”, “args”: [“-y”, “@acme/weather-mcp”]}}}", WEATHER),
    ("Add this to your settings:\n\n" + block(NPX) + "\n\nThen restart it, and don't forget to smile.", WEATHER),
    ("Text.\n```json\n" + block(NPX) + "\n```\nMore text.", WEATHER),
    (TOML, {**WEATHER, "environment": {"LEVEL": "debug"}}),
    ("Put this in config.toml:\n\n" + TOML, WEATHER),
    (GOOSE, pypi("mcp-server-time")),
    (CONTINUE, WEATHER),
    # Lines and links for clients
    ("claude mcp add weather -- npx -y @acme/weather-mcp", WEATHER),
    ("claude mcp add weather npx -- -y @acme/weather-mcp", WEATHER),
    ("claude mcp add --transport stdio --scope user weather -e A=b -- npx -y @acme/weather-mcp", WEATHER),
    ("claude mcp add weather --env A=b C=d -- npx -y @acme/weather-mcp", {**WEATHER, "environment": {"A": "b", "C": "d"}}),
    ("claude mcp add-json weather '" + json.dumps(NPX) + "'", WEATHER),
    ("claude mcp add-json weather '" + json.dumps(NPX, indent=2) + "' -s user", WEATHER),
    ("codex mcp add weather --env A=b -- npx -y @acme/weather-mcp", WEATHER),
    ("gemini mcp add -s user -e A=b weather npx -y @acme/weather-mcp", WEATHER),
    ('droid mcp add weather "npx -y @acme/weather-mcp"', WEATHER),
    ("code --add-mcp '" + json.dumps({"name": "weather", **NPX}) + "'", WEATHER),
    ("cursor://anysphere.cursor-deeplink/mcp/install?name=weather&config=" + link(NPX), WEATHER),
    ("https://cursor.com/en/install-mcp?name=weather&config=" + link({"command": "npx -y @acme/weather-mcp"}), WEATHER),
    ("vscode:mcp/install?" + quote(json.dumps({"name": "weather", **NPX})), WEATHER),
    (
        "[![Install](https://img.example.org/b)](https://insiders.vscode.dev/redirect/mcp/install?name=weather&config="
        + quote(json.dumps(NPX)) + "&quality=insiders)",
        WEATHER,
    ),
    ("goose://extension?cmd=npx&arg=-y&arg=%40acme%2Fweather-mcp&id=weather&name=Weather", WEATHER),
]  # fmt: skip


def one(text: str) -> Candidate:
    reading = read(text)
    candidate = reading.picked()
    assert candidate is not None, (reading.notes, [each.name for each in reading.candidates])
    return candidate


@pytest.mark.parametrize(("text", "wanted"), ONE, ids=[text[:60] for text, _ in ONE])
def test_one_server(text: str, wanted: dict[str, Any]) -> None:
    found = one(text)
    assert found.hostable, found.why_not
    assert {key: getattr(found, key) for key in wanted} == wanted


CANNOT = [
    ("node /Users/me/kit/build/index.js", "file of your machine"),
    ("python server.py", "file of your machine"),
    ("uv --directory /Users/me/kit run server.py", "file of your machine"),
    (block({"command": "uv", "args": ["--directory", "/path/to", "run", "x"]}), "file of your machine"),
    (block({"command": "/usr/local/bin/kit"}), "file of your machine"),
    (block({"command": "kit-mcp"}), "how it is installed is not told"),
    (block({"url": "https://mcp.example.org/mcp"}), "Its publisher runs it at mcp.example.org"),
    (block({"type": "sse", "url": "http://localhost:8080/sse"}), "localhost is your own machine"),
    ("claude mcp add --transport http sentry https://mcp.example.org/mcp", "Its publisher runs it"),
    ("npx -y mcp-remote https://mcp.example.org/sse", "Its publisher runs it"),
    ("https://mcp.example.org/mcp", "Its publisher runs it"),
    ("http://localhost:3000/mcp", "localhost is your own machine"),
    ("npx -y ./kit", "file of your machine"),
    ("npx -y @smithery/cli install x --client claude", "sets a client up"),
    ("npx -y 'Not A Name'", "is not the name of a package"),
    ("uvx https://example.org/kit-1.0-py3-none-any.whl", "file's address"),
    ("docker run -i 'Bad Reference'", "no reference of an image"),
    ("docker exec -i kit server", "already runs on your machine"),
    ("docker mcp gateway run", "Docker's own gateway"),
    ("uvx kit-mcp --transport sse", "the old transport"),
    ("https://smithery.ai/server/@acme/kit", "a page of a directory"),
    ("uvx", "No package stands after it"),
    ("npx -y", "No package stands after it"),
    ("docker run -i --rm", "No image stands after it"),
]


@pytest.mark.parametrize(("text", "reason"), CANNOT, ids=[text[:60] for text, _ in CANNOT])
def test_what_cannot_be_hosted_says_why(text: str, reason: str) -> None:
    found = one(text)
    assert reason in found.why_not
    assert not found.source


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "Just prose, don't you think?", SK, "{}", "[]", "null", "https://", "# Title\n\nHello."],
)
def test_a_text_that_says_nothing_of_a_server(text: str) -> None:
    reading = read(text)
    assert reading.candidates == ()
    assert len(reading.notes) == 1
    assert SK not in reading.notes[0]


ASKED = [
    "<YOUR_API_KEY>", "YOUR_TOKEN_HERE", "your-api-key", "sk-...", "sk-xxxxxxxxxxxx", "${env:SOME_KEY}", "${SOME_KEY}",
    "$SOME_KEY", "%SOME_KEY%", "", "{{SOME_KEY}}", "xxx", "changeme", "<paste it>", "[your key]", "abc123", "…",
    "ghp_your_token_here", "$(pass show key)", "insert_here", "my-secret-token", "12345678",
]  # fmt: skip


@pytest.mark.parametrize("value", ASKED)
def test_a_placeholder_is_asked_for(value: str) -> None:
    found = one(block({**NPX, "env": {"SOME_API_KEY": value, "LEVEL": "info"}}))
    assert [(each.name, each.secret) for each in found.asked] == [("SOME_API_KEY", True)]
    assert found.environment == {"LEVEL": "info"}


SECRETS = [
    ("GITHUB_TOKEN", GHP),
    ("OPENAI_API_KEY", SK),
    ("LEVEL", GHP),
    ("DATABASE_URL", "postgres://me:N0tASample@db.example.org/x"),
    ("apiKey", "9f8e7d6c5b4a3f2e"),
    ("X_AUTH", "Bearer abcdefghij1234567890"),
    ("SLACK_WEBHOOK_URL", "https://hooks.example.org/T0/B0/aZ9bY8cX7"),
    ("ANYTHING", "a8Kd93Jf02Lq84Zm57Xn16Vb39Tc"),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_real_secret_is_sealed_and_never_shown(name: str, value: str) -> None:
    texts = [
        block({**NPX, "env": {name: value}}),
        f"{name}='{value}' npx -y @acme/weather-mcp",
        f"export {name}='{value}'\nnpx -y @acme/weather-mcp",
        f"claude mcp add w -e {name}='{value}' -- npx -y @acme/weather-mcp",
        f"docker run -i -e {name}='{value}' acme/kit",
    ]
    for text in texts:
        found = one(text)
        assert found.sealed == {name: value}
        assert value not in repr(found)
        assert value not in str((found.fields(), found.read, found.unknown, found.gaps, found.asked))


@pytest.mark.parametrize(
    ("name", "value"),
    [("LOG_LEVEL", "debug"), ("AUTH_MODE", "none"), ("MAX_TOKENS", "4096"), ("TOKEN_URL", "https://a.example.org/t"),
     ("REGION", "eu-west-1"), ("NODE_ENV", "production"), ("ENABLED", "true"), ("PROMPT", "Answer in your language. " * 9)],
)  # fmt: skip
def test_what_is_no_secret_is_kept_as_it_is(name: str, value: str) -> None:
    found = one(block({**NPX, "env": {name: value}}))
    assert (found.environment, found.sealed, found.asked) == ({name: value}, {}, ())


@pytest.mark.parametrize(
    "words",
    [["--api-key", SK], [f"--api-key={SK}"], ["--token", GHP], [GHP], ["postgres://me:N0tASample@db.example.org/x"],
     ["--header", f"Authorization: Bearer {GHP}"], [f"token={GHP}"]],
)  # fmt: skip
def test_a_secret_among_the_arguments_is_left_out_and_told(words: list[str]) -> None:
    found = one(block({**NPX, "args": [*NPX["args"], *words, "--plain"]}))
    assert found.source["arguments"] == ["--plain"]
    assert "secret on the command line" in " ".join(found.unknown)
    assert GHP not in repr(found)
    assert SK not in repr(found)
    assert "N0tASample" not in repr(found)


def test_a_placeholder_for_a_secret_among_the_arguments_is_asked_for_as_a_variable() -> None:
    found = one("npx -y @acme/weather-mcp --token ${WEATHER_TOKEN} --place <PLACE>")
    assert [each.name for each in found.asked] == ["WEATHER_TOKEN"]
    assert found.source["arguments"] == ["--place", "<PLACE>"]
    assert found.gaps == ("<PLACE>",)


def test_prompts_of_vs_code_are_asked_for_with_their_words() -> None:
    inputs = [
        {"type": "promptString", "id": "key", "description": "Key of the API", "password": True},
        {"type": "promptString", "id": "place", "description": "Where"},
    ]
    entry = {**NPX, "env": {"WEATHER_KEY": "${input:key}", "PLACE": "${input:place}"}}
    found = one(json.dumps({"inputs": inputs, "servers": {"weather": entry}}))
    told = [(each.name, each.secret, each.description) for each in found.asked]
    assert told == [("WEATHER_KEY", True, "Key of the API"), ("PLACE", False, "Where")]


UNKNOWN = [
    ("docker run -i -v /home/me:/data acme/kit", "-v /home/me:/data: a folder of your machine is not mounted here."),
    ("docker run -i --network host acme/kit", "--network is left out: the platform decides the network."),
    ("docker run -i --env-file .env acme/kit", "--env-file names a file of your machine: give its variables here."),
    ("docker run -i --privileged acme/kit", "--privileged is left out: the platform decides the rights of a container."),
    ("docker run -i --memory 1g acme/kit", "--memory is left out: set the limits of the server instead."),
    ("docker run -i --frobnicate acme/kit", "--frobnicate is not known here and is left out."),
    ("npx -y kit-mcp /Users/me/files", "/Users/me/files: a path of your machine is not there on this platform."),
    ("API_URL=http://localhost:9000 npx -y kit-mcp",
     "API_URL names the machine that the server runs on: that is not yours here."),
    ("KEY_FILE=~/key.json npx -y kit-mcp", "KEY_FILE names a path of your machine, which is not there on this platform."),
    ("PORT=3000 npx -y kit-mcp", "PORT is set by the platform: it is left out."),
    ("npx -y --registry https://npm.example.org kit-mcp",
     "--registry names another registry: the platform's own is asked."),
    ("npx -y kit-mcp@^1", "“^1” is no single version: the newest is taken."),
    ("uvx --index-url https://i.example.org/simple kit-mcp",
     "--index-url names another package index: the platform's own is asked."),
    (block({**NPX, "cwd": "/x", "frob": 1}), "frob is not known here and is left out."),
    (block({**NPX, "cwd": "/x"}), "cwd is a folder of your machine: it is left out."),
    ("claude mcp add --header 'X-Key: abc' w -- npx -y kit-mcp", "A header is for the client and is left out."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), UNKNOWN, ids=[text[:60] for text, _ in UNKNOWN])
def test_what_is_left_out_is_named(text: str, sentence: str) -> None:
    found = one(text)
    assert found.hostable, found.why_not
    assert sentence in found.unknown


def test_a_login_in_a_url_becomes_the_token() -> None:
    found = one(f"https://me:{GHP}@git.example.org/acme/kit.git")
    assert found.source["url"] == "https://git.example.org/acme/kit.git"
    assert found.token == f"me:{GHP}"
    assert GHP not in repr(found)


def test_several_servers_become_a_list_with_names_of_their_own() -> None:
    reading = read(
        "# Kit\n```bash\npip install kit-mcp\n```\n```json\n" + block(NPX, name="kit") + "\n```\n```json\n"
        + block({"command": "docker", "args": ["run", "-i", "--rm", "-e", "K", "acme/kit"]}, name="kit")
        + "\n```\nand\n```json\n" + block(NPX, name="again") + "\n```\n"
        + "```json\n" + block({"url": "https://mcp.example.org/mcp"}, name="remote") + "\n```"
    )  # fmt: skip
    assert [(each.name, each.kind) for each in reading.candidates] == [
        ("kit", "package"), ("kit-2", "image"), ("remote", ""),
    ]  # fmt: skip
    assert reading.picked() is None
    picked = reading.picked("kit-2")
    assert picked is not None
    assert picked.source == {"reference": "acme/kit"}
    assert reading.picked("nothing") is None


def test_a_bare_name_may_be_of_either_index() -> None:
    assert [each.name for each in read("mcp-server-time").candidates] == [
        "mcp-server-time (PyPI)",
        "mcp-server-time (npm)",
    ]


def test_a_block_names_the_variable_and_docker_passes_it_on() -> None:
    words = ["run", "-i", "--rm", "-e", "GITHUB_TOKEN", "acme/kit"]
    found = one(block({"command": "docker", "args": words, "env": {"GITHUB_TOKEN": GHP}}))
    assert (found.sealed, found.asked) == ({"GITHUB_TOKEN": GHP}, ())


def test_a_server_json_is_kept_for_the_catalog() -> None:
    document = {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "io.github.acme/kit", "description": "Kit", "version": "1.0.0",
    }  # fmt: skip
    for text in (json.dumps(document), "```json\n" + json.dumps({"server": document, "_meta": {}}) + "\n```"):
        found = one(text)
        assert (found.kind, found.name) == ("document", "kit")
        held = found.source["document"]
        assert held.get("server", held) == document
