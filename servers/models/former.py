from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from servers.models.server import Server


class FormerServer(models.Model):
    """The owner of a deleted server. Images that it pushed may still be at the registry, under its slug.

    `team` (0: none) and `owner` are ids and not keys, because those rows may be deleted too.
    """

    slug = models.CharField(max_length=48)
    team = models.BigIntegerField(default=0)
    owner = models.BigIntegerField()
    deleted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["slug", "team", "owner"], name="former_server_once")]

    def __str__(self) -> str:
        return self.slug

    @classmethod
    def remember(cls, server: Server) -> None:
        """Stores the owner and team of a server whose row is about to be deleted."""
        cls.objects.get_or_create(slug=server.slug, team=server.team_id or 0, owner=server.owner_id)
