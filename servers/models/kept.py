from __future__ import annotations

from django.db import models


class Kept(models.Model):
    """A row into which a deployment's steps write what they make and find out, as they go."""

    class Meta:
        abstract = True

    def keep(self, **columns: object) -> None:
        for name, value in columns.items():
            setattr(self, name, value)
        self.save(update_fields=list(columns))
