from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from access import roles
from access.models import Team
from hosting.runtimes.base import climbs
from hosting.runtimes.kinds import KINDS
from hosting.sources.origin import origin_of
from redaction.redactor import Redactor
from sealing.fields import SealedField
from servers import secretbox, states
from servers.models import build_choices, placement, tool_patterns
from servers.states import ServerStatus

if TYPE_CHECKING:
    from servers.models.deployment import Deployment

SLUG = RegexValidator(
    r"^[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?\Z",
    "Use 1 to 48 lower-case letters, digits and hyphens, with a letter or digit at each end.",
)
MOST_CALLS = 10_000_000  # in a minute; as RATE_LIMIT_PER_SERVER and RATE_LIMIT_PER_TOKEN
ENVIRONMENT_NAME = RegexValidator(
    r"^[A-Za-z_][A-Za-z0-9_]{0,127}\Z", "Use letters, digits and underscores, not starting with a digit."
)


def stays_within(path: str) -> None:
    """Raises `ValidationError` for a path with “.” or “..”, which would lead out of the server's own path."""
    if climbs(path):
        raise ValidationError("Leave out “.” and “..” between slashes, in any spelling.")


class SourceKind(models.TextChoices):
    GIT = "git", "Git repository"
    UPLOAD = "upload", "Uploaded archive"
    IMAGE = "image", "Existing image"
    PACKAGE = "package", "Package"


class Transport(models.TextChoices):
    STDIO = "stdio", "stdio (served by the bridge)"
    HTTP = "streamable-http", "Streamable HTTP"


class DesiredState(models.TextChoices):
    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    DELETED = "deleted", "Deleted"


def runtime_choices() -> list[tuple[str, str]]:
    """Returns names and titles. Migrations refer to this function, so a new runtime needs none."""
    return [("", "The platform's default"), *((kind.name, kind.title) for kind in KINDS.values())]


class SchemaGate(models.TextChoices):
    """What happens to a deployment whose tools break callers of the deployment that serves."""

    OFF = "off", "Let it pass"
    WARN = "warn", "Let it pass, and tell"
    HOLD = "hold", "Hold it until it is approved"


_UP = Q(current_deployment__run__isnull=False, current_deployment__run__ended_at__isnull=True)
_SERVED = Q(current_deployment__run__ready_at__isnull=False)


