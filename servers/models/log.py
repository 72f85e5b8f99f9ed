from __future__ import annotations

from django.db import models

from servers.models.deployment import Deployment, Step
from servers.models.server import Server


class LogStream(models.TextChoices):
    BUILD = "build", "Build"
    STDOUT = "stdout", "stdout"
    STDERR = "stderr", "stderr"
    PLATFORM = "platform", "Platform"


class LogLine(models.Model):
    """One line of a deployment's work or of a server's output; `id` is the order in which they were kept."""

    server = models.ForeignKey(Server, models.CASCADE, related_name="log_lines")
    deployment = models.ForeignKey(Deployment, models.CASCADE, null=True, related_name="log_lines")
    step = models.ForeignKey(Step, models.SET_NULL, null=True, related_name="log_lines")
    stream = models.CharField(max_length=8, choices=LogStream.choices)
    at = models.DateTimeField()
    text = models.TextField()

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["server", "id"]), models.Index(fields=["deployment", "id"])]

    def __str__(self) -> str:
        return self.text
