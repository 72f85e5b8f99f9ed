"""Somebody whose text becomes markup in an administrator's browser: a person, a document, an upload, a hosted
server, a forge, a registry.

Every text that is kept is replaced by hostile ones, and every page and form of the console is opened in a
real browser. Fields come from the models and addresses from the resolver: what is added later is covered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django import forms
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import models
from django.template import Context, Template
from django.template.utils import get_app_template_dirs
from django.test import Client
from django.urls import reverse
from django.utils.html import format_html
from playwright.sync_api import Browser, expect

from catalog import document, registry
from notices.kinds import slack
from servers.models import Deployment, Server
from tests.access import rows
from tests.access.doors import Door, every
from tests.accounts import make_server, person
from tests.catalog import documents
from tests.catalog.conftest import RegistryApi, registry_api
from tests.console import demo
from tests.console.browsing import Web, web
from tests.console.test_dashboard import busy
from tests.security import hostile
from tests.security.hostile import Watched

__all__ = ["registry_api", "web"]
pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# What else answers below /admin/: the end of a session, JSON, scripts, what takes a POST alone.
NO_PAGES = {
    "admin:logout", "admin:autocomplete", "admin:jsi18n", "admin:view_on_site", "admin:search",
    "admin:servers_server_token", "admin:servers_server_ticket",
}  # fmt: skip
# Where a page depends on how a server or a deployment fares.
SHOWS = re.compile(
    r"server/<.*/(change|edit|tools|logs|settings)/|deployment/<.*/(change|compare|runbook)/|catalog/<"
)
INSIDE = ("/", "#", "?", "cursor:", "http://testserver/", "../", "data:image/")
FIELDS = "textarea, select, input:not([type=hidden], [type=checkbox], [type=radio], [type=file])"
TYPING = re.compile(r'<(textarea|input(?![^>]*type="(hidden|checkbox|radio|file|search|submit)"))')
# The forms of a page in which anybody can type.
TYPED = f"""[...document.forms].filter((form) => form.method === "post"
  && [...form.querySelectorAll("{FIELDS}")].some((field) => field.localName !== "select"))"""
FILL = f"""([number, text]) => {{
  const form = {TYPED}[number];
  for (const field of form.querySelectorAll("{FIELDS}")) {{
    if (field.localName === "select") field.append(new Option(text, text));
    if (field.localName === "input") field.type = "text";
    field.value = text;
  }}
  HTMLFormElement.prototype.submit.call(form);
}}"""
# Rows that unfold's script makes of a form's empty one.
ADD_ROWS = """() => {
  const buttons = document.querySelectorAll(".add-row");
  buttons.forEach((button) => button.click());
  return buttons.length;
}"""
LET_IN = """async (markup) => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  document.querySelector("#content").insertAdjacentHTML("beforeend", markup);
  await frame();
  htmx.process(document.body);
  document.querySelector("#pwned").click();
  document.querySelector("#pwned-link").click();
  await frame();
}"""
CHAT = (
    "<!channel> <!here> <@U024BE7LH> <#C024BE7LR> <https://pwned.invalid/|Log in>",
    "@channel @all @here ![x](https://pwned.invalid/x.png) [Log in](https://pwned.invalid/)",
)
ARGUMENTS: list[dict[str, Any]] = [
    {"type": "named", "name": "--text", "description": "x", "placeholder": "x", "default": "x"},
    {"type": "named", "name": "--one", "description": "x", "choices": ["x", "y"], "isRequired": True},
    {"type": "positional", "valueHint": "x", "description": "x", "isRepeated": True, "format": "filepath"},
]
VARIABLES = [
    {"name": "KEY", "description": "x", "isSecret": True, "isRequired": True},
    {"name": "LEVEL", "description": "x", "default": "x", "placeholder": "x"},
]
A_DOCUMENT = documents.document(
    documents.package(environmentVariables=VARIABLES, packageArguments=ARGUMENTS),
    documents.package("nuget", fileSha256="0" * 64, runtimeHint="x"),
    repository={"url": "https://git.example.org/x", "source": "x", "id": "x", "subfolder": "x"},
    websiteUrl="https://example.org/x",
    remotes=[{**documents.REMOTE, "headers": [{"name": "x", "description": "x", "value": "x"}]}],
    icons=[{"src": "https://example.org/x.png", "mimeType": "image/png", "sizes": ["48x48"]}],
)
# Without these there would be nothing to host, so nothing to ask.
NEEDED = frozenset({"registryType", "identifier", "name", "version", "format", "runtimeHint"})


def platform_of(owner: User) -> dict[str, Any]:
    """Rows of every kind; what the parameters of addresses stand for."""
    values = rows.make()
    seeded = demo.seed(owner)
    busy(seeded["time"])
    return values


def pages(values: dict[str, Any]) -> Iterator[str]:
    for door in doors():
        yield address(door, values)


def pages_in_every_state(values: dict[str, Any]) -> Iterator[str]:
    """Those of servers that run, fail, are built and stand still too: each has parts that no other shows."""
    for door in doors():
        yield address(door, values)
        for server in Server.objects.exclude(pk=values["server"]) if SHOWS.search(door.route) else ():
            newest = server.deployments.first()
            more = {"deployment": newest.pk} if newest else {}
            yield address(door, {**values, **more, "server": server.pk})


def doors() -> list[Door]:
    """Whose answer is a page, of the console."""
    console = [door for door in every() if door.route.startswith("admin/")]
    return [door for door in console if door.name not in {*NO_PAGES, door.route}]


def address(door: Door, values: dict[str, Any]) -> str:
    if door.name == "admin:app_list":
        return door.address({"app_label": "servers"})
    asked = f"?ids={values['server']}" if door.name == "admin:servers_redeploy" else ""
    return rows.address_of(door, values) + asked


@pytest.fixture
def chief(web: Web) -> User:
    return person("chief", is_staff=True, is_superuser=True)


@pytest.fixture
def watched(browser: Browser, web: Web, chief: User) -> Iterator[Watched]:
    """A browser in which an administrator is logged in; whatever acts on one of its pages fails the test."""
    context = browser.new_context()
    name = django_settings.SESSION_COOKIE_NAME
    context.add_cookies([{"name": name, "value": client_of(chief).cookies[name].value, "url": web.root}])
    page = context.new_page()
    page.set_default_timeout(60_000)
    watched = Watched(page)
    yield watched
    context.close()
    assert not watched.complaints, "\n".join(dict.fromkeys(watched.complaints))


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_who_fills_every_text_that_is_kept(watched: Watched, web: Web, chief: User) -> None:
    """Names of people, teams, tokens and channels, all that servers, forges and registries said."""
    values = platform_of(chief)
    hostile.poison(hostile.markup)
    for path in dict.fromkeys(pages_in_every_state(values)):
        assert watched.go(f"{web.root}{path}") < 500, path
        if watched.page.evaluate(ADD_ROWS):
            watched.look()


def test_who_gives_a_script_for_an_address(web: Web, chief: User) -> None:
    """Whatever becomes a link leads to this platform, or to a client on the reader's own machine."""
    values = platform_of(chief)
    hostile.poison(hostile.link)
    client = client_of(chief)
    for path in dict.fromkeys(pages_in_every_state(values)):
        found = hostile.addresses(client.get(path).content.decode())
        assert not [one for one in found if not one.startswith(INSIDE)], path


