"""The credentials with which one team pulls images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from registry.credentials import ANONYMOUS, Credential, CredentialStore
from registry.pull_rights import PullRights, Way, login_host
from registry.reference import Reference

Ask = Callable[[Reference], None]  # raises if the registry does not let the team read the image


def _nobody(ref: Reference) -> None:
    return


@dataclass(frozen=True)
class Pulls:
    """What one team pulls with.

    `platform` holds the platform's logins, `given` the team's own by host (`login_host`). `ask` asks the
    registry whether the team may read an image. That is needed because an engine starts an image that it
    already holds without asking for a login.
    """

    rights: PullRights = field(default_factory=PullRights)
    platform: CredentialStore = field(default_factory=lambda: CredentialStore(None), repr=False)
    given: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    ask: Ask = _nobody

    def credential(self, host: str, way: Way, repository: str = "") -> Credential:
        """Returns the credential for a `repository` at `host`; `way` is that of `PullRights.way_to`.

        Raises `CredentialError` if the platform's credential cannot be read.
        """
        if way is Way.PLATFORM:
            return self.platform.for_host(host, repository)
        return self.given.get(login_host(host), ANONYMOUS) if way is Way.TEAM else ANONYMOUS
