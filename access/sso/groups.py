"""Gives teams and rights by the provider's groups, at each login (OIDC_TEAM_GROUPS, OIDC_ADMIN_GROUPS)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from access import people, teams
from access.actor import Actor
from access.models import Role, Team

ORDER = list(Role)


@dataclass(frozen=True)
class Rule:
    """Members of `group` get `role` in `team`."""

    group: str
    team: str
    role: Role


def rules(entries: Iterable[str]) -> list[Rule]:
    """Reads entries such as `weather-ops=Weather:operator`. Raises `ValueError` for a wrong one."""
    return [_rule(entry) for entry in entries]


def _rule(entry: str) -> Rule:
    group, _, target = entry.partition("=")
    team, _, role = target.rpartition(":")
    if not (group.strip() and team.strip()):
        raise ValueError(f"{entry}: it must be group=team:role.")
    return Rule(group.strip(), team.strip(), Role(role.strip()))


def decide() -> bool:
    """Tells whether groups decide who may enter."""
    return bool(settings.OIDC_TEAM_GROUPS or settings.OIDC_ADMIN_GROUPS)


def of(claims: dict[str, Any]) -> set[str]:
    """Returns the groups in the claims; none if the claim is missing or is no list of names."""
    named = claims.get(settings.OIDC_GROUPS_CLAIM)
    named = [named] if isinstance(named, str) else named
    return {name for name in named if isinstance(name, str)} if isinstance(named, list) else set()


def let_in(groups: set[str]) -> bool:
    """Tells whether somebody with these groups may enter."""
    known = {rule.group for rule in rules(settings.OIDC_TEAM_GROUPS)} | set(settings.OIDC_ADMIN_GROUPS)
    return not decide() or bool(groups & known)


@transaction.atomic
def apply(user: User, groups: set[str], by: Actor) -> None:
    """Gives and takes administration and memberships as the settings say. Other teams are not changed."""
    if settings.OIDC_ADMIN_GROUPS:
        user.is_superuser = bool(groups & set(settings.OIDC_ADMIN_GROUPS))
        people.save(user=user, by=by, last_may_go=True)
    wanted: dict[str, Role | None] = {}
    for rule in rules(settings.OIDC_TEAM_GROUPS):
        earned = rule.role if rule.group in groups else None
        wanted[rule.team] = _higher(wanted.get(rule.team), earned)
    for name, role in wanted.items():
        _belong(user, name, role, by)


def _belong(user: User, name: str, role: Role | None, by: Actor) -> None:
    team = Team.objects.filter(name__iexact=name).first()
    if role is not None:
        teams.set_member(team=team or teams.create(name=name, by=by), user=user, role=role, by=by)
    elif team is not None:
        teams.remove_member(team=team, user=user, by=by)


def _higher(one: Role | None, other: Role | None) -> Role | None:
    held = [role for role in (one, other) if role is not None]
    return max(held, key=ORDER.index) if held else None