def test_no_text_is_left_out(web: Web, chief: User) -> None:
    """A field that a model gains is filled by itself; what its JSON holds has to be said in SHAPES."""
    platform_of(chief)
    hostile.poison(hostile.markup)
    left = []
    for model in hostile.our_models():
        for field in hostile.text_fields(model):
            values = models.QuerySet(model).values_list(field.name, flat=True)
            if not any(hostile.holds_text(value) for value in values):
                left.append(f"{model.__name__}.{field.name}")
    assert not left, ", ".join(left)


def test_who_types_it_into_every_form(watched: Watched, web: Web, chief: User) -> None:
    """What was refused is shown again, beside what was wrong with it; what was taken is told."""
    values = platform_of(chief)
    hostile.poison(hostile.markup)
    client = client_of(chief)
    typed = 0
    for path in pages(values):
        if not TYPING.search(client.get(path).content.decode()):
            continue
        watched.go(f"{web.root}{path}")
        for number in range(watched.page.evaluate(f"{TYPED}.length")):
            watched.go(f"{web.root}{path}") if number else None
            type_into(watched, number)
            typed += 1
    assert typed > 12


def type_into(watched: Watched, number: int) -> None:
    """Fills the page's form of that number, and sends it past its own scripts."""
    with watched.page.expect_navigation():
        watched.page.evaluate(FILL, [number, hostile.MARKUP[0]])
    watched.look()


