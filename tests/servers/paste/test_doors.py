"""Pasted text at the three doors: REST, the command, the form."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from servers import pasted, runtime_choice, secretbox
from servers.models import Server
from tests.accounts import person
from tests.catalog import documents

Api = Callable[[User], APIClient]
pytestmark = [pytest.mark.core, pytest.mark.django_db]
GHP = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
WEATHER = {"command": "npx", "args": ["-y", "@acme/weather-mcp@1.2.0", "--units", "metric"]}
BLOCK = json.dumps(
    {
        "mcpServers": {
            "weather": {**WEATHER, "env": {"WEATHER_KEY": "<KEY>", "GITHUB_TOKEN": GHP, "LEVEL": "info"}}
        }
    }
)
TWO = json.dumps(
    {"mcpServers": {"one": WEATHER, "two": {"command": "uvx", "args": ["kit-mcp"], "env": {"K": GHP}}}}
)
DOCUMENT = json.dumps(documents.document(documents.SEARCH))


@pytest.fixture(autouse=True)
def _on_processes(settings: Any) -> Any:
    settings.CONTAINER_RUNTIME = "process"
    runtime_choice.default_runtime.cache_clear()
    yield
    runtime_choice.default_runtime.cache_clear()


@pytest.fixture
def client(api: Api, staff: User) -> APIClient:
    return api(staff)


@pytest.fixture
def browser(staff: User) -> Client:
    made = Client()
    made.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    return made


# --- REST


def test_what_was_read_is_the_body_of_a_new_server(client: APIClient) -> None:
    answer = client.post("/api/servers/paste/", {"text": BLOCK})
    assert answer.status_code == 200, answer.content
    assert GHP not in answer.content.decode()
    (found,) = answer.json()["servers"]
    assert [(each["name"], each["given"]) for each in found["asks"]] == [
        ("GITHUB_TOKEN", True),
        ("WEATHER_KEY", False),
    ]
    body = {**found["server"], "deploy": False, "secrets": {"WEATHER_KEY": "k-e-y", "GITHUB_TOKEN": GHP}}
    made = client.post("/api/servers/", body)
    assert made.status_code == 201, made.content
    server = Server.objects.get()
    assert (server.name, server.environment) == ("weather", {"LEVEL": "info"})
    assert server.source["name"], server.source["version"] == ("@acme/weather-mcp", "1.2.0")
    assert server.source["arguments"] == ["--units", "metric"]
    assert {s.name: s.reveal() for s in server.secrets.all()} == {"WEATHER_KEY": "k-e-y", "GITHUB_TOKEN": GHP}


@pytest.mark.parametrize(
    "text",
    [
        "https://github.com/acme/kit/tree/main/x",
        "docker run -d -p 80:3000 acme/kit:1",
        "uvx kit-mcp --x",
        "acme/kit:2",
    ],
)
def test_every_kind_of_source_is_taken_as_it_was_read(client: APIClient, text: str) -> None:
    (found,) = client.post("/api/servers/paste/", {"text": text}).json()["servers"]
    made = client.post("/api/servers/", {**found["server"], "deploy": False})
    assert made.status_code == 201, made.content


def test_several_and_those_that_cannot_be_hosted_are_listed(client: APIClient) -> None:
    text = TWO[:-2] + ', "far": {"url": "https://mcp.example.org/mcp", "headers": {"X-Key": "abc-abc-abc"}}}}'
    answer = client.post("/api/servers/paste/", {"text": text})
    found = answer.json()["servers"]
    assert [(each["name"], each["hostable"]) for each in found] == [
        ("one", True),
        ("two", True),
        ("far", False),
    ]
    assert "Its publisher runs it" in found[2]["why_not"]
    assert found[2]["server"] is None
    assert "abc-abc-abc" not in answer.content.decode()


def test_a_server_json_is_the_body_for_the_catalog(client: APIClient) -> None:
    (found,) = client.post("/api/servers/paste/", {"text": DOCUMENT}).json()["servers"]
    assert found["server"] is None
    preview = client.post("/api/catalog/preview/", found["document"])
    assert preview.status_code == 200, preview.content
    assert preview.json()["name"] == "io.github.example/weather"


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": 1}, {"text": "a" * 65_537}, {"text": "a", "more": 1}]
)
def test_bodies_that_are_refused(client: APIClient, body: dict[str, Any]) -> None:
    assert client.post("/api/servers/paste/", body).status_code == 400


def test_it_is_for_people_who_may_add_servers(api: Api) -> None:
    assert api(person("visitor")).post("/api/servers/paste/", {"text": "uvx kit-mcp"}).status_code == 403


# --- The command


def deploy(*words: str) -> str:
    out = io.StringIO()
    call_command("deploy", *words, stdout=out)
    return out.getvalue()


def test_the_command_makes_a_server_of_a_text(staff: User) -> None:
    said = deploy("--paste", BLOCK, "--env", "WEATHER_KEY=k-e-y", "--env", "LEVEL=debug")
    server = Server.objects.get()
    assert (server.slug, server.name, server.environment) == ("weather", "weather", {"LEVEL": "debug"})
    assert {s.name: s.reveal() for s in server.secrets.all()} == {"WEATHER_KEY": "k-e-y", "GITHUB_TOKEN": GHP}
    assert "Package @acme/weather-mcp of npm, version 1.2.0." in said
    assert GHP not in said
    assert server.deployments.count() == 1


def test_a_file_the_standard_input_and_the_own_environment(
    staff: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Weather\n```json\n{BLOCK}\n```\n")
    monkeypatch.setenv("WEATHER_KEY", "from-outside")
    deploy("first", "--paste", str(readme), "--env", "WEATHER_KEY")
    monkeypatch.setattr("sys.stdin", io.StringIO(TWO))
    deploy("second", "--paste", "-", "--pick", "two", "--name", "Second")
    first, second = Server.objects.order_by("slug")
    assert first.secrets.get(name="WEATHER_KEY").reveal() == "from-outside"
    assert (second.slug, second.name, second.source["name"]) == ("second", "Second", "kit-mcp")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--paste", BLOCK], "weather needs WEATHER_KEY: give --env NAME=VALUE for each."),
        (["--paste", TWO], "The text describes these servers: one, two. Choose one with --pick NAME."),
        (["--paste", TWO, "--pick", "three"], "The text describes these servers: one, two."),
        (["--paste", "node /x/index.js"], "server cannot be hosted. It starts a file of your machine"),
        (["--paste", "npx -y kit-mcp <DIR>"], "Replace <DIR> in the text with real values"),
        (["--paste", "Hello there."], "Nothing in it is known here as a server"),
        (["--paste", "uvx kit-mcp", "--env", "NOWHERE_TO_BE_FOUND"], "--env needs NAME=VALUE"),
        (["--pypi", "kit-mcp"], "Name the server: manage.py deploy SLUG"),
    ],
)
def test_what_the_command_refuses_in_one_line(staff: User, words: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        deploy(*words)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Server.objects.exists()


def test_a_server_json_goes_to_the_catalog(staff: User) -> None:
    deploy("--paste", DOCUMENT, "--env", "SEARCH_API_KEY=s3cr3t-value")
    server = Server.objects.get()
    assert server.origin["name"] == "io.github.example/weather"
    assert server.secrets.get().reveal() == "s3cr3t-value"


# --- The form


def values_of(page: str) -> dict[str, str]:
    """What a browser would send: the named inputs, choices and areas of the main form."""
    form = page[page.index('id="server_form"') :]
    found = {}
    for tag in re.findall(r"<input\b[^>]*>", form):
        told = {key: html.unescape(value) for key, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        bare = re.sub(r'"[^"]*"', "", tag)
        chosen = told.get("type") not in ("radio", "checkbox") or re.search(r"\schecked\b", bare)
        if told.get("name") and chosen and told.get("type") not in ("submit", "file"):
            found[told["name"]] = told.get("value", "on" if told.get("type") == "checkbox" else "")
    for name, inner in re.findall(r'<select\b[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
        chosen_one = re.search(r'value="([^"]*)"\s+selected', inner)
        found[name] = chosen_one[1] if chosen_one else ""
    for name, inner in re.findall(r'<textarea\b[^>]*name="([^"]*)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        found[name] = html.unescape(inner).lstrip("\n")
    return found


def pasted_into(browser: Client, **fields: str) -> str:
    answer = browser.post(reverse("admin:servers_server_add"), fields)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def test_the_form_is_filled_in_and_makes_the_server(browser: Client) -> None:
    page = pasted_into(browser, paste=BLOCK)
    assert GHP not in html.unescape(page)
    assert "Package @acme/weather-mcp of npm, version 1.2.0." in html.unescape(page)
    given = values_of(page)
    assert (given["name"], given["package_name"], given["package_version"]) == (
        "weather",
        "@acme/weather-mcp",
        "1.2.0",
    )
    assert (given["package_arguments"], given["environment_lines"]) == ("--units metric", "LEVEL=info")
    assert (given["secret_name_1"], given["secret_name_2"]) == ("GITHUB_TOKEN", "WEATHER_KEY")
    url = reverse("admin:servers_server_add")
    refused = browser.post(url, given)
    assert refused.context["adminform"].form.errors == {"secret_value_2": ["WEATHER_KEY needs a value."]}
    assert GHP not in refused.content.decode()
    made = browser.post(url, {**given, "secret_value_2": "k-e-y", "deploy": ""})
    server = Server.objects.get()
    assert made["Location"] == reverse("admin:servers_server_change", args=[server.pk])
    assert {s.name: s.reveal() for s in server.secrets.all()} == {"WEATHER_KEY": "k-e-y", "GITHUB_TOKEN": GHP}
    assert server.source["arguments"] == ["--units", "metric"]


def test_a_choice_is_made_without_showing_the_text_again(browser: Client) -> None:
    page = pasted_into(browser, paste=TWO)
    assert GHP not in page
    assert "Choose one of 2" in page
    sealed = re.search(r'name="sealed" value="([^"]+)"', page)
    assert sealed
    given = values_of(pasted_into(browser, paste="", sealed=html.unescape(sealed[1]), pick="two"))
    assert (given["package_name"], given["secret_name_1"]) == ("kit-mcp", "K")
    browser.post(reverse("admin:servers_server_add"), {**given, "deploy": ""})
    assert Server.objects.get().secrets.get().reveal() == GHP


def test_what_was_set_for_the_build_and_the_token_of_the_url(browser: Client) -> None:
    given = values_of(pasted_into(browser, paste="uvx --with 'mcp<2' --python 3.12 'kit[cli]'"))
    browser.post(reverse("admin:servers_server_add"), {**given, "deploy": ""})
    assert Server.objects.get().build == {"with": ["mcp<2"], "python": "3.12", "extras": ["cli"]}
    given = values_of(pasted_into(browser, paste=f"https://me:{GHP}@git.example.org/acme/tool.git"))
    browser.post(reverse("admin:servers_server_add"), {**given, "deploy": ""})
    server = Server.objects.get(source_kind="git")
    assert server.source["url"] == "https://git.example.org/acme/tool.git"
    assert server.secrets.get().reveal() == f"me:{GHP}"


def test_more_variables_than_the_form_has_rows(browser: Client) -> None:
    words = [word for n in range(8) for word in ("-e", f"KEY_{n}")]
    given = values_of(pasted_into(browser, paste="docker run -i " + " ".join(words) + " acme/kit"))
    assert given["secret_name_8"] == "KEY_7"
    values = {f"secret_value_{n}": f"value-{n}" for n in range(1, 9)}
    browser.post(reverse("admin:servers_server_add"), {**given, **values, "deploy": ""})
    assert Server.objects.get().secrets.count() == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello.", "Nothing in it is known here as a server"),
        ("a" * 70_000, "larger than 64 KiB"),
        ("node /x/server.js", "It starts a file of your machine"),
        ("io.github.acme/kit", "Fill in its settings"),
        (DOCUMENT, "Fill in its settings"),
        ("<script>alert(1)</script>", "Nothing in it is known here as a server"),
    ],
)
def test_what_the_page_says(browser: Client, text: str, said: str) -> None:
    assert said in html.unescape(pasted_into(browser, paste=text))
    assert not Server.objects.exists()


def test_the_form_is_for_people_who_may_add_servers() -> None:
    visitor = Client()
    visitor.force_login(person("visitor"), backend="django.contrib.auth.backends.ModelBackend")
    assert visitor.post(reverse("admin:servers_server_add"), {"paste": "uvx kit-mcp"}).status_code in (
        302,
        403,
    )


def test_what_is_sealed_opens_for_one_person_and_for_this_alone(staff: User) -> None:
    sealed = pasted.seal(1, {"secrets": {"A": GHP}})
    assert pasted.unseal(1, sealed) == {"secrets": {"A": GHP}}
    assert pasted.unseal(2, sealed) == {}
    assert pasted.unseal(1, secretbox.seal(GHP).decode()) == {}
    for odd in ("", "x", "é", sealed[:-9], sealed[9:]):
        assert pasted.unseal(1, odd) == {}


def test_what_is_sealed_ends(staff: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pasted, "SECONDS", -1)
    assert pasted.unseal(1, pasted.seal(1, {"secrets": {}, "token": "x"})) == {}
