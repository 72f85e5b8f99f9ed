"""A team's login at a registry: who may set it, who may read it (nobody), and where it goes (to its host)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from access.actor import PLATFORM
from access.models import AuditEntry, Membership, Role, Team
from hosting.errors import SourceError, UserError
from registry.credentials import Credential, FixedCredential
from registry.errors import RegistryError
from registry.reference import Reference
from servers import registry_logins
from servers.deploying import pulls, registries
from servers.models import RegistryLogin
from tests.accounts import api, make_server, outsider, owner, staff, team, teammate, viewer, with_member
from tests.platform import quick
from tests.registry.http import Request, Response, serving

__all__ = ["api", "outsider", "owner", "quick", "staff", "team", "teammate", "viewer"]

Api = Callable[[User], APIClient]
SECRET = "hunter-two-of-the-team"
GIVEN = {"username": "robot", "password": SECRET}
HOST = "quay.example.org:5000"


def url_of(team: Team, host: str = "") -> str:
    return f"/api/teams/{team.pk}/registry-logins/" + (f"{host}/" if host else "")


@pytest.fixture
def chief(team: Team) -> User:
    """Administers the team."""
    user = User.objects.create_user("chief")
    with_member(team, user, Role.ADMINISTRATOR)
    return user


def give(team: Team, host: str = HOST, password: str = SECRET) -> RegistryLogin:
    return registry_logins.give(team=team, host=host, username="robot", password=password, by=PLATFORM)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


# --- Who may


def test_members_who_do_not_administer_the_team_neither_see_nor_change_it(
    api: Api, team: Team, teammate: User, viewer: User
) -> None:
    give(team)
    for person in (teammate, viewer):
        client = api(person)
        assert client.get(url_of(team)).status_code == 403
        assert client.put(url_of(team, HOST), GIVEN, format="json").status_code == 403
        assert client.delete(url_of(team, HOST)).status_code == 403
        page = browser(person).get(reverse("admin:access_team_change", args=[team.pk])).content.decode()
        assert HOST not in page
        assert "registry_logins" not in page
    assert RegistryLogin.objects.get().reveal() == SECRET


def test_an_administrator_of_another_team_finds_nothing(api: Api, team: Team, outsider: User) -> None:
    give(team)
    with_member(Team.objects.create(name="Other"), outsider, Role.ADMINISTRATOR)
    client = api(outsider)
    for answer in (
        client.get(url_of(team)),
        client.put(url_of(team, HOST), GIVEN, format="json"),
        client.delete(url_of(team, HOST)),
    ):
        assert answer.status_code == 404
    assert RegistryLogin.objects.get().team == team


def test_an_operator_forges_the_teams_page(team: Team, teammate: User) -> None:
    form = page_form(team, **{"registry_logins-0-host": HOST, **row(0, "robot", SECRET)})
    assert (
        browser(teammate).post(reverse("admin:access_team_change", args=[team.pk]), form).status_code == 403
    )
    assert not RegistryLogin.objects.exists()


# --- That nobody reads it


def test_it_goes_in_and_never_comes_out(api: Api, team: Team, chief: User, staff: User) -> None:
    client = api(chief)
    made = client.put(url_of(team, "Quay.Example.org:5000"), GIVEN, format="json")
    assert made.status_code == 200, made.content
    assert made.json().keys() == {"host", "username", "updated_at", "updated_by"}
    assert made.json()["host"] == HOST
    page = browser(chief).get(reverse("admin:access_team_change", args=[team.pk])).content.decode()
    assert HOST in page
    seen = [
        made.content.decode(),
        client.get(url_of(team)).content.decode(),
        page,
        api(staff).get("/api/audit/").content.decode(),
        json.dumps(list(AuditEntry.objects.values_list("before", "after", "target"))),
        repr(RegistryLogin.objects.get()),
        repr(pulls.logins_of(make_server(chief, team=team))),
    ]
    for text in seen:
        assert SECRET not in text
    assert bytes(RegistryLogin.objects.get().sealed).find(SECRET.encode()) == -1


def test_it_is_rotated_and_taken_away(api: Api, team: Team, chief: User) -> None:
    client = api(chief)
    client.put(url_of(team, HOST), GIVEN, format="json")
    client.put(url_of(team, HOST), {**GIVEN, "password": "another-one"}, format="json")
    login = RegistryLogin.objects.get()
    assert (login.reveal(), login.updated_by) == ("another-one", chief)
    assert client.delete(url_of(team, HOST)).status_code == 204
    assert client.delete(url_of(team, HOST)).status_code == 404
    actions = list(AuditEntry.objects.order_by("pk").values_list("action", flat=True))
    wanted = ["registry_login.set", "registry_login.set", "registry_login.removed"]
    assert [action for action in actions if action.startswith("registry")] == wanted


def test_keys_rotate_with_it(team: Team, settings: Any) -> None:
    give(team)
    new, old = Fernet.generate_key().decode(), settings.SECRET_ENCRYPTION_KEYS
    settings.SECRET_ENCRYPTION_KEYS = [new, *old]
    call_command("rotate_secrets")
    settings.SECRET_ENCRYPTION_KEYS = [new]
    assert RegistryLogin.objects.get().reveal() == SECRET


def test_a_login_that_no_key_opens_says_so(team: Team, chief: User, settings: Any) -> None:
    give(team)
    settings.SECRET_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(UserError, match="No key of SECRET_ENCRYPTION_KEYS"):
        pulls.of(make_server(chief, team=team))


@pytest.mark.parametrize(
    ("host", "body", "field"),
    [
        ("not a host", GIVEN, ""),
        ("https:%2F%2Fquay.example.org", GIVEN, ""),
        (HOST, {"username": "a:b", "password": "x"}, "username"),
        (HOST, {"username": "a\nb", "password": "x"}, "username"),
        (HOST, {"username": "robot"}, "password"),
        (HOST, {"username": "robot", "password": ""}, "password"),
        (HOST, {"username": "robot", "password": "two\nlines"}, "password"),
    ],
)
def test_what_is_no_login_is_refused(
    api: Api, team: Team, chief: User, host: str, body: dict[str, str], field: str
) -> None:
    answer = api(chief).put(url_of(team, host), body, format="json")
    assert answer.status_code in ((400, 404) if not field else (400,))
    assert field in [error["field"] for error in answer.json().get("errors", [{"field": ""}])]
    assert not RegistryLogin.objects.exists()


# --- The page of the team


def page_form(team: Team, rows: int = 1, initial: int = 0, **changed: Any) -> dict[str, Any]:
    members = list(team.memberships.all())
    form: dict[str, Any] = {
        "name": team.name,
        "memberships-TOTAL_FORMS": len(members), "memberships-INITIAL_FORMS": len(members),
        "registry_logins-TOTAL_FORMS": rows, "registry_logins-INITIAL_FORMS": initial,
    }  # fmt: skip
    for number, member in enumerate(members):
        about = {"id": member.pk, "team": team.pk, "role": member.role}
        form |= {f"memberships-{number}-{name}": value for name, value in about.items()}
    for number, login in enumerate(team.registry_logins.all()):
        form |= {f"registry_logins-{number}-id": login.pk, f"registry_logins-{number}-team": team.pk}
    return {**form, **changed}


def row(number: int, username: str, password: str) -> dict[str, str]:
    return {
        f"registry_logins-{number}-username": username, f"registry_logins-{number}-password": password,
    }  # fmt: skip


def test_it_is_kept_on_the_page_of_the_team(team: Team, chief: User) -> None:
    client, page = browser(chief), reverse("admin:access_team_change", args=[team.pk])
    first = page_form(team, **{"registry_logins-0-host": "Quay.example.org:443", **row(0, "robot", SECRET)})
    assert client.post(page, first).status_code == 302
    login = RegistryLogin.objects.get()
    assert (login.host, login.reveal(), login.updated_by) == ("quay.example.org", SECRET, chief)

    # Another name, the same password; and a host that does not change, whatever is sent.
    second = page_form(team, initial=1, **row(0, "robot-2", ""), **{"registry_logins-0-host": "evil.example"})
    assert client.post(page, second).status_code == 302
    login.refresh_from_db()
    assert (login.host, login.username, login.reveal()) == ("quay.example.org", "robot-2", SECRET)

    gone = page_form(team, initial=1, **row(0, "robot-2", ""), **{"registry_logins-0-DELETE": "on"})
    assert client.post(page, gone).status_code == 302
    assert not RegistryLogin.objects.exists()


def test_the_page_says_what_is_wrong(team: Team, chief: User) -> None:
    client, page = browser(chief), reverse("admin:access_team_change", args=[team.pk])
    for given, said in (
        ({"registry_logins-0-host": "https://quay.example.org", **row(0, "robot", SECRET)}, "its port where"),
        ({"registry_logins-0-host": HOST, **row(0, "robot", "")}, "needs a password"),
        ({"registry_logins-0-host": HOST, **row(0, "a:b", SECRET)}, "without a colon"),
    ):
        answer = client.post(page, page_form(team, **given))
        assert answer.status_code == 200
        assert said in answer.content.decode()
        assert SECRET not in answer.content.decode()
    give(team)
    twice = page_form(team, 2, 1, **row(0, "robot", ""), **row(1, "other", "x" * 8))
    answer = client.post(page, {**twice, "registry_logins-1-host": HOST.upper()})
    assert answer.status_code in (200, 302)
    assert RegistryLogin.objects.count() == 1


# --- Where it goes


def test_it_goes_to_its_host_and_to_no_other(team: Team, chief: User, quick: None) -> None:
    def refuses(request: Request) -> Response:
        return Response(401, b"{}", {"WWW-Authenticate": 'Basic realm="r"'})

    server = make_server(chief, team=team)
    with serving(refuses) as its, serving(refuses) as another:
        give(team, its.host)
        for host in (its.host, another.host):
            with pytest.raises(SourceError):
                pulls.platforms_of(server, f"{host}/some/image:1")
        sent = base64.b64encode(f"robot:{SECRET}".encode()).decode()
        assert [r.headers.get("Authorization") for r in its.requests] == [None, f"Basic {sent}"]
        assert another.requests
        assert {r.headers.get("Authorization") for r in another.requests} == {None}


def test_a_redirect_takes_it_nowhere(team: Team, chief: User, quick: None) -> None:
    config = b'{"architecture": "amd64", "os": "linux"}'
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    manifest = json.dumps({"config": {"digest": digest}, "mediaType": "application/x"}).encode()

    with serving(lambda request: Response(200, config)) as elsewhere:

        def answer(request: Request) -> Response:
            if "Authorization" not in request.headers:
                return Response(401, b"{}", {"WWW-Authenticate": 'Basic realm="r"'})
            if "/manifests/" in request.path:
                return Response(200, manifest)
            return Response(307, b"", {"Location": f"http://{elsewhere.host}/blob"})

        with serving(answer) as its:
            give(team, its.host)
            assert pulls.platforms_of(make_server(chief, team=team), f"{its.host}/a:1") == ("linux/amd64",)
        assert elsewhere.requests
        assert all(SECRET not in str(request.headers) for request in elsewhere.requests)
        assert {request.headers.get("Authorization") for request in elsewhere.requests} == {None}


def test_the_platforms_login_is_not_asked_where_a_team_pulls_as_itself(
    team: Team, chief: User, quick: None, settings: Any, tmp_path: Any
) -> None:
    """Both know the same registry; the platform's could read it."""

    def refuses(request: Request) -> Response:
        return Response(401, b"{}", {"WWW-Authenticate": 'Basic realm="r"'})

    with serving(refuses) as its:
        settings.REGISTRY_AUTH_DOCKERCONFIG = tmp_path / "config.json"
        settings.REGISTRY_AUTH_DOCKERCONFIG.write_text(
            json.dumps({"auths": {its.host: {"username": "platform", "password": "of-the-platform"}}})
        )
        registries.credentials.cache_clear()
        with pytest.raises(SourceError, match="without a login"):
            pulls.platforms_of(make_server(chief, team=team), f"{its.host}/some/image:1")
        assert {request.headers.get("Authorization") for request in its.requests} == {None}


