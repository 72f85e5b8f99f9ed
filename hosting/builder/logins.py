"""Decides which images a build may pull, and which logins it gets for them.

The platform asks its credential helpers before the build, because the CLI sees neither the environment nor
the home of the platform. BuildKit uses one login for a whole registry. So a build gets the platform's login
for a registry only where all images of it that the Dockerfile names may be pulled with that login.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hosting.builder import named_images
from hosting.builder.named_images import UNKNOWN
from hosting.errors import BuildError
from hosting.process_group import LineSink
from registry.credentials import Credential
from registry.dockerconfig import HUB_KEY
from registry.errors import CredentialError
from registry.pull_rights import Way, is_known_frontend, is_official, place_of
from registry.pulls import Pulls
from registry.reference import InvalidReference, Reference, is_hub

LIST_IT = "Deploy from what your team owns, or ask an administrator to list it in REGISTRY_SHARED_PREFIXES."
MOST_HOSTS = 32  # each costs a request, and may run a credential helper


def not_yours(what: str) -> str:
    """The sentence for an image that the team may not pull."""
    return f"{what} belongs to a server of another team, or belonged to one: it is not given to this server."


@dataclass(frozen=True)
class PullPlan:
    """The images that a build may read, and `config`, the config.json of the CLI with its logins."""

    pulls: Pulls
    places: frozenset[str]
    config: str = field(default="{}", repr=False)

    def allows(self, image: str) -> bool:
        """Whether the build may read an image that BuildKit names in its progress."""
        try:
            ref = Reference.parse(image)
        except InvalidReference:
            return False
        if place_of(ref) in self.places or is_official(ref):
            return True
        return self.pulls.rights.way_to(ref) is Way.PLATFORM


def plan(
    pulls: Pulls,
    dockerfile: str,
    arguments: Mapping[str, str],
    log: LineSink,
    *,
    given: Mapping[str, str] = named_images.NOTHING_GIVEN,
) -> PullPlan:
    """The plan for a build. `dockerfile` is the text of the Dockerfile; see `named_images.read` for
    `arguments` and `given`. Where a login is not available, the pull is anonymous, and `log` gets the reason.

    Raises `BuildError` for images that the team may not have, and what `pulls.ask` raises.
    """
    named = named_images.read(dockerfile, arguments, given)
    found = [ref for text in named.images if (ref := _image(pulls, text))]
    if named.frontend:
        found.append(_frontend(pulls, named.frontend))
    if len({ref.host for ref in found}) > MOST_HOSTS:
        raise BuildError(f"The Dockerfile names images of more than {MOST_HOSTS} registries.")
    for ref in found:
        _check(pulls, ref)
    return PullPlan(pulls, frozenset(map(place_of, found)), _config(pulls, found, log))


def _image(pulls: Pulls, text: str) -> Reference | None:
    """The image to check. None for text that is no reference: the build reports it."""
    if UNKNOWN not in text:
        try:
            return Reference.parse(text)
        except InvalidReference:
            return None
    try:
        known = Reference.parse(_repository(text))
    except InvalidReference:
        raise _unclear(text) from None
    if is_official(known) or pulls.rights.way_to(known) in (Way.PLATFORM, Way.REFUSED):
        return known
    raise _unclear(text)


def _repository(text: str) -> str:
    """The reference without its tag and digest."""
    name = text.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


def _unclear(text: str) -> BuildError:
    shown = text.replace(UNKNOWN, "…")
    return BuildError(
        f"The Dockerfile names an image that is known to its build only: {shown}.",
        hint="Write the image out, or give its variable a value in an ARG before the first FROM.",
    )


def _frontend(pulls: Pulls, text: str) -> Reference:
    try:
        ref = Reference.parse(text)
    except InvalidReference as error:
        raise BuildError(f"The Dockerfile's syntax is no image: {error}") from None
    if is_known_frontend(ref) or pulls.rights.way_to(ref) is Way.PLATFORM:
        return ref
    raise BuildError(
        f"The Dockerfile wants to be read by {ref} (its syntax), which could read images of other teams.",
        hint="Use docker/dockerfile, or ask an administrator to list it in REGISTRY_SHARED_PREFIXES.",
    )


def _check(pulls: Pulls, ref: Reference) -> None:
    way = pulls.rights.way_to(ref)
    if way is Way.REFUSED:
        raise BuildError(not_yours(ref.endpoint), hint=LIST_IT)
    if way is not Way.PLATFORM and not is_official(ref):
        pulls.ask(ref)


def _config(pulls: Pulls, images: Iterable[Reference], log: LineSink) -> str:
    ways: dict[str, dict[Way, list[Reference]]] = {}
    for ref in images:
        way, at = pulls.rights.way_to(ref), ways.setdefault(ref.host, {})
        # Everybody may read an official image, so it does not count against the platform's login.
        if way is not Way.ANONYMOUS or not is_official(ref):
            at.setdefault(way, []).append(ref)
    entries = {host: _entry(pulls, host, wanted, log) for host, wanted in sorted(ways.items())}
    auths = {HUB_KEY if is_hub(host) else host: entry for host, entry in entries.items() if entry}
    return json.dumps({"auths": auths} if auths else {})


def _entry(pulls: Pulls, host: str, ways: Mapping[Way, list[Reference]], log: LineSink) -> dict[str, str]:
    if Way.PLATFORM in ways and len(ways) > 1:
        log(f"The platform's login for {host} is not given: not all images from there may be pulled with it.")
    way = Way.PLATFORM if set(ways) == {Way.PLATFORM} else Way.TEAM if Way.TEAM in ways else Way.ANONYMOUS
    return _credential(pulls, host, way, ways.get(way, ()), log).config_entry


def _credential(pulls: Pulls, host: str, way: Way, images: Iterable[Reference], log: LineSink) -> Credential:
    """The login for all `images` of a registry; where they have different ones, that of the first image."""
    found: dict[Credential, Reference] = {}
    try:
        for ref in images:
            found.setdefault(pulls.credential(host, way, ref.repository), ref)
    except CredentialError as fault:
        log(f"There is no login for {host}: {fault.message}")
        return Credential()
    given = next((credential for credential in found if not credential.anonymous), Credential())
    if len(found) > 1:
        log(
            f"BuildKit takes one login for {host}, and the images named from there have several: "
            f"that for {found[given].repository} is given."
        )
    return given
