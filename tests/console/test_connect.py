"""What is pasted into clients."""

from __future__ import annotations

import base64
import json
import shlex
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User

from console import connect
from console.connect import Snippet
from tests.accounts import make_deployment, make_server

URL = "https://mcp.example.org/mcp/time-zones"
TOKEN = "mcph_a-token"


@pytest.fixture
def given(owner: User) -> dict[str, Snippet]:
    server = make_server(owner, name='Time "zones"', slug="time-zones")
    return {snippet.title: snippet for snippet in connect.snippets(server, URL, TOKEN)}


def test_files_are_json_that_name_the_server(given: dict[str, Snippet]) -> None:
    for title in (".mcp.json", "mcp-remote"):
        entry = json.loads(given[title].text)["mcpServers"]["time-zones"]
        assert TOKEN in json.dumps(entry)
        assert URL in json.dumps(entry)
    assert "--allow-http" not in given["mcp-remote"].text


def test_commands_are_words_of_a_shell(given: dict[str, Snippet]) -> None:
    for title, first in (("Claude Code", "claude"), ("Inspector", "npx"), ("curl", "curl")):
        words = shlex.split(given[title].text.replace("\\\n", " "))
        assert words[0] == first
        assert f"Authorization: Bearer {TOKEN}" in words
        assert URL in words


def test_vs_code_asks_for_the_token(given: dict[str, Snippet]) -> None:
    file = json.loads(given["VS Code"].text)
    (asked,) = file["inputs"]
    assert asked["password"]
    assert file["servers"]["time-zones"]["headers"]["Authorization"] == f"Bearer ${{input:{asked['id']}}}"
    assert TOKEN not in given["VS Code"].text


def test_a_link_holds_no_token(given: dict[str, Snippet]) -> None:
    links = [snippet.link for snippet in given.values() if snippet.link]
    assert links
    for link in links:
        query = parse_qs(urlsplit(link).query)
        config = json.loads(base64.b64decode(query["config"][0]))
        assert config["url"] == URL
        assert config["headers"]["Authorization"] == "Bearer ${env:TIME_ZONES_TOKEN}"


def test_curl_speaks_as_the_server_does(owner: User) -> None:
    server = make_server(owner)
    make_deployment(server, serves=True, facts={"era": "modern"})
    text = connect.snippets(server, URL)[-1].text
    assert "server/discover" in text
    assert "initialize" not in text


def test_plain_http_needs_leave(owner: User) -> None:
    server = make_server(owner)
    texts = {s.title: s.text for s in connect.snippets(server, "http://host.example.org/mcp/x")}
    assert "--allow-http" in texts["mcp-remote"]
