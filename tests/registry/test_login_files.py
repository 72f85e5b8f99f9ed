"""Files of logins as people keep them: each is read, or says what is wrong; none is nobody in silence."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.credentials import ANONYMOUS, CredentialStore
from registry.dockerconfig import HUB_KEY, DockerConfig
from registry.errors import CredentialError

HOST = "registry.example.org"
SECRET = "hunter2hunter2"
Written = Callable[[Any], Path]


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(content: Any) -> Path:
        path = tmp_path / "config"
        raw = content if isinstance(content, bytes) else str(content).encode()
        path.write_bytes(json.dumps(content).encode() if isinstance(content, dict | list) else raw)
        return path

    return write


def login(path: Path, host: str = HOST, repository: str = "") -> tuple[str, str]:
    found = CredentialStore(path).for_host(host, repository)
    return found.username, found.password


WIDE = b64("ci:" + "x" * 80)
SIGNS = "ci:" + "ÿ?>~" * 4  # with signs that the two alphabets spell differently


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (b64("ci:password").rstrip("="), ("ci", "password")),
        (WIDE[:76] + "\n" + WIDE[76:], ("ci", "x" * 80)),
        (WIDE[:64] + "\r\n" + WIDE[64:] + "\r\n", ("ci", "x" * 80)),
        (WIDE[:64] + "\n    " + WIDE[64:], ("ci", "x" * 80)),
        (b64("ci:password") + "\n", ("ci", "password")),
        (urlsafe_b64encode(SIGNS.encode()).decode(), ("ci", SIGNS[3:])),
        (urlsafe_b64encode(SIGNS.encode()).decode().rstrip("="), ("ci", SIGNS[3:])),
        (b64(SIGNS), ("ci", SIGNS[3:])),
        (b64("ci:password\n"), ("ci", "password")),
        (b64("ci:pass:word"), ("ci", "pass:word")),
    ],
)
def test_base64_in_every_spelling(written: Written, auth: str, expected: tuple[str, str]) -> None:
    assert login(written({"auths": {HOST: {"auth": auth}}})) == expected


@pytest.mark.parametrize("auth", ["a", "abcde", "c2Vj*cmV0", f"{SECRET}:{SECRET}", "====", b64("no colon")])
def test_what_is_no_base64_of_a_login_says_so(written: Written, auth: str) -> None:
    path = written({"auths": {HOST: {"auth": auth}}})
    with pytest.raises(CredentialError, match="is not base64") as raised:
        login(path)
    assert SECRET not in str(raised.value)


AUTH = {"auth": b64("ci:pw")}
CONFIG = json.dumps({"auths": {HOST: AUTH}})
OLDER = json.dumps({HOST: AUTH})
ABOUT = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pull"}}
MODERN, LEGACY = ".dockerconfigjson", ".dockercfg"
YAML = f"""\
# made by hand
apiVersion: v1
kind: Secret
metadata:
  name: pull
type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: >-
    {b64(CONFIG)[:40]}
    {b64(CONFIG)[40:]}
"""
YAML_TEXT = f"""\
kind: ConfigMap
apiVersion: v1
---
apiVersion: v1
kind: Secret
stringData:
  .dockerconfigjson: |
    {CONFIG}
