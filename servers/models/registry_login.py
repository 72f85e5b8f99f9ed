from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models

from access.models import Team
from registry.pull_rights import login_host
from registry.reference import InvalidReference, Reference
from sealing.fields import SealedField
from servers import secretbox


def check_host(text: str) -> None:
    """Raises Django's `ValidationError` if `text` is no `host[:port]` of a registry."""
    try:
        Reference(text, "image")
    except InvalidReference:
        raise ValidationError(
            "Must be the registry's host, with its port where it has one: registry.example.org:5000."
        ) from None


class RegistryLogin(models.Model):
    """A team's own login at a registry, for the images that its servers run or build from.

    It is sent to its `host[:port]` only. No door shows the password or token.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="registry_logins")
    host = models.CharField("registry", max_length=255, validators=[check_host])
    username = models.CharField("user name", max_length=255)
    sealed = SealedField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["host"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "host"],
                name="registry_login_once",
                violation_error_message="The team has a login for this registry: change that one.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.username} at {self.host}"

    def clean(self) -> None:
        self.host = login_host(self.host.strip())
        if ":" in self.username or not self.username.isprintable():
            raise ValidationError({"username": "Must be printable, without a colon."})

    def seal(self, password: str) -> None:
        self.sealed = secretbox.seal(password)

    def reveal(self) -> str:
        """Returns the password. Raises `secretbox.Unreadable` if no key opens it."""
        return secretbox.open_sealed(bytes(self.sealed))
