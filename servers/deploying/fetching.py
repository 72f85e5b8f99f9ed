"""Fetches the source of a server."""

from __future__ import annotations

import functools
import shlex
from pathlib import Path

from django.conf import settings

from hosting.builder import context
from hosting.deadline import Deadline
from hosting.errors import SourceError
from hosting.runtimes import kinds
from hosting.sources.base import Fetched, Source
from hosting.sources.git import GitSource
from hosting.sources.git_quota import CheckoutLimits
from hosting.sources.image import ImageSource
from hosting.sources.package import PackageSource, split_extras
from hosting.sources.upload import ArchiveSource
from registry.reference import Reference
from servers import runtime_choice, uploads
from servers.deploying import pulls
from servers.models import Deployment, Server
from servers.models.server import GIT_TOKEN, SecretPurpose, SourceKind
from servers.states import Mode, StepKind
from servers.timeline import Timeline

SAME_REVISION = (Mode.REBUILD, Mode.NO_CACHE, Mode.RESUME)


def fetch(deployment: Deployment, into: Path, timeline: Timeline, deadline: Deadline) -> Fetched:
    """Fetches the source into `into`; stores its revision and summary in the build's row.

    Raises `UserError`.
    """
    server, build = deployment.server, deployment.build
    with timeline.step(StepKind.CLONE) as step:
        with context.filling(into):
            source = source_of(server, _revision_for(deployment))
            fetched = source.fetch(into, deadline=deadline, log=step.line)
        summary = (server.source.get("filename") or getattr(fetched, "summary", ""))[:300]
        build.keep(revision=fetched.revision, summary=summary)
        step.details.update(revision=fetched.revision, summary=summary)
    return fetched


def _revision_for(deployment: Deployment) -> str:
    """Returns the revision to fetch; "" is the newest."""
    if deployment.based_on and deployment.mode in SAME_REVISION:
        return deployment.based_on.build.revision
    return deployment.wanted_revision


def source_of(server: Server, revision: str = "") -> Source:
    """Returns the source of a server, pinned to `revision` unless that is "".

    Raises `SourceError`, for example if an archive is gone or a credential is for another origin.
    """
    about = server.source
    if server.source_kind == SourceKind.GIT:
        return GitSource(
            url=about["url"],
            ref=revision or about.get("ref", ""),
            subdirectory=about.get("subdirectory", ""),
            token=_git_token(server),
            protocols=tuple(settings.GIT_PROTOCOLS),
            private_hosts=tuple(settings.GIT_PRIVATE_HOSTS),
            limits=CheckoutLimits(total_bytes=settings.GIT_MAX_BYTES),
            settings=runtime_choice.build_settings(),
        )
    if server.source_kind == SourceKind.UPLOAD:
        pinned = uploads.path_of_revision(server, revision) if revision else uploads.path_of(server)
        return ArchiveSource(pinned, subdirectory=about.get("subdirectory", ""))
    if server.source_kind == SourceKind.IMAGE:
        return ImageSource(_pinned(about["reference"], revision), functools.partial(pulls.digest_of, server))
    version = revision.partition("==")[2] or about.get("version", "")
    name, extras = split_extras(about["name"])
    return PackageSource(
        about["ecosystem"],
        name,
        version,
        about.get("command") or shlex.join(server.command),  # if one is set, none is recognised
        tuple(about.get("arguments", ())),
        runtime_choice.build_settings(),
        tuple(dict.fromkeys((*extras, *server.build.get("extras", ())))),
        kinds.needs_image(runtime_choice.runtime_name_for(server)),
    )


def _git_token(server: Server) -> str:
    """Returns the credential, if it was given for the origin where the source is now.

    Raises `SourceError`.
    """
    if server.pk is None:  # it is not saved, only explained
        return ""
    secret = server.secrets.filter(purpose=SecretPurpose.SOURCE, name=GIT_TOKEN).first()
    if secret is None:
        return ""
    if not secret.origin or secret.origin != server.source_origin:
        raise SourceError(
            f"The access token was given for {secret.origin or 'another place'}: it is not sent to "
            f"{server.source_origin}.",
            hint="Give the token again with the repository's URL, or remove it.",
        )
    return secret.reveal()


def _pinned(reference: str, digest: str) -> str:
    return str(Reference.parse(reference).with_digest(digest)) if digest else reference
