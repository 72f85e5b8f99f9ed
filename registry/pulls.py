"""With what one team pulls: its rights, and the credential that goes with each way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from registry.credentials import ANONYMOUS, Credential, CredentialStore
from registry.pull_rights import PullRights, Way, login_host
from registry.reference import Reference

Ask = Callable[[Reference], None]  # raises where the registry does not let the team read the image


def _nobody(ref: Reference) -> None:
    return


@dataclass(frozen=True)
class Pulls:
    """`platform` is the platform's login, `given` the team's own by host (`login_host`). `ask` asks a
    registry whether it gives the team an image: what lies in an engine already is given without a login.
    """

    rights: PullRights = field(default_factory=PullRights)
    platform: CredentialStore = field(default_factory=lambda: CredentialStore(None), repr=False)
    given: Mapping[str, Credential] = field(default_factory=dict, repr=False)
    ask: Ask = _nobody

    def credential(self, host: str, way: Way, repository: str = "") -> Credential:
        """For a `repository` at `host`. Raises `CredentialError` where the platform's own cannot be had."""
        if way is Way.PLATFORM:
            return self.platform.for_host(host, repository)
        return self.given.get(login_host(host), ANONYMOUS) if way is Way.TEAM else ANONYMOUS