def test_who_publishes_a_document(watched: Watched, web: Web, registry_api: RegistryApi, owner: User) -> None:
    """A registry's list, a document's questions, what is wrong with document and answers, a newer version."""
    published = hostile.in_document(A_DOCUMENT, document.validator().is_valid, kept=NEEDED)
    registry_api.publish(published)
    start = f"{web.root}{reverse('catalog:add')}"
    watched.go(f"{start}?name={quote(published['name'])}")
    assert watched.page.locator("[name^=answer-]").count() == 5
    type_into(watched, number=0)
    server = make_server(owner, origin={**published, "version": "0", "registry": registry_api.url})
    watched.go(f"{web.root}{reverse('catalog:update', args=[server.pk])}")
    assert watched.page.locator("[name^=answer-]").count() == 5

    anything = hostile.in_json(A_DOCUMENT, hostile.markup)
    listed = {"server": anything, "_meta": {registry.OFFICIAL: {"status": hostile.MARKUP[0]}}}
    registry_api.raw["/v0.1/servers"] = 200, {}, json.dumps({"servers": [listed]}).encode()
    watched.go(f"{start}?q=weather")
    expect(watched.page.locator(".mh-rows")).to_contain_text("pwned")
    for text in (
        json.dumps(hostile.in_document(A_DOCUMENT, document.validator().is_valid)),
        json.dumps(anything),
    ):
        watched.go(start)
        watched.page.fill("[name=text]", text)
        watched.page.click("form:has([name=text]) [type=submit]")
        watched.page.wait_for_load_state()
        watched.look()
        expect(watched.page.locator("#content")).to_contain_text("pwned")


def test_who_asks_for_it_in_an_address(watched: Watched, web: Web, chief: User) -> None:
    """Searches, filters, pages that are not there, the way back after a login."""
    said = quote(hostile.MARKUP[0], safe="")
    for door in every():
        if door.name.endswith("_changelist"):
            for asked in (f"q={said}", f"server={said}&o={said}&pwned%22%3E%3Cb%20pwned%3E={said}"):
                watched.go(f"{web.root}{door.address({})}?{asked}")
    for address in ("/", "/admin/", "/login/sso/", "/hooks/", "/api/", "/v0.1/servers/", "/mcp/"):
        watched.go(f"{web.root}{address}{said}")
    watched.go(f"{web.root}/api/docs/?lang={said}&version={said}")
    watched.go(f"{web.root}/login/sso/callback/?error={said}&error_description={said}&state={said}")
    watched.page.context.clear_cookies()
    for following in (said, "javascript:pwned()", "//pwned.invalid/"):
        watched.go(f"{web.url('login')}?next={following}")
        watched.page.fill("[name=username]", chief.username)
        watched.page.fill("[name=password]", "chief-password")
        with watched.page.expect_navigation():
            watched.page.click("[type=submit]")
        watched.look()
        assert watched.page.url.startswith(web.root)
        watched.page.context.clear_cookies()


def test_who_hosts_a_server(watched: Watched, web: Web, chief: User) -> None:
    """What it lists and answers to somebody who tries its tools: results, errors, names that a form knows."""
    served = demo.seed(chief)["time"]
    facts = {"era": "modern", "protocol_versions": ["2026-07-28"]}
    Deployment.objects.filter(server=served).update(facts=facts, discovery={"tools": tools()})
    watched.page.route("**/mcp/**", lambda route: route.fulfill(json=answer(route.request.post_data_json)))
    watched.go(web.url("servers_server_tools", served.pk))
    page, outcome = watched.page, watched.page.locator("[data-try-outcome]")
    for name, said in (("called", "Answered"), ("broken", "Error 7"), ("odd", "")):
        page.locator("[data-try-tool]").select_option(name)
        watched.look()
        page.get_by_role("button", name="Call", exact=True).click()
        expect(outcome).to_contain_text(said)
        watched.look()
    page.get_by_role("button", name="Refresh list").click()
    expect(outcome).to_contain_text("The server lists")
    watched.look()


