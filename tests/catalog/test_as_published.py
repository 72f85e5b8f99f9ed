"""Documents as publishers write them: hosted, or refused with the one reason that matters.

Each shape was seen in a public server.json, in the registry's own seed data or in reports of its users; the
names are made up.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from catalog import document, packages, plan
from catalog.packages import Option
from catalog.plan import Plan
from hosting.errors import Invalid
from tests.catalog import documents

BOTH = ("process", "docker")
DIGEST = "sha256:" + "1" * 64
NPM = {"registryType": "npm", "identifier": "notes-mcp", "version": "1.0.0", "transport": {"type": "stdio"}}
PYPI = {**NPM, "registryType": "pypi"}
IMAGE = {"registryType": "oci", "identifier": "docker.io/acme/notes:1", "transport": {"type": "stdio"}}


def read(*given: Any, **more: Any) -> list[Option]:
    text = json.dumps({**documents.document(), "packages": list(given), **more})
    return packages.options(document.parse(text), BOTH)


def option(package: Any) -> Option:
    return read(package)[0]


def made(package: Any, **answers: Any) -> Plan:
    found = option(package)
    assert found.hostable, found.why_not
    text = json.dumps(documents.document(package))
    return plan.make(document.parse(text), found, answers, runtime="docker")


def positional(*values: str, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "positional", "value": value, **more} for value in values]


def named(name: str, value: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "named", "name": name, **({} if value is None else {"value": value}), **more}


# --- What bears on no server is no reason


@pytest.mark.parametrize(
    "more",
    [
        {"description": "x" * 489},
        {"description": ""},
        {"description": None},
        {"title": "x" * 300},
        {"title": ""},
        {"repository": {}},
        {"repository": "https://github.com/acme/notes"},
        {"repository": {"url": "https://github.com/acme/notes"}},
        {"icons": [{"src": "https://n.example.org/i.png", "sizes": "any"}]},
        {"icons": [{"src": "https://n.example.org/i.png", "sizes": "48x48 96x96"}]},
        {"icons": [{"src": "https://n.example.org/i.png", "sizes": ["48x48", "any"]}]},
        {"icons": [{"src": "./icon.gif", "mimeType": "image/gif", "sizes": [48]}]},
        {"icons": {}},
        {"websiteUrl": ""},
        {"website_url": "notes.example.org"},
        {"remotes": []},
        {"remotes": None},
        {"remotes": [{"type": "http", "url": "https://n.example.org/mcp", "headers": {"X-Key": "x"}}]},
        {"_meta": {"anything": {"environment_variables": None}}},
        {"_meta": None},
        {"keywords": ["notes"], "author": "Ada"},
        {"version": 2},
        {"$schema": "https://static.modelcontextprotocol.io/schemas/2025-09-29/server.schema.json"},
    ],
    ids=str,
)
def test_a_document_is_imported_whatever_it_says_of_itself(more: dict[str, Any]) -> None:
    found = read(NPM, **more)
    assert [each.hostable for each in found] == [True]


def test_what_it_says_of_itself_is_told_whole() -> None:
    text = json.dumps(documents.document(NPM, description="x" * 489, version=2, title="t" * 300))
    it = document.parse(text)
    found = plan.make(it, packages.options(it, BOTH)[0], {}, runtime="process")
    assert found.origin["description"] == "x" * 489
    assert found.origin["version"] == "2"
    assert found.fields["name"] == "t" * 100


@pytest.mark.parametrize(
    "transport",
    [None, {}, "stdio", {"type": "stdio", "url": ""}, {"type": "STDIO"}, [{"type": "stdio"}], {"type": None}],
    ids=str,
)
def test_a_transport_that_is_not_said_is_stdio(transport: Any) -> None:
    assert option({**NPM, "transport": transport}).transport == "stdio"
    assert option({key: NPM[key] for key in NPM if key != "transport"}).transport == "stdio"


@pytest.mark.parametrize(
    ("transport", "port", "path"),
    [
        ({"type": "http", "url": "http://localhost:3000/mcp"}, 3000, "/mcp"),
        ({"type": "streamable_http", "url": "localhost:3000/x"}, 3000, "/x"),
        ({"type": "streamableHttp", "url": "http://localhost:${NOTES_PORT}/mcp"}, 3100, "/mcp"),
        ({"type": "streamable-http"}, 8000, "/mcp"),
        ({"url": "/notes"}, 8000, "/notes"),
    ],
    ids=str,
)
def test_http_is_read_in_other_spellings(transport: Any, port: int, path: str) -> None:
    variables = [{"name": "NOTES_PORT", "default": 3100}]
    fields = made({**NPM, "transport": transport, "environmentVariables": variables}).fields
    assert (fields["transport"], fields["port"], fields["path"]) == ("streamable-http", port, path)


def test_a_document_of_the_first_schema_is_read() -> None:
    first = {
        "name": "io.github.acme/notes",
        "description": "Notes",
        "version_detail": {"version": "0.0.1-seed", "is_latest": True},
        "packages": [
            {
                "registry_name": "pypi",
                "name": "notes-mcp",
                "version": "0.1.4",
                "package_arguments": [
                    {"type": "named", "name": "--python 3.13", "value": "--python 3.13", "is_required": True},
                    {"type": "positional", "value": "notes-mcp", "value_hint": "notes-mcp"},
                    {"type": "named", "name": "--mode", "default": "all", "is_required": True},
                ],
                "environment_variables": [{"name": "NOTES_TOKEN", "is_secret": True, "is_required": True}],
            }
        ],
    }
    it = document.parse(json.dumps(first))
    found = plan.make(it, packages.options(it, BOTH)[0], {"NOTES_TOKEN": "t"}, runtime="process")
    assert found.fields["source"]["arguments"] == ["--mode=all"]
    assert found.fields["build"] == {"python": "3.13"}
    assert (found.secrets, found.origin["version"]) == ({"NOTES_TOKEN": "t"}, "0.0.1-seed")


def test_lists_of_one_nulls_and_bare_words_are_read() -> None:
    it = made(
        {
            **NPM,
            "registryType": "NPM",
            "registryBaseUrl": None,
            "runtimeHint": "",
            "runtimeArguments": ["-y"],
            "packageArguments": ["--stdio", {"value": "serve"}, {"name": "--level", "value": 3}],
            "environmentVariables": {"NOTES_DIR": {"default": "/notes"}, "DEBUG": False},
        }
    )
    assert it.fields["source"]["arguments"] == ["--stdio", "serve", "--level=3"]
    assert it.fields["environment"] == {"NOTES_DIR": "/notes", "DEBUG": "false"}
    assert option({**NPM, "environmentVariables": {}, "packageArguments": None}).hostable
    assert read(packages=NPM)[0].hostable


def test_empty_objects_are_nothing() -> None:
    empty: dict[str, Any] = {key: [{}] for key in ("runtimeArguments", "packageArguments")}
    variable = {"name": "NOTES", "default": {}, "choices": {}, "variables": {}, "description": {}}
    package = {**NPM, **empty, "environmentVariables": [{}, variable], "registryBaseUrl": {}, "transport": {}}
    found = read({}, package, remotes=[{}], repository={}, icons={}, title={}, websiteUrl={}, _meta={})
    assert [(each.why_not, each.notes) for each in found] == [("", ())]
    assert [(question.key, question.default) for question in found[0].questions] == [("NOTES", "")]


# --- Defaults of other types, and defaults that their own format refuses


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"default": False, "format": "boolean"}, "false"),
        ({"default": "True", "format": "boolean"}, "true"),
        ({"default": "1", "format": "boolean"}, "1"),
        ({"default": 8080, "format": "number"}, "8080"),
        ({"default": 0.5, "format": "float"}, "0.5"),
        ({"default": "1e-3", "format": "number"}, "1e-3"),
        ({"default": {"a": [1]}}, '{"a":[1]}'),
        ({"default": 2, "choices": [1, 2, 3]}, "2"),
        ({"default": "INFO", "choices": ["debug", "info"]}, "info"),
        ({"default": "trace", "choices": ["debug", "info"]}, "trace"),
        ({"default": "x", "choices": [{"value": "x", "label": "X"}]}, "x"),
        ({"value": 5}, "5"),
        ({"value": "{n}", "variables": {"n": {"default": 7}}}, "7"),
        ({"value": "", "default": "d"}, "d"),
        ({"default": "x", "format": "url", "isRequired": "true"}, "x"),
    ],
    ids=str,
)
def test_values_are_read_as_text(given: dict[str, Any], value: str) -> None:
    package = {**NPM, "environmentVariables": [{"name": "SOME", **given}]}
    assert made(package).fields["environment"] == {"SOME": value}


@pytest.mark.parametrize("value", ["{API_KEY}", "${API_KEY}", "<your key>", "${input:key}", ""])
def test_a_stand_in_for_a_secret_is_asked(value: str) -> None:
    variable = {"name": "API_KEY", "value": value, "isSecret": True, "isRequired": True}
    it = made({**NPM, "environmentVariables": [variable]}, API_KEY="k")
    assert it.secrets == {"API_KEY": "k"}


def test_a_password_by_its_format_is_a_secret() -> None:
    found = option({**NPM, "environmentVariables": [{"name": "PIN", "format": "password"}]})
    assert [question.secret for question in found.questions] == [True]


# --- Names and versions


@pytest.mark.parametrize(
    ("package", "name", "version", "extras"),
    [
        ({**PYPI, "identifier": "notes-mcp[http]"}, "notes-mcp", "1.0.0", ["http"]),
        ({**PYPI, "identifier": "notes-mcp[b, a]==1.0.0"}, "notes-mcp", "1.0.0", ["a", "b"]),
        ({**PYPI, "identifier": "notes-mcp==2.1", "version": ""}, "notes-mcp", "2.1", None),
        ({**PYPI, "identifier": "notes-mcp@2.1", "version": None}, "notes-mcp", "2.1", None),
        ({**PYPI, "version": "latest"}, "notes-mcp", "", None),
        ({**PYPI, "version": "==1.0.0"}, "notes-mcp", "1.0.0", None),
        ({**PYPI, "identifier": "https://pypi.org/project/notes-mcp/"}, "notes-mcp", "1.0.0", None),
        ({**PYPI, "registryBaseUrl": "https://pypi.org/simple/"}, "notes-mcp", "1.0.0", None),
        ({**NPM, "identifier": "@acme/notes@2.0.0", "version": ""}, "@acme/notes", "2.0.0", None),
        ({**NPM, "identifier": "npm:@acme/notes"}, "@acme/notes", "1.0.0", None),
        ({**NPM, "identifier": "@acme/notes@latest"}, "@acme/notes", "1.0.0", None),
        ({**NPM, "identifier": "https://www.npmjs.com/package/@acme/notes"}, "@acme/notes", "1.0.0", None),
        ({**NPM, "registryBaseUrl": "https://registry.npmjs.org/"}, "notes-mcp", "1.0.0", None),
    ],
    ids=str,
)
def test_the_name_of_a_package(package: dict[str, Any], name: str, version: str, extras: Any) -> None:
    fields = made(package).fields
    assert (fields["source"]["name"], fields["source"]["version"]) == (name, version)
    assert fields.get("build") == ({"extras": extras} if extras else None)
    noted = any("newest" in note for note in option(package).notes)
    assert noted is not bool(version)


@pytest.mark.parametrize(
    ("package", "reference"),
    [
        ({"identifier": "mcp/notes", "version": DIGEST, "registryBaseUrl": "https://docker.io"},
         f"docker.io/mcp/notes@{DIGEST}"),
        ({"identifier": "mcp/notes", "version": DIGEST}, f"mcp/notes@{DIGEST}"),
        ({"identifier": "docker.io/mcp/notes", "version": f"@{DIGEST}"}, f"docker.io/mcp/notes@{DIGEST}"),
        ({"identifier": "docker.io/mcp/notes:1.0", "version": DIGEST}, f"docker.io/mcp/notes:1.0@{DIGEST}"),
        ({"identifier": f"docker.io/mcp/notes@{DIGEST}", "version": "1.0"}, f"docker.io/mcp/notes@{DIGEST}"),
        ({"identifier": "docker.io/mcp/notes:1.0", "version": "1.0"}, "docker.io/mcp/notes:1.0"),
        ({"identifier": "mcp/notes", "version": "1", "registryBaseUrl": "https://index.docker.io/v1/"},
         "docker.io/mcp/notes:1"),
        ({"identifier": "mcp/notes", "version": "1", "registryBaseUrl": "https://ghcr.io/v2/"},
         "ghcr.io/mcp/notes:1"),
        ({"identifier": "oci://ghcr.io/mcp/notes:1"}, "ghcr.io/mcp/notes:1"),
        ({"identifier": "https://hub.docker.com/r/mcp/notes", "version": "1"}, "docker.io/mcp/notes:1"),
        ({"identifier": "localhost:5000/notes", "version": "1"}, "localhost:5000/notes:1"),
        ({"identifier": "mcp/notes", "version": "latest", "registryType": "docker"}, "mcp/notes"),
    ],
    ids=str,
)  # fmt: skip
def test_the_image_of_a_package(package: dict[str, Any], reference: str) -> None:
    assert made({**{k: v for k, v in IMAGE.items() if k != "identifier"}, **package}).fields["source"] == {
        "reference": reference,
        "arguments": [],
    }


# --- Words for the launcher


@pytest.mark.parametrize(
    "words",
    [
        {"runtimeArguments": positional("-y", isRequired=True)},
        {"runtimeArguments": [named("-y", isRequired=True)]},
        {"runtimeArguments": [{"name": "--yes", "value": ""}]},
        {"runtimeArguments": positional("-y", "notes-mcp@1.0.0"), "runtimeHint": "npx"},
        {"runtimeArguments": positional("exec", "--yes", "--quiet"), "runtimeHint": "npm"},
        {"runtimeArguments": positional("-p", "notes-mcp")},
        {"runtimeHint": "npx -y"},
        {"packageArguments": positional("-y", "notes-mcp@1.0.0")},
        {"runtimeArguments": [named("--registry", "https://registry.npmjs.org/", isRequired=True)]},
    ],
    ids=str,
)
def test_npx_as_always(words: dict[str, Any]) -> None:
    found = option({**NPM, **words})
    assert (found.why_not, found.notes, found.questions) == ("", (), ())
    assert made({**NPM, **words}).fields["source"] == {
        "ecosystem": "npm", "name": "notes-mcp", "version": "1.0.0", "command": "", "arguments": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (PYPI, {"runtimeArguments": positional("--from"), "packageArguments": positional("notes")}),
        (PYPI, {"runtimeArguments": positional("--from", "notes-mcp", "notes")}),
        (PYPI, {"runtimeArguments": positional("--from notes-mcp", "notes")}),
        (PYPI, {"runtimeArguments": [named("--from", "Notes_MCP==1.0.0")],
                "packageArguments": positional("notes")}),
        (PYPI, {"runtimeArguments": [named("--from", isRequired=True)],
                "packageArguments": positional("notes")}),
        (PYPI, {"runtimeArguments": positional("--from=notes-mcp", "notes")}),
        (PYPI, {"runtimeHint": "uv", "runtimeArguments": positional("tool", "run", "--from", "notes-mcp",
                                                                  "notes")}),
        (PYPI, {"runtimeHint": "pipx", "runtimeArguments": positional("run", "--spec", "notes-mcp",
                                                                    "notes")}),
        (NPM, {"runtimeArguments": positional("-y", "-p", "notes-mcp@1.0.0", "notes")}),
        (NPM, {"runtimeArguments": [named("--package", "notes-mcp")],
               "packageArguments": positional("notes")}),
    ],
    ids=str,
)  # fmt: skip
def test_another_command_of_the_package(kind: dict[str, Any], words: dict[str, Any]) -> None:
    source = made({**kind, **words}).fields["source"]
    assert (source["name"], source["command"], source["arguments"]) == ("notes-mcp", "notes", [])
    assert "It starts notes, a command of notes-mcp." in option({**kind, **words}).notes


def test_arguments_after_the_command_are_the_programs() -> None:
    words = {"runtimeArguments": positional("--from", "notes-mcp[cli]", "notes", "serve", "--stdio"),
             "packageArguments": positional("all")}  # fmt: skip
    fields = made({**PYPI, **words}).fields
    assert fields["source"]["command"] == "notes"
    assert fields["source"]["arguments"] == ["serve", "--stdio", "all"]
    assert fields["build"] == {"extras": ["cli"]}


def test_a_module_is_started_by_python() -> None:
    words = {"runtimeHint": "python3", "runtimeArguments": positional("-u", "-m", "notes.server")}
    assert made({**PYPI, **words}).fields["source"]["command"] == "python -m notes.server"
    words = {"runtimeHint": "python -m notes_mcp", "packageArguments": positional("--stdio")}
    source = made({**PYPI, **words}).fields["source"]
    assert (source["command"], source["arguments"]) == ("python -m notes_mcp", ["--stdio"])
    assert made({**PYPI, "runtimeHint": "python"}).fields["source"]["command"] == ""


@pytest.mark.parametrize(
    ("words", "build"),
    [
        ([named("--with", "mcp<2", isRequired=True)], {"with": ["mcp<2"]}),
        (positional("--with", "mcp<2"), {"with": ["mcp<2"]}),
        (positional("--with=mcp<2", "--with", "pydantic>=2,<2.12"), {"with": ["mcp<2", "pydantic<2.12,>=2"]}),
        ([named("--with", "mcp[cli]<2,httpx")], {"with": ["mcp[cli]<2", "httpx"]}),
        ([named("--with mcp<2")], {"with": ["mcp<2"]}),
        ([named("--with", default="mcp<2")], {"with": ["mcp<2"]}),
        (positional("--with", "notes-mcp", "--with", "notes-mcp[http]"), {"extras": ["http"]}),
        (positional("--python 3.12", "-w", "mcp<2"), {"with": ["mcp<2"], "python": "3.12"}),
        ([named("--python", "cpython-3.12.4")], {"python": "3.12.4"}),
        ([named("-p", "python3.13")], {"python": "3.13"}),
    ],
    ids=str,
)
def test_bounds_and_the_python_of_uvx_are_carried_over(words: Any, build: dict[str, Any]) -> None:
    package = {**PYPI, "runtimeHint": "uvx", "runtimeArguments": words}
    it = made(package)
    assert it.fields["build"] == it.origin["build"] == build
    assert it.origin["notes"] == list(option(package).notes)
    assert len(option(package).notes) == len(build.get("with", ())) + ("python" in build)
    assert all(" is read: " in note for note in option(package).notes)


SECRET = {"name": "API_TOKEN", "isSecret": True, "isRequired": True}


@pytest.mark.parametrize(
    "words",
    [
        [named("-e", "API_TOKEN", isRequired=True)],
        [named("--env", "API_TOKEN")],
        [named("--env=API_TOKEN")],
        [named("-e API_TOKEN")],
        [named("-e", "API_TOKEN={API_TOKEN}")],
        [named("-e", "API_TOKEN=${API_TOKEN}")],
        [named("-e", "API_TOKEN={API_TOKEN}", variables={"API_TOKEN": {"isSecret": True}})],
        positional("-e", "API_TOKEN"),
        positional("-e API_TOKEN"),
        positional("-eAPI_TOKEN"),
        positional("run", "-i", "--rm", "--env=API_TOKEN", "docker.io/acme/notes:1"),
    ],
    ids=str,
)
def test_a_variable_that_is_passed_on_is_asked_once(words: Any) -> None:
    image = {**IMAGE, "runtimeHint": "docker", "runtimeArguments": words}
    told = {**image, "environmentVariables": [SECRET]}
    assert option(told).notes == ()
    assert [question.key for question in option(told).questions] == ["API_TOKEN"]
    assert made(told, API_TOKEN="v").secrets == {"API_TOKEN": "v"}

    found = option(image)
    assert [(question.key, question.secret) for question in found.questions] == [("API_TOKEN", True)]
    it = made(image, API_TOKEN="v")
    assert (it.secrets, it.fields["source"]["arguments"]) == ({"API_TOKEN": "v"}, [])


def test_what_is_passed_on_without_a_word_is_told_and_sealed_by_its_name() -> None:
    found = option({**IMAGE, "runtimeArguments": [named("-e", "UNITS", description="Metric or not")]})
    assert found.notes == ("-e UNITS is read: its value is asked for.",)
    assert [(q.key, q.secret, q.required, q.description) for q in found.questions] == [
        ("UNITS", False, False, "Metric or not")
    ]


def test_docker_sets_a_variable_that_is_asked_too() -> None:
    image = {
        **IMAGE,
        "environmentVariables": [{"name": "MODE"}, {"name": "LEVEL", "default": "info"}],
        "runtimeArguments": [named("-e", "MODE=stdio"), *positional("-e", "LEVEL=debug", "--env=PLAIN=a=b")],
    }
    assert made(image).fields["environment"] == {"MODE": "stdio", "LEVEL": "info", "PLAIN": "a=b"}
    assert made(image, MODE="http").fields["environment"]["MODE"] == "http"


def test_what_follows_the_image_is_the_programs() -> None:
    words = positional("run", "-it", "--rm", "-p", "8080:8080", "acme/notes:1", "serve", "--all")
    image = {**IMAGE, "identifier": "acme/notes:1", "runtimeArguments": words}
    assert made(image).fields["source"]["arguments"] == ["serve", "--all"]
    assert option(image).notes == ()


# --- Refused, with the one reason


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        ({**PYPI, "runtimeArguments": [named("--from", "git+https://github.com/acme/notes")]},
         "--from of uvx installs git+https://github.com/acme/notes: "
         "from another place than the package index."),
        ({**PYPI, "runtimeArguments": positional("--from", "other-suite", "notes")},
         "--from of uvx installs other-suite: another package."),
        ({**PYPI, "runtimeArguments": [named("--with", "x @ https://e.example.org/x.whl")]},
         "--with of uvx installs x @ https://e.example.org/x.whl: that is not from the package index."),
        ({**PYPI, "runtimeArguments": [named("--with", "-r /etc/passwd")]},
         "--with of uvx installs -r /etc/passwd: that is no requirement such as mcp<2."),
        ({**PYPI, "runtimeArguments": [named("--index-url", "https://i.example.org/")]},
         "--index-url of uvx installs from https://i.example.org/, another index than this platform's."),
        ({**NPM, "runtimeArguments": positional("-p", "other", "-p", "notes-mcp", "notes")},
         "-p of npx installs other: another package."),
        ({**NPM, "runtimeArguments": positional("-c", "notes-mcp && echo")},
         "It is started by -c of npx, which is not used here."),
        ({**IMAGE, "runtimeArguments": [named("--entrypoint", "/bin/sh")]},
         "It is started by --entrypoint of docker run, which is not used here."),
        ({**IMAGE, "runtimeArguments": positional("-v", "/data:/data", isRequired=True)},
         "It needs -v of its own launcher (docker run), which is not used here."),
        ({**NPM, "version": "^1.2.3"}, "“^1.2.3” is not a version that npm knows."),
        ({**PYPI, "version": ">=1.0"}, "“>=1.0” is not a version that pypi knows."),
        ({**PYPI, "identifier": "notes mcp"}, "“notes mcp” is not the name of a package on pypi."),
        ({**IMAGE, "identifier": "docker.io/Acme/Notes:1"},
         "“docker.io/Acme/Notes:1” is not an image reference."),
        ({**NPM, "transport": {"type": "websocket"}},
         "It speaks websocket. This platform serves stdio and Streamable HTTP."),
        ({"registryType": "npm"}, "It names no package: its identifier is missing."),
        ({"identifier": "notes-mcp"}, "It does not say where it comes from: its registryType is missing."),
        ("notes-mcp", "It is not a JSON object."),
        ({**NPM, "environmentVariables": [{"description": "no name"}]},
         "Its environmentVariables/0 cannot be read: 'name' is a required property."),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused_says_one_thing(package: Any, reason: str) -> None:
    assert option(package).why_not == reason


def test_one_bad_package_hinders_no_other() -> None:
    found = read({"registryType": "npm"}, {**NPM, "version": "~1"}, PYPI)
    assert [each.hostable for each in found] == [False, False, True]


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ([named("--exclude-newer", "2026-01-01")], "--exclude-newer is for uvx and is left out."),
        (positional("--prerelease", "allow"), "--prerelease is for uvx and is left out."),
        ([named("--python", ">=3.11")], "--python >=3.11 is for uvx and is left out."),
    ],
    ids=str,
)
def test_what_is_left_out_is_told(words: Any, note: str) -> None:
    found = option({**PYPI, "runtimeArguments": words})
    assert (found.hostable, found.notes) == (True, (note,))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"description": "x" * 489, "icons": 5}, "name: it is missing."),
        ({"name": "a/b"}, "version: it is missing."),
        ({"name": "no-slash", "version": "1"}, "name: 'no-slash' does not match"),
        ({"mcpServers": {"notes": {"command": "npx"}}}, "a client's configuration"),
        ({"servers": [{"name": "a/b"}, {"name": "a/c"}]}, "choose one server"),
    ],
    ids=str,
)
def test_a_document_is_refused_with_one_sentence(given: Any, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        document.parse(json.dumps(given))
    assert said in caught.value.message
    assert caught.value.message.count(". ") == 0


def test_a_list_of_one_and_a_byte_order_mark_are_read() -> None:
    one = documents.document(documents.SEARCH)
    listed = json.dumps({"servers": [{"server": one, "_meta": {}}], "metadata": {"count": 1}})
    assert document.parse(b"\xef\xbb\xbf" + listed.encode()) == one
    assert document.parse("\ufeff" + listed) == one


@pytest.mark.parametrize(
    "package",
    [
        {**PYPI, "runtimeArguments": [named("--with", "a;" + "(" * 200_000)]},
        {**PYPI, "runtimeArguments": [named("--with", "a;" + "(" * 290)]},
        {**PYPI, "runtimeArguments": [named("--with", "a," * 100_000)]},
        {**PYPI, "runtimeArguments": positional("--from", "a;" + "(" * 200_000)},
        {**PYPI, "identifier": "a;" + "(" * 200_000},
        {**NPM, "identifier": "@" * 200_000},
        {**IMAGE, "identifier": "a/" * 100_000},
    ],
)
def test_what_is_endless_is_refused_at_once(package: dict[str, Any]) -> None:
    assert 0 < len(option(package).why_not) < 1000


def test_a_document_within_documents_without_end_is_none() -> None:
    nested = '{"servers":[' * 300 + "{}" + "]}" * 300
    with pytest.raises(Invalid):
        document.parse(nested)
