"""Single sign-on against a provider that checks what a real one checks (`provider.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from access.models import AuditEntry, Membership, Team
from tests.access.provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.accounts import person

START, CALLBACK = "/login/sso/", "/login/sso/callback/"
pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings: Any) -> Iterator[Provider]:
    made = Provider()
    server = made.start()
    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = (
        made.url,
        CLIENT_ID,
        CLIENT_SECRET,
    )
    settings.OIDC_NAME = "Example ID"
    yield made
    server.shutdown()
    server.server_close()


@pytest.fixture
def by_groups(provider: Provider, settings: Any) -> Provider:
    settings.OIDC_TEAM_GROUPS = ["ops=Weather:operator", "staff=Weather:viewer", "maps=Maps:administrator"]
    settings.OIDC_ADMIN_GROUPS = ["platform"]
    return provider


def asked(client: Client, start: str = START) -> str:
    """The address at the provider that a login leads to."""
    answer = client.get(start)
    assert answer.status_code == 302, answer.content
    return answer["Location"]


def sent_back(address: str) -> str:
    """Where the provider sends the browser back to."""
    answer = requests.get(address, allow_redirects=False, timeout=60)
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def sign_in(client: Client, start: str = START) -> HttpResponse:
    answer: Any = client.get(sent_back(asked(client, start)))
    return answer  # type: ignore[no-any-return]


def is_in(client: Client) -> bool:
    return client.get(reverse("admin:index")).status_code == 200


def refused(answer: HttpResponse, status: int = 401) -> str:
    assert answer.status_code == status, answer.content
    text = answer.content.decode()
    assert "You are not signed in" in text
    assert "no-store" in answer["Cache-Control"]
    return text


# --- What should happen


def test_a_newcomer_enters_and_may_nothing_yet(provider: Provider, client: Client) -> None:
    provider.person |= {"email": "ada@example.org", "given_name": "Ada", "family_name": "Lovelace"}
    answer = sign_in(client)
    assert (answer.status_code, answer["Location"]) == (302, reverse("admin:index"))
    user = User.objects.get(username="ada")
    assert (user.email, user.get_full_name()) == ("ada@example.org", "Ada Lovelace")
    assert not user.has_usable_password()
    assert not user.is_superuser
    assert not Membership.objects.exists()
    assert is_in(client)
    assert {entry.action for entry in AuditEntry.objects.all()} == {"user.added", "login.succeeded"}


def test_the_same_sub_is_the_same_person_whatever_else_changes(provider: Provider, client: Client) -> None:
    sign_in(client)
    provider.person |= {"preferred_username": "countess", "email": "other@example.org"}
    sign_in(Client())
    assert [user.username for user in User.objects.all()] == ["ada"]


def test_another_issuer_with_the_same_sub_is_another_person(
    provider: Provider, client: Client, settings: Any
) -> None:
    sign_in(client)
    other = Provider(person={"sub": "1001", "preferred_username": "grace"})
    server = other.start()
    settings.OIDC_ISSUER = other.url
    sign_in(Client())
    server.shutdown()
    server.server_close()
    assert set(User.objects.values_list("username", flat=True)) == {"ada", "grace"}


def test_one_comes_back_to_the_page_that_was_asked_for(provider: Provider, client: Client) -> None:
    page = reverse("admin:servers_server_changelist")
    assert sign_in(client, f"{START}?next={page}")["Location"] == page
    away = sign_in(Client(), f"{START}?next=https://evil.example.org/")
    assert away["Location"] == reverse("admin:index")


def test_what_is_asked_has_pkce_nonce_and_state_and_no_secret(provider: Provider, client: Client) -> None:
    query = parse_qs(urlsplit(asked(client, f"{START}?scope=admin&auth_params=prompt%3Dnone")).query)
    assert query["code_challenge_method"] == ["S256"]
    assert {"nonce", "state", "code_challenge"} <= set(query)
    assert set(query["scope"][0].split()) == {"openid", "profile", "email"}
    assert "prompt" not in query
    assert CLIENT_SECRET not in str(query)


def test_the_login_page_has_one_button_for_it(provider: Provider, client: Client) -> None:
    page = client.get(f"{reverse('admin:login')}?next=/admin/servers/server/").content.decode()
    assert page.count("Sign in with Example ID") == 1
    assert f'href="{START}?next=%2Fadmin%2Fservers%2Fserver%2F"' in page
    assert 'name="password"' in page


def test_without_a_provider_there_is_no_button_and_no_door(client: Client) -> None:
    assert "Sign in with" not in client.get(reverse("admin:login")).content.decode()
    assert client.get(START).status_code == client.get(CALLBACK).status_code == 404


# --- Groups


def test_groups_give_teams_and_roles(by_groups: Provider, client: Client) -> None:
    by_groups.person["groups"] = ["staff", "ops", "unknown"]
    assert sign_in(client).status_code == 302
    user = User.objects.get(username="ada")
    assert [(m.team.name, m.role) for m in Membership.objects.filter(user=user)] == [("Weather", "operator")]
    assert not user.is_superuser


def test_who_left_a_group_loses_what_it_gave(by_groups: Provider, client: Client) -> None:
    by_groups.person["groups"] = ["ops", "maps", "platform"]
    sign_in(client)
    user = User.objects.get(username="ada")
    assert user.is_superuser
    own = Team.objects.create(name="Made by hand")
    Membership.objects.create(team=own, user=user, role="viewer")
    by_groups.person["groups"] = ["staff"]
    sign_in(client)
    user.refresh_from_db()
    assert not user.is_superuser
    held = {(m.team.name, m.role) for m in Membership.objects.filter(user=user)}
    assert held == {("Weather", "viewer"), ("Made by hand", "viewer")}


def test_what_a_login_gives_and_takes_is_written_down(by_groups: Provider) -> None:
    """Until somebody has entered, nobody is known: an address gives the team, and the account."""
    by_groups.person["groups"] = ["ops"]
    sign_in(Client(REMOTE_ADDR="192.0.2.7"))
    by_groups.person["groups"] = []
    sign_in(Client(REMOTE_ADDR="192.0.2.8"))
    entries = AuditEntry.objects.order_by("id").values_list("action", "actor", "via", "address")
    assert list(entries) == [
        ("user.added", "", "admin", "192.0.2.7"),
        ("team.created", "", "admin", "192.0.2.7"),
        ("member.added", "", "admin", "192.0.2.7"),
        ("login.succeeded", "ada", "admin", "192.0.2.7"),
        ("member.removed", "", "admin", "192.0.2.8"),
        ("login.refused", "", "admin", "192.0.2.8"),
    ]


def test_who_is_in_no_group_any_more_is_refused_and_loses_it_all(by_groups: Provider, client: Client) -> None:
    by_groups.person["groups"] = ["ops"]
    sign_in(client)
    by_groups.person["groups"] = []
    later = Client()
    assert "none of the groups" in refused(sign_in(later), 403)
    assert not is_in(later)
    assert not Membership.objects.exists()
    assert AuditEntry.objects.filter(action="login.refused").count() == 1


@pytest.mark.parametrize("claim", [None, 7, {"ops": True}, [["ops"]]])
def test_groups_that_are_no_list_of_names_are_none(by_groups: Provider, client: Client, claim: Any) -> None:
    by_groups.person["groups"] = claim
    refused(sign_in(client), 403)
    assert not User.objects.exists()


# --- What must not happen


def test_a_local_account_is_not_taken_over_by_its_name_or_address(provider: Provider, client: Client) -> None:
    local = person("ada", email="ada@example.org", is_superuser=True)
    provider.person |= {"email": "ada@example.org", "email_verified": True}
    page = refused(sign_in(client), 403)
    assert "There is an account named ada already" in page
    assert "manage.py link_login ada 1001" in page
    assert not is_in(client)
    call_command("link_login", "ada", "1001")
    linked = AuditEntry.objects.get(action="user.linked")
    assert (linked.by, linked.via, linked.address) == (local, "command", None)
    assert sign_in(client).status_code == 302
    assert client.session["_auth_user_id"] == str(local.pk)
    with pytest.raises(CommandError, match="linked to another account already"):
        call_command("link_login", person("eve").username, "1001")


def test_a_name_that_only_looks_like_another_is_that_one(provider: Provider, client: Client) -> None:
    person("ada")
    provider.person["preferred_username"] = "\uff41da"  # a full-width a
    assert "There is an account named ada already" in refused(sign_in(client), 403)


def test_who_is_switched_off_stays_out(provider: Provider, client: Client) -> None:
    sign_in(client)
    User.objects.update(is_active=False)
    assert not is_in(client)
    assert "switched off" in refused(sign_in(Client()), 403)


@pytest.mark.parametrize(
    "lies",
    [
        {"issuer": "https://other.example.org"},
        {"iss": "https://other.example.org"},
        {"aud": "another-client"},
        {"aud": ["mcphost", "x"], "azp": "x"},
        {"exp": 1},
        {"nonce": "of another login"},
        {"key": "other"},
        {"key": "none"},
        {"userinfo_sub": "2002"},
    ],
    ids=str,
)
def test_a_provider_that_lies_lets_nobody_in(
    provider: Provider, client: Client, lies: dict[str, Any]
) -> None:
    if "issuer" in lies:
        provider.lies = lies
        refused(client.get(START))  # type: ignore[arg-type]
    else:
        address = asked(client)
        provider.lies = lies
        provider.person |= {key: lies[key] for key in ("azp",) if key in lies}
        page = refused(client.get(sent_back(address)))  # type: ignore[arg-type]
        assert "other.example.org" not in page
    assert not is_in(client)
    assert not User.objects.exists()


def test_an_answer_for_another_browser_or_twice_is_refused(provider: Provider, client: Client) -> None:
    back = sent_back(asked(client))
    refused(Client().get(back))  # type: ignore[arg-type]
    refused(client.get(back.replace("state=", "state=x")))  # type: ignore[arg-type]
    assert client.get(back).status_code == 302
    refused(client.get(back))  # type: ignore[arg-type]
    assert not provider.refusals


def test_a_code_of_another_login_does_not_fit(provider: Provider, client: Client) -> None:
    """PKCE: the provider refuses a code whose login began elsewhere."""
    stolen = parse_qs(urlsplit(sent_back(asked(Client()))).query)["code"][0]
    mine = parse_qs(urlsplit(sent_back(asked(client))).query)
    refused(client.get(CALLBACK, {"code": stolen, "state": mine["state"][0]}))  # type: ignore[arg-type]
    assert provider.refusals == ["invalid_grant"]


def test_who_cancels_is_told(provider: Provider, client: Client) -> None:
    provider.lies = {"deny": True}
    assert "left without a login" in refused(sign_in(client), 403)


def test_a_wrong_client_secret_and_a_provider_that_is_away(
    provider: Provider, client: Client, settings: Any
) -> None:
    settings.OIDC_CLIENT_SECRET = "wrong"
    page = refused(sign_in(client))
    assert "wrong" not in page
    assert provider.refusals == ["invalid_client"]
    settings.OIDC_ISSUER = "http://127.0.0.1:1"
    refused(client.get(START))  # type: ignore[arg-type]


# --- Passwords beside it


def test_passwords_can_be_switched_off_where_there_is_a_provider(
    provider: Provider, client: Client, settings: Any
) -> None:
    person("ada")
    settings.PASSWORD_LOGIN = False
    url = reverse("admin:login")
    assert 'name="password"' not in client.get(url).content.decode()
    answer = client.post(url, {"username": "ada", "password": "ada-password"})
    assert "Passwords are switched off" in answer.content.decode()
    assert not is_in(client)


def test_sso_is_not_locked_with_the_passwords(provider: Provider, client: Client) -> None:
    sign_in(client)
    User.objects.get(username="ada").set_password("x")
    attacker = Client()
    for _ in range(11):
        answer = attacker.post(reverse("admin:login"), {"username": "ada", "password": "guess"})
    assert answer.status_code == 429
    assert sign_in(Client()).status_code == 302
    assert SocialAccount.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "id"),
    [
        ({"OIDC_ISSUER": "https://id.example.org", "OIDC_CLIENT_ID": ""}, "mcphost.E020"),
        ({"OIDC_ISSUER": "http://id.example.org", "OIDC_CLIENT_ID": "x"}, "mcphost.E021"),
        ({"PASSWORD_LOGIN": False}, "mcphost.E022"),
        ({"OIDC_TEAM_GROUPS": ["ops=Weather:emperor"]}, "mcphost.E023"),
        ({"OIDC_TEAM_GROUPS": ["ops"]}, "mcphost.E023"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(settings: Any, given: dict[str, Any], id: str) -> None:
    for name, value in given.items():
        setattr(settings, name, value)
    assert id in {fault.id for fault in run_checks(tags=["mcphost"])}
