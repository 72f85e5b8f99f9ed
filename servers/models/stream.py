from __future__ import annotations

from django.db import models


class StreamPosition(models.Model):
    """The last position of a channel. Its writers lock this row, so that their events have an order."""

    channel = models.CharField(max_length=100, primary_key=True)
    last = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.channel} at {self.last}"


class StreamEvent(models.Model):
    """An event of the live feed. It is kept for a while, so that a client can resume."""

    channel = models.CharField(max_length=100)
    position = models.BigIntegerField()
    type = models.CharField(max_length=40)
    data = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        ordering = ["channel", "position"]
        constraints = [models.UniqueConstraint(fields=["channel", "position"], name="stream_position_once")]

    def __str__(self) -> str:
        return f"{self.channel} {self.position}"