"""


@pytest.mark.parametrize(
    "content",
    [
        {"auths": {HOST: AUTH}, "credHelpers": None, "credsStore": None, "HttpHeaders": None},
        {"auths": {HOST: {**AUTH, "username": None, "password": None, "identitytoken": None}}},
        {"auths": {"other.example": None, HOST: AUTH}, "credHelpers": {"third.example": None}},
        {"Auths": {HOST: {"Auth": AUTH["auth"]}}},
        {"auths": {HOST: {"Username": "ci", "Password": "pw", "auth": ""}}},
        {HOST: AUTH},
        {HOST: {"username": "ci", "password": "pw", "email": "ci@example.org"}},
        {f"https://{HOST}/v1/": AUTH, "other.example": {"email": "x"}},
        {"auths": None, HOST: AUTH},
        {"auths": {"other.example": AUTH}, HOST: AUTH, "plugins": {"x": {"auth": "no"}}},
        {**ABOUT, "data": {MODERN: b64(CONFIG)}},
        {**ABOUT, "data": {LEGACY: b64(OLDER)}, "stringData": None},
        {**ABOUT, "data": None, "stringData": {MODERN: CONFIG}},
        {**ABOUT, "stringData": {LEGACY: OLDER}},
        {**ABOUT, "data": {MODERN: b64("{}")}, "stringData": {MODERN: CONFIG}},
        {**ABOUT, "data": {"config.json": b64(CONFIG)}},
        {**ABOUT, "data": {MODERN: b64(CONFIG).rstrip("=") + "\n"}},
        {"kind": "List", "apiVersion": "v1", "items": [{"kind": "Secret", "data": {"token": "eA=="}},
                                                        {**ABOUT, "data": {MODERN: b64(CONFIG)}}]},
        b64(CONFIG),
        b"\xef\xbb\xbf" + CONFIG.encode(),
        CONFIG.encode("utf-16"),
        YAML,
        YAML_TEXT,
        f"auths:\n  {HOST}:\n    username: ci\n    password: pw\n",
    ],
)  # fmt: skip
def test_every_shape_gives_its_login(written: Written, content: Any) -> None:
    assert login(written(content)) == ("ci", "pw")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "is not valid JSON"),
        ("just words", "is not valid JSON"),
        ("a: [", "is not valid JSON"),
        ({"registry": HOST, "username": "ci", "password": SECRET}, "names no login"),
        ({HOST: SECRET}, "names no login"),
        ({**ABOUT, "data": {"password": b64(SECRET)}}, "Secret without .dockerconfigjson or .dockercfg"),
        ({**ABOUT, "data": None}, "Secret without .dockerconfigjson or .dockercfg"),
        ({**ABOUT, "data": {MODERN: "{" + SECRET}}, "the Secret's .dockerconfigjson is not valid JSON"),
        ({**ABOUT, "data": {MODERN: b64("[1]")}}, "the Secret's .dockerconfigjson must hold a JSON object"),
        ({**ABOUT, "data": {MODERN: 7}}, "must be a string"),
        ({**ABOUT, "kind": "SealedSecret", "spec": {SECRET: 1}}, "is a Kubernetes SealedSecret"),
        ({"kind": "List", "items": [{"kind": "Secret"}]}, "no Secret with .dockerconfigjson"),
        ({"kind": "List", "items": SECRET}, "no Secret with .dockerconfigjson"),
        ("kind: ConfigMap\napiVersion: v1\n", "is a Kubernetes ConfigMap"),
        ("kind: ConfigMap\n---\nauths: {}\n", "no Secret with .dockerconfigjson"),
    ],
)
def test_an_odd_file_says_what_is_wrong_with_it(written: Written, content: Any, fault: str) -> None:
    with pytest.raises(CredentialError) as raised:
        login(written(content))
    assert fault in raised.value.message
    assert raised.value.message.startswith(str(written(content)))
    assert SECRET not in raised.value.message


@pytest.mark.parametrize(
    ("content", "oddity"),
    [
        ({}, "names no login"),
        ({"auths": None}, "names no login"),
        ({"HttpHeaders": {"x": "y"}, "currentContext": "default"}, "names no login"),
        ({"auths": {HOST: {}}}, f"the entry for {HOST} is empty"),
        ({"auths": {HOST: None}}, f"the entry for {HOST} is empty"),
        ({"auths": {HOST: {"email": "x"}}}, f"the entry for {HOST} is empty"),
        ({"auths": {HOST: {"auth": "*"}, "fine.example": AUTH}}, f"the entry for {HOST}: \"auth\" is not"),
        ({"auths": {HOST: {}, "x.example": AUTH}, "credHelpers": {"x.example": "y"}}, "is empty"),
    ],
)  # fmt: skip
def test_what_leaves_requests_anonymous_is_told(written: Written, content: Any, oddity: str) -> None:
    (told,) = DockerConfig.read(written(content)).oddities()
    assert oddity in told


@pytest.mark.parametrize(
    "content",
    [{"auths": {HOST: {}}, "credsStore": "x"}, {"auths": {HOST: AUTH}}, {"credHelpers": {HOST: "x"}}],
)
def test_what_docker_writes_is_not_odd(written: Written, content: Any) -> None:
    assert list(DockerConfig.read(written(content)).oddities()) == []


# --- Namespaces

TEAMS: dict[str, Any] = {
    f"{HOST}/team-a": {"auth": b64("a:pa")},
    f"{HOST}/team-b": {"auth": b64("b:pb")},
    f"{HOST}/team-b/special": {"auth": b64("s:ps")},
}
WHOLE = {**TEAMS, HOST: {"auth": b64("w:pw")}}


@pytest.mark.parametrize(
    ("repository", "user"),
    [
        ("team-a/x", "a"),
        ("team-a", "a"),
        ("team-b/x", "b"),
        ("team-b/special", "s"),
        ("team-b/special/deep/x", "s"),
        ("team-b/specially", "b"),
        ("team-ab/x", ""),
        ("team-c/x", ""),
        ("", ""),
    ],
)
def test_the_longest_namespace_answers(written: Written, repository: str, user: str) -> None:
    path = written({"auths": dict(reversed(TEAMS.items()))})
    assert login(path, repository=repository)[0] == user
    assert login(written({"auths": WHOLE}), repository=repository)[0] == (user or "w")


@pytest.mark.parametrize(
    ("key", "host", "repository", "found"),
    [
        ("*.example.org", HOST, "x", True),
        ("*.example.org", "example.org", "x", False),
        ("*.example.org", "a.b.example.org", "x", False),
        ("*.*.example.org", "a.b.example.org", "x", True),
        ("reg*.example.org", HOST, "x", True),
        ("reg?stry.example.org", HOST, "x", True),
        ("*.example.org", f"{HOST}:5000", "x", False),
        ("*.example.org:5000", f"{HOST}:5000", "x", True),
        ("registry.*", "registry.lan:5000", "x", False),
        ("https://*.example.org/v2/", HOST, "x", True),
        ("*.example.org/team", HOST, "team/x", True),
        ("*.example.org/team", HOST, "other/x", False),
        ("*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu-west-1.amazonaws.com", "x", True),
        (f"{HOST}/v1/", HOST, "x", True),
        (f"{HOST}/v2/team", HOST, "team/x", True),
        (f"{HOST}/team/", HOST, "team/x", True),
        (f"https://{HOST}/team", HOST, "team/x", True),
        (f"https://{HOST}/team", HOST, "other/x", True),  # as Docker looks at addresses
        ("REGISTRY.example.org", HOST, "x", True),
        ("docker.io/acme", "docker.io", "acme/x", True),
        ("index.docker.io/acme", "docker.io", "acme/x", True),
        ("docker.io/acme", "docker.io", "library/x", False),
        (HUB_KEY, "docker.io", "acme/x", True),
        ("[::1]:5000/team", "[::1]:5000", "team/x", True),
    ],
)
def test_keys(written: Written, key: str, host: str, repository: str, found: bool) -> None:
    assert (login(written({"auths": {key: AUTH}}), host, repository)[0] == "ci") is found


def test_an_empty_entry_is_no_reason_against_another(written: Written) -> None:
    assert login(written({"auths": {HOST: {}, f"https://{HOST}/v2/": AUTH}})) == ("ci", "pw")
    assert login(written({"auths": {f"{HOST}/team": None, HOST: AUTH}}), repository="team/x") == ("ci", "pw")


def test_an_exact_host_is_closer_than_a_pattern(written: Written) -> None:
    path = written({"auths": {"*.example.org": AUTH, HOST: {"auth": b64("w:pw")}}})
    assert login(path, repository="x")[0] == "w"
    assert login(path, "other.example.org", "x")[0] == "ci"


def test_a_namespaces_entry_is_closer_than_a_store_and_a_helper_than_both(written: Written) -> None:
    auths = {f"{HOST}/team-a": {"auth": b64("a:pa")}, HOST: {}}
    config = DockerConfig.read(written({"auths": auths, "credsStore": "store"}))
    assert config.helper_for(HOST, "team-a/x") == ""
    assert config.helper_for(HOST, "team-b/x") == "store"
    named = DockerConfig.read(written({"auths": auths, "credsStore": "store", "credHelpers": {HOST: "own"}}))
    assert named.helper_for(HOST, "team-a/x") == "own"
    empty = DockerConfig.read(written({"auths": auths, "credsStore": "store", "credHelpers": {HOST: ""}}))
    assert empty.helper_for(HOST, "team-b/x") == "", "the file itself, in spite of the store"


def test_whoever_is_nobody_is_told_what_the_file_has(written: Written) -> None:
    store = CredentialStore(written({"auths": TEAMS}))
    assert store.for_host(HOST, "team-c/x") == ANONYMOUS
    assert store.why_anonymous(HOST, "team-c/x") == (
        f"the file has logins for {HOST}/team-a, {HOST}/team-b, {HOST}/team-b/special only"
    )
    assert store.why_anonymous("other.example") == ""
    with pytest.raises(CredentialError, match=f"No credentials for {HOST} are configured: the file has"):
        store.refresh(HOST, ANONYMOUS, lambda credential: None, "team-c/x")


class _Renews:
    """A refresher that gives each namespace another password, and counts."""

    def __init__(self, written: Written) -> None:
        self.runs = 0
        self._written = written

    def refresh(self, host: str) -> None:
        self.runs += 1
        self._written({"auths": {key: {"auth": b64(f"{key[-1]}:new{self.runs}")} for key in TEAMS}})


def test_a_refresh_is_shared_by_a_namespace_and_not_by_another(written: Written) -> None:
    renews = _Renews(written)
    store = CredentialStore(written({"auths": TEAMS}), renews)
    first, second = store.for_host(HOST, "team-a/x"), store.for_host(HOST, "team-b/x")
    assert store.refresh(HOST, first, lambda credential: None, "team-a/x").password == "new1"
    assert store.refresh(HOST, first, lambda credential: None, "team-a/y").password == "new1", "as late as x"
    assert renews.runs == 1
    renewed = store.refresh(HOST, second, lambda credential: None, "team-b/x")
    assert (renewed.username, renewed.password, renews.runs) == ("b", "new2", 2)


def test_a_refresh_on_suspicion_is_not_made_of_what_was_just_renewed(written: Written) -> None:
    path = written({"auths": TEAMS})
    assert not CredentialStore(path).refresh_may_help(HOST, ANONYMOUS, "team-a/x"), "nothing renews it"
    store = CredentialStore(path, _Renews(written))
    used = store.for_host(HOST, "team-a/x")
    assert store.refresh_may_help(HOST, used, "team-a/x")
    renewed = store.refresh(HOST, used, lambda credential: None, "team-a/x")
    assert store.refresh_may_help(HOST, used, "team-a/x"), "there is a newer one"
    assert not store.refresh_may_help(HOST, renewed, "team-a/x")
