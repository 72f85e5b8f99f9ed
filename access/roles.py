"""Who may do what. Administrators may do everything; others by ownership and by their roles in teams.

Callers pass the owner and team of a row, and need not know about roles.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q, QuerySet

from access.models import Membership, Role, Team
from access.models.team import OPERATING

Person: TypeAlias = AbstractBaseUser | AnonymousUser
Roles: TypeAlias = type[Role] | tuple[Role, ...]
EVERYTHING, NOTHING = Q(), Q(pk__in=[])


def is_administrator(user: Person) -> bool:
    """Tells whether somebody is an administrator of the whole platform, not of a team."""
    return bool(user.is_active and getattr(user, "is_superuser", False))


def may_add(user: Person) -> bool:
    """Tells whether somebody may add servers: administrators, and operators of any team."""
    return is_administrator(user) or bool(user.is_active and _memberships(user, OPERATING).exists())


def seen_by(user: Person) -> Q:
    """Returns a filter for the rows (with `owner` and `team`) that somebody may see."""
    return _rows(user, Role)


def operated_by(user: Person) -> Q:
    """Returns a filter for the rows (with `owner` and `team`) that somebody may change, deploy and delete."""
    return _rows(user, OPERATING)


def sees(user: Person, *, owner_id: int, team_id: int | None) -> bool:
    """Tells whether somebody may see a row with this owner and team."""
    return _reaches(user, Role, owner_id, team_id)


def operates(user: Person, *, owner_id: int, team_id: int | None) -> bool:
    """Tells whether somebody may change, deploy and delete a row with this owner and team."""
    return _reaches(user, OPERATING, owner_id, team_id)


def may_share(user: Person, *, owner_id: int, team_id: int | None) -> bool:
    """Tells whether somebody may decide to which team a server belongs.

    That is its owner, an administrator of its team, or one of the platform.
    """
    return _reaches(user, (Role.ADMINISTRATOR,), owner_id, team_id)


def operated_teams(user: Person) -> QuerySet[Team]:
    """Returns the teams to which somebody may give a server."""
    if is_administrator(user):
        return Team.objects.all()
    return Team.objects.filter(pk__in=_memberships(user, OPERATING).values("team_id"))


def administers(user: Person, team: Team) -> bool:
    """Tells whether somebody may add and remove members of the team."""
    return is_administrator(user) or (
        bool(user.is_active) and _memberships(user, (Role.ADMINISTRATOR,)).filter(team=team).exists()
    )


def teams_seen(user: Person) -> QuerySet[Team]:
    """Returns the teams that somebody belongs to; all for an administrator."""
    if is_administrator(user):
        return Team.objects.all()
    return Team.objects.filter(pk__in=_memberships(user, Role).values("team_id"))


def members_of(team_id: int | None) -> list[int]:
    """Returns the ids of the team's members."""
    if team_id is None:
        return []
    return list(Membership.objects.order_by().filter(team=team_id).values_list("user_id", flat=True))


def teams_of(user: Person) -> frozenset[int]:
    """Returns the ids of the teams that somebody belongs to."""
    return frozenset(_memberships(user, Role).values_list("team_id", flat=True))


def _rows(user: Person, roles: Roles) -> Q:
    if is_administrator(user):
        return EVERYTHING
    if not user.is_active:
        return NOTHING
    return Q(owner_id=user.pk) | Q(team_id__in=_memberships(user, roles).values("team_id"))


def _reaches(user: Person, roles: Roles, owner_id: int, team_id: int | None) -> bool:
    if not user.is_active:
        return False
    if is_administrator(user) or user.pk == owner_id:
        return True
    return team_id is not None and _memberships(user, roles).filter(team=team_id).exists()


def _memberships(user: Person, roles: Roles) -> QuerySet[Membership]:
    return Membership.objects.order_by().filter(user=cast("Any", user.pk), role__in=list(roles))
