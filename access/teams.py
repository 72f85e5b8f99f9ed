"""The services for teams and their members. Each is one transaction and writes an audit entry."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import transaction

from access import audit
from access.actor import Actor
from access.models import Membership, Role, Team


@transaction.atomic
def create(*, name: str, by: Actor) -> Team:
    """Makes a team. Raises `ValidationError`, also if the name is taken (in any case of letters)."""
    team = Team(name=name.strip())
    team.full_clean()
    team.save()
    audit.record(action="team.created", by=by, target=team, after={"name": team.name})
    return team


@transaction.atomic
def rename(*, team: Team, name: str, by: Actor) -> Team:
    """Renames a team. Raises `ValidationError`."""
    before = Team.objects.get(pk=team.pk).name
    team.name = name.strip()
    team.full_clean()
    team.save(update_fields=["name"])
    if team.name != before:
        audit.record(
            action="team.renamed", by=by, target=team, before={"name": before}, after={"name": team.name}
        )
    return team


@transaction.atomic
def delete(*, team: Team, by: Actor) -> None:
    """Deletes a team. Its servers stay, and only their owners operate them."""
    members = {one.user.get_username(): one.role for one in team.memberships.select_related("user")}
    audit.record(action="team.deleted", by=by, target=team, before={"members": members})
    team.delete()


@transaction.atomic
def set_member(*, team: Team, user: User, role: str, by: Actor) -> Membership:
    """Adds a member, or changes their role. Raises `ValidationError` for an unknown role."""
    member = Membership.objects.filter(team=team, user=user).first()
    before = {"user": user.get_username(), "role": member.role} if member else None
    member = member or Membership(team=team, user=user)
    member.role = Role(role) if role in Role else role
    member.full_clean()
    member.save()
    after = {"user": user.get_username(), "role": str(role)}
    if before != after:
        audit.record(
            action="member.changed" if before else "member.added",
            by=by,
            target=team,
            before=before,
            after=after,
        )
    return member


@transaction.atomic
def remove_member(*, team: Team, user: User, by: Actor) -> None:
    """Removes a member. Their rights to the team's servers end at once, also those of their tokens."""
    member = Membership.objects.filter(team=team, user=user).first()
    if member is not None:
        held = {"user": user.get_username(), "role": member.role}
        audit.record(action="member.removed", by=by, target=team, before=held)
        member.delete()