def test_a_client_of_one_login_never_gets_another(tmp_path: Any) -> None:
    store = FixedCredential(Credential("robot", SECRET))
    with pytest.raises(RegistryError):
        store.refresh("quay.example.org", store.for_host("quay.example.org"), _refuse)
    assert store.for_host("quay.example.org").username == "robot"


def _refuse(credential: Credential) -> None:
    raise RegistryError("no", kind="auth_expired")


def test_what_a_registry_repeats_of_it_is_masked(team: Team, chief: User) -> None:
    give(team)
    server = make_server(chief, team=team)
    redact = server.redactor(*pulls.secrets_of(server))
    basic = base64.b64encode(f"robot:{SECRET}".encode()).decode()
    assert redact(f"refused {SECRET} and Basic {basic}") == "refused *** and Basic ***"


def test_a_server_that_leaves_the_team_leaves_its_logins(team: Team, chief: User) -> None:
    give(team)
    server = make_server(chief, team=team)
    assert set(pulls.of(server).given) == {HOST}
    for other in (None, Team.objects.create(name="Other")):
        server.team = other
        assert pulls.of(server).given == {}
        assert pulls.of(server).rights.logins == frozenset()
    Membership.objects.all().delete()
    team.delete()
    assert not RegistryLogin.objects.exists()


def test_the_reference_and_the_login_agree_on_docker_hub(team: Team, chief: User) -> None:
    give(team, "index.docker.io")
    allowed = pulls.of(make_server(chief, team=team))
    ref = Reference.parse("acme/tool")
    assert allowed.credential(ref.host, allowed.rights.way_to(ref)).username == "robot"
