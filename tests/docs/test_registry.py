"""docs/registry.md against the settings, the credentials' reader and the modes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mcphost import settings as given
from registry import commands, credentials
from registry.credentials import CredentialStore
from registry.manifest import ANNOTATION_CREATED, ANNOTATION_REVISION, ANNOTATION_SOURCE
from registry.reference import Reference
from servers.states import Mode
from tests.docs import pages

PAGE = pages.text_of("registry.md")
SECTIONS = pages.sections(PAGE)
OTHERS = {  # of the engine, the shell and other programs
    "REGISTRY_HOST", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REGISTRY_STORAGE_DELETE_ENABLED",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\b[A-Z0-9]+(?:_[A-Z0-9]+)+\b", PAGE))))
def test_the_settings_exist(name: str) -> None:
    assert name in given.env.declared or name in OTHERS


def test_the_config_of_the_page_is_read(tmp_path: Path) -> None:
    whole, *_ = pages.blocks(SECTIONS["Credentials"], "json")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"auths": json.loads(whole)["auths"]}))
    store = CredentialStore(path, None)
    for host in ("registry.example.org", "registry.example.org:5000", "docker.io"):
        assert (store.for_host(host).username, store.for_host(host).password) == ("ci", "password")
    assert store.for_host("cloud.example.org").identity_token
    assert store.for_host("direct.example.org").registry_token


def test_the_modes() -> None:
    assert [pages.code(row[0])[0] for row in pages.rows(SECTIONS["Modes"])] == [mode.value for mode in Mode]


def test_the_tags() -> None:
    tags = [pages.code(row[0])[0] for row in pages.rows(SECTIONS["Tags"])]
    one = Reference("r.example", "team/notes", "3-9f2c1ab").for_platform("linux/arm64").tag
    assert re.fullmatch(re.sub(r"<\w+>", r"\\w+", tags[1]), one)
    assert given.env.declared["REGISTRY_MOVING_TAG"].default == tags[2]


def test_what_is_told_of_times_and_annotations_is_so() -> None:
    assert credentials.HELPER_TIMEOUT == 20
    assert credentials.HELPER_CACHE_SECONDS == 3600
    assert commands.CommandRefresher(["x"]).timeout == 60
    for name in (ANNOTATION_REVISION, ANNOTATION_SOURCE, ANNOTATION_CREATED):
        assert f"`.{name.rpartition('.')[2]}`" in PAGE or f"`{name}`" in PAGE
