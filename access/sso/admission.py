"""Finds the account that a login opens: the one that is linked to issuer and `sub`, or a new one."""

from __future__ import annotations

import re
import shlex
from typing import Any

from allauth.socialaccount.models import SocialAccount, SocialLogin
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from access import people
from access.actor import Actor
from access.sso import groups, provider

LONGEST_NAME = 150


class Refused(Exception):
    """The login is refused: a sentence for the person, and a hint who could help."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def admit(login: SocialLogin, by: Actor) -> User:
    """Returns the user who may enter, and applies their groups. Raises `Refused`."""
    claims = login.account.extra_data
    named = groups.of(claims)
    account = SocialAccount.objects.filter(provider=login.account.provider, uid=login.account.uid).first()
    if account is None and not groups.let_in(named):
        raise _not_in_a_group()
    user = account.user if account else _newcomer(login, claims, by)
    if not user.is_active:
        raise Refused("This account is switched off.", "An administrator can switch it on again.")
    groups.apply(user, named, by)
    if not groups.let_in(named):
        raise _not_in_a_group()
    return user


@transaction.atomic
def _newcomer(login: SocialLogin, claims: dict[str, Any], by: Actor) -> User:
    name = _name(claims)
    linking = ["link_login", name, login.account.uid]
    if User.objects.filter(username__iexact=name).exists():
        raise Refused(
            f"There is an account named {name} already, and it is not linked to this login.",
            f"If it is yours, an administrator links it: manage.py {shlex.join(linking)}",
        )
    user = User(
        username=name,
        email=_text(claims, "email")[:254],
        first_name=_text(claims, "given_name")[:LONGEST_NAME],
        last_name=_text(claims, "family_name")[:LONGEST_NAME],
    )
    user.set_unusable_password()
    people.save(user=user, by=by)
    link(user, login.account.uid)
    return user


def link(user: User, sub: str) -> None:
    """Lets this `sub` open the account. Raises `IntegrityError` if it opens another."""
    SocialAccount.objects.create(user=user, provider=provider.app().provider_id, uid=sub)


def _name(claims: dict[str, Any]) -> str:
    """Returns the user name, normalised as the login form does: look-alike letters become the same."""
    said = _text(claims, settings.OIDC_USERNAME_CLAIM) or _text(claims, "email") or claims["sub"]
    return re.sub(r"[^\w.@+-]", "-", User.normalize_username(said))[:LONGEST_NAME]


def _text(claims: dict[str, Any], name: str) -> str:
    """Returns a claim that is text, without unprintable characters; "" for another one."""
    said = claims.get(name)
    return "".join(letter for letter in said if letter.isprintable()) if isinstance(said, str) else ""


def _not_in_a_group() -> Refused:
    return Refused(
        "You are in none of the groups that may enter.",
        "OIDC_TEAM_GROUPS and OIDC_ADMIN_GROUPS name them; your provider says who is in them.",
    )