class ServerQuerySet(models.QuerySet["Server"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> ServerQuerySet:
        """Servers that `user` owns, or that belong to a team of theirs; all for an administrator."""
        return self.filter(roles.seen_by(user))

    def operable_by(self, user: AbstractBaseUser | AnonymousUser) -> ServerQuerySet:
        """Servers that `user` may change, deploy and delete.

        That is the owner, an operator of the team, and an administrator.
        """
        return self.filter(roles.operated_by(user))

    def with_current(self) -> ServerQuerySet:
        """Loads the owner, the current deployment, its build and its run as well."""
        return self.select_related("owner", "current_deployment__build", "current_deployment__run")

    def should_run(self) -> ServerQuerySet:
        """Servers that should run and have been deployed."""
        return self.filter(desired_state=DesiredState.RUNNING, current_deployment__isnull=False)

    def watched(self) -> ServerQuerySet:
        """Servers that should run and whose run has become ready, for the reconciler to poll.

        A run that is being restarted is left out, because its worker watches it. Only the columns that the
        reconciler needs are loaded; what servers offer and how they were built may be large.
        """
        running = self.should_run().filter(_UP, _SERVED)
        own = ("name", "slug", "desired_state", "status", "error", "restarts", "restart_at")
        run = (
            "runtime",
            "handle",
            "endpoint",
            "endpoints",
            "uses",
            "output_cursor",
            "log_start",
            "ready_at",
            "ended_at",
            "deployment",
        )
        current = ("server", "number", "run", *(f"run__{name}" for name in run))
        known = [f"current_deployment__{name}" for name in current]
        return running.select_related("current_deployment__run").only(*own, "current_deployment", *known)

    def down(self) -> ServerQuerySet:
        """Servers that should run, but whose current deployment has no live run."""
        return self.should_run().exclude(_UP)

    def should_not_run(self) -> ServerQuerySet:
        """Servers that should be stopped or deleted."""
        return self.filter(desired_state__in=[DesiredState.STOPPED, DesiredState.DELETED])

    def locked(self) -> ServerQuerySet:
        """Locks the rows until the transaction ends, but allows inserts that refer to them.

        With a full lock, an insert of a log line would wait for this row while its transaction locks a
        deployment's row. If this transaction then waits for that row, both wait for ever.
        """
        return self.select_for_update(no_key=True)

    def move(self, pk: int, to: ServerStatus, **changes: Any) -> bool:
        """Changes the status, in one guarded update. False if the present status does not allow it.

        `changes` are further columns to set.
        """
        allowed = states.may_become(to)
        changes = {"status_at": timezone.now(), **changes}
        return bool(self.filter(pk=pk, status__in=allowed).update(status=to, **changes))


class Server(models.Model):
    """One MCP server: its source, how it runs, what is wanted of it, and its status.

    `source` depends on `source_kind`: git `{url, ref, subdirectory}`, upload `{archive, filename, sha256,
    size, subdirectory}`, image `{reference, arguments}`, package `{ecosystem, name, version, command,
    arguments}`.

    `origin` is {}, or describes the server.json that it was made of: `{name, version, description, digest,
    registry, url, package, answers}` (`catalog.plan`).

    `status` belongs to the newest work on the server, and `error_kind` and `error` say why that failed.
    `current_deployment` is the one that serves, or served last; a failed deployment does not change it.

    `dropped` is not stored. After a change it holds the credentials that the change removed.
    """

    dropped: Sequence[Secret] = ()

    name = models.CharField(max_length=100)
    slug = models.CharField(
        max_length=48, unique=True, validators=[SLUG], help_text="Part of the URL: /mcp/<slug>"
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="servers")
    team = models.ForeignKey(
        Team, models.SET_NULL, null=True, blank=True, related_name="servers",
        help_text="Its members see the server, its operators look after it; empty: the owner alone.",
    )  # fmt: skip
    source_kind = models.CharField(max_length=10, choices=SourceKind.choices)
    source = models.JSONField(default=dict, blank=True)
    transport = models.CharField(max_length=16, choices=Transport.choices, default=Transport.STDIO)
    port = models.PositiveIntegerField(
        default=8000, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    path = models.CharField(
        max_length=200,
        default="/mcp",
        validators=[RegexValidator(r"^/[!-~]*\Z", "Start with a slash."), stays_within],
    )
    command = models.JSONField(
        default=list, blank=True, help_text="List of words that start the server; empty: recognised."
    )
    build = models.JSONField(
        default=dict,
        blank=True,
        validators=[build_choices.validate],
        help_text="What is set by hand of how it is built: see servers.models.build_choices.",
    )
    environment = models.JSONField(default=dict, blank=True)
    cpu = models.FloatField(
        default=1.0, validators=[MinValueValidator(0.05), MaxValueValidator(64)], help_text="Cores"
    )
    memory_mb = models.PositiveIntegerField(
        default=512, validators=[MinValueValidator(32), MaxValueValidator(262_144)], help_text="MiB"
    )
    pids = models.PositiveIntegerField(
        default=128, validators=[MinValueValidator(8), MaxValueValidator(32_768)]
    )
    runtime = models.CharField(max_length=12, choices=runtime_choices, blank=True, default="")
    placement = models.JSONField(
        default=dict,
        blank=True,
        validators=[placement.validate],
        help_text="How it lies on a Kubernetes cluster: see servers.models.placement.",
    )
    calls_per_minute = models.PositiveIntegerField(
        default=0,
        validators=[MaxValueValidator(MOST_CALLS)],
        help_text="Calls per minute that it answers, by all callers together; 0: RATE_LIMIT_PER_SERVER.",
    )
    tools_allowed = models.JSONField(
        default=list,
        blank=True,
        validators=[tool_patterns.validate],
        help_text="Names or patterns such as read_*; empty: all tools but the denied.",
    )
    tools_denied = models.JSONField(
        default=list,
        blank=True,
        validators=[tool_patterns.validate],
        help_text="Names or patterns of tools that are neither listed nor called.",
    )
    record_arguments = models.BooleanField(
        default=False, help_text="Keep arguments and results of calls among the metrics, with secrets masked."
    )
    schema_gate = models.CharField(
        max_length=4,
        choices=SchemaGate.choices,
        default=SchemaGate.WARN,
        help_text="When tools are gone, or no longer take or answer what they did.",
    )
    origin = models.JSONField(
        default=dict, blank=True, help_text="Where a catalog's document was found, and what was answered."
    )
    listed = models.BooleanField(
        "listed in the public catalog",
        default=False,
        help_text="Anybody reads its name and URL at /v0.1/servers; calls need a token all the same.",
    )
    desired_state = models.CharField(max_length=8, choices=DesiredState.choices, default=DesiredState.RUNNING)
    status = models.CharField(
        max_length=12,
        choices=[(s.value, states.look(s).label) for s in ServerStatus],
        default=ServerStatus.PENDING,
    )
    status_at = models.DateTimeField(default=timezone.now)
    error_kind = models.CharField(max_length=12, blank=True, default="")
    error = models.TextField(blank=True, default="")
    current_deployment = models.ForeignKey(
        "servers.Deployment", models.SET_NULL, null=True, blank=True, related_name="+"
    )
    restarts = models.PositiveIntegerField(default=0, help_text="Restarts in a row; 0 once it has stayed up.")
    restart_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[models.Manager[Server]] = ServerQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["owner", "name"]), models.Index(fields=["status"])]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=[s.value for s in ServerStatus]), name="server_status_known"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.runtime == "kubernetes" and not settings.REGISTRY:
            raise ValidationError({"runtime": "Its nodes pull what they run: REGISTRY has to be set."})

    @property
    def serving(self) -> Deployment | None:
        """The deployment that answers calls now, or None."""
        current = self.current_deployment
        return current if current is not None and current.takes_calls else None

    @property
    def source_origin(self) -> str:
        """The origin of a git source, such as `https://forge.example`, else "".

        A credential for the source is given for this origin.
        """
        return origin_of(str(self.source.get("url", ""))) if self.source_kind == SourceKind.GIT else ""

    def secret_environment(self) -> dict[str, str]:
        """Returns the secret variables of the environment by name. Raises `secretbox.Unreadable`."""
        return {s.name: s.reveal() for s in self.secrets.filter(purpose=SecretPurpose.ENVIRONMENT)}

    def redactor(self, *more: str) -> Redactor:
        """Returns a redactor of this server's secrets and of `more`. Raises `secretbox.Unreadable`."""
        return Redactor([*(secret.reveal() for secret in self.secrets.all()), *more])

    def is_visible_to(self, user: AbstractBaseUser | AnonymousUser) -> bool:
        """Whether `user` sees the server (`roles.sees`)."""
        return roles.sees(user, owner_id=self.owner_id, team_id=self.team_id)

    def is_operable_by(self, user: AbstractBaseUser | AnonymousUser) -> bool:
        """Whether `user` may change, deploy and delete the server (`roles.operates`)."""
        return roles.operates(user, owner_id=self.owner_id, team_id=self.team_id)


# The name of a git source's credential, which has the purpose `source`.
GIT_TOKEN = "GIT_TOKEN"  # noqa: S105  (a name)


class SecretPurpose(models.TextChoices):
    ENVIRONMENT = "environment", "Environment variable of the server"
    SOURCE = "source", "Credential for the source"


class Secret(models.Model):
    """A secret value of a server. It can be set and replaced, but no door shows it.

    `origin` belongs to a credential for the source: where that was when it was given. It is sent nowhere
    else.
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="secrets")
    purpose = models.CharField(
        max_length=12, choices=SecretPurpose.choices, default=SecretPurpose.ENVIRONMENT
    )
    name = models.CharField(max_length=128, validators=[ENVIRONMENT_NAME])
    sealed = SealedField()
    origin = models.CharField(max_length=520, blank=True, default="", editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["server", "purpose", "name"], name="secret_once")]

    def __str__(self) -> str:
        return self.name

    def seal(self, value: str) -> None:
        self.sealed = secretbox.seal(value)

    def reveal(self) -> str:
        """Returns the value. Raises `secretbox.Unreadable` if no key opens it."""
        return secretbox.open_sealed(bytes(self.sealed))
