"""The services for logins that a team gives to pull images with.

Each is one transaction and writes an audit entry, which never holds the password.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction

from access import audit
from access.actor import Actor
from access.models import Team
from hosting.errors import Invalid
from registry.pull_rights import login_host
from servers.models import RegistryLogin

LONGEST = 16_384  # clouds give long tokens as passwords


@transaction.atomic
def give(*, team: Team, host: str, username: str, password: str, by: Actor) -> RegistryLogin:
    """Sets or replaces the team's login at a registry (`host[:port]`); later deployments use it.

    An empty `password` keeps the one that is set. Raises `Invalid` and Django's `ValidationError`.
    """
    Team.objects.select_for_update(no_key=True).get(pk=team.pk)  # two requests must not both insert it
    held = RegistryLogin.objects.filter(team=team, host=login_host(host.strip())).first()
    before = _shown(held) if held else None
    login = held or RegistryLogin(team=team, host=host)
    login.username, login.updated_by = username, by.user
    if not password and held is None:
        raise Invalid("A login needs a password or a token.", field="password")
    if password:
        login.seal(checked(password))
    login.full_clean(exclude=["sealed", "updated_by"])
    login.save()
    after = {**_shown(login), "anew": bool(password)}
    audit.record(action="registry_login.set", target=login, by=by, before=before, after=after)
    return login


@transaction.atomic
def take_away(*, login: RegistryLogin, by: Actor) -> None:
    """Removes a login. Servers that run are not changed; later pulls from there are anonymous."""
    audit.record(action="registry_login.removed", target=login, by=by, before=_shown(login))
    login.delete()


def checked(password: str) -> str:
    """Returns the password; raises `Invalid` if it is too long or not one printable line."""
    if len(password) > LONGEST or not password.isprintable():
        raise Invalid(f"Must be one line of at most {LONGEST} printable characters.", field="password")
    return password


def _shown(login: RegistryLogin) -> dict[str, Any]:
    return {"team": login.team.name, "registry": login.host, "username": login.username}