def tools() -> list[dict[str, Any]]:
    said = hostile.MARKUP[0]
    properties = {
        said: {"type": "string", "title": said, "description": said, "default": said},
        "querySelector": {"type": "string", "enum": [said]},
        "submit": {"type": "integer", "description": said, "pattern": said},
        "addEventListener": {"type": "array", "default": [said]},
    }
    schema = {"type": "object", "properties": properties}
    return [
        {"name": name, "description": said, "inputSchema": schema} for name in ("called", "broken", "odd")
    ]


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """What a hostile server says to `tools/list`, and to a call of each of its tools."""
    said = hostile.MARKUP[0]
    picture = {"type": "image", "mimeType": "image/svg+xml", "data": "PHN2ZyBvbmxvYWQ9InB3bmVkKCkiLz4="}
    linked = {"type": "resource_link", "uri": "javascript:pwned()", "name": said, "title": said}
    held = {"type": "resource", "resource": {"uri": "javascript:pwned()", "text": said}}
    content = [
        {"type": "text", "text": said},
        picture,
        {**picture, "mimeType": said},
        linked,
        held,
        {"type": said},
    ]
    answers: dict[str | None, dict[str, Any]] = {
        "called": {"result": {"content": content, "structuredContent": {said: said}, "resultType": said}},
        "broken": {"error": {"code": 7, "message": said, "data": {said: said}}},
        "odd": {"result": {"content": said, "isError": said}},
        None: {"result": {"tools": tools()}},
    }
    return {"jsonrpc": "2.0", "id": asked["id"], **answers[asked["params"].get("name")]}


def test_who_got_markup_in_runs_nothing_by_it(watched: Watched, web: Web) -> None:
    """Were a text to become markup after all: no policy lets it run, and no library does what it says."""
    watched.go(web.url("servers_server_changelist"))
    asked: list[str] = []
    watched.page.on("request", lambda request: asked.append(request.url))
    watched.page.evaluate(LET_IN, hostile.RUNNING)
    assert watched.page.url == web.url("servers_server_changelist")
    watched.page.goto("about:blank")  # what the page says comes in its order: all of it has come then
    ran = [said for said in watched.complaints if "was called" in said]
    watched.complaints.clear()  # the browser and Alpine say what they refused
    assert not ran
    assert not [address for address in asked if "pwned" in address]


@pytest.mark.django_db
def test_every_answer_lets_no_text_run(client: Client, staff: User) -> None:
    client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    strict = "script-src 'self';"
    paths = ["/admin/", "/admin/login/", "/api/docs/", "/api/health/", "/nothing/", "/admin/nothing/"]
    answers = [client.get(path) for path in paths]
    answers += [client.get("/admin/", headers={"Host": "pwned.invalid"}), client.get("/%00/")]
    answers.append(client.get("/hooks/nothing/"))
    for answer in answers:
        policy = f"{answer['Content-Security-Policy']};"
        assert strict in policy, answer.request["PATH_INFO"]
        assert "unsafe-eval" not in policy
        assert "base-uri 'none'" in policy


@pytest.mark.parametrize("name", ["safe", "safeseq"])
def test_a_template_cannot_call_a_text_safe(name: str) -> None:
    """unfold and Django do so with help texts and descriptions."""
    filled = Template("{{ text|" + name + " }}").render(Context({"text": "<b>"}))
    assert filled == "&lt;b&gt;"
    assert (
        Template("{{ text|safe }}").render(Context({"text": format_html("<b>{}</b>", "<")})) == "<b>&lt;</b>"
    )


def test_a_form_escapes_its_own_words() -> None:
    """The renderer that forms have of their own included."""

    class Asking(forms.Form):
        word = forms.CharField(label="<b>", help_text="<b>", initial="<b>")

    assert "<b>" not in str(Asking()) + Asking().as_p() + Asking().as_table() + str(Asking({"word": ""}))


def test_no_page_switches_escaping_off() -> None:
    """No template that may make a page here, ours or a package's."""
    folders = [*django_settings.TEMPLATES[0]["DIRS"], *get_app_template_dirs("templates")]
    found = [path for folder in folders for path in Path(folder).rglob("*.html")]
    every_page = [path for path in found if not path.stem.endswith("_email")]
    assert len(every_page) > 300
    assert not [str(path) for path in every_page if "autoescape off" in path.read_text()]


@pytest.mark.parametrize("said", [*hostile.MARKUP, *CHAT, "&" * 5000, "<" * 5000])
def test_who_speaks_to_a_channel(said: str) -> None:
    """A server's name and its error: nobody is called by them, nothing becomes a link, and it can be sent."""
    data = {"headline": f"{said[:100]}: failed", "reason": said, "note": said, "links": {}}
    sent = slack.message("failed", {"data": data})
    texts = [block.get("text") or block["elements"][0] for block in sent["blocks"]]
    for text in texts:
        assert text["verbatim"]
        assert len(text["text"]) < 3000
        assert not re.search(r"[<>]|&(?!(amp|lt|gt);)", text["text"])
    assert not re.search(r"@\w|\]\(|[<>]", sent["text"])
