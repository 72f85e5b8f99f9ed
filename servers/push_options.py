"""What a person may choose for the pushes of one deployment, besides its mode. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from hosting.errors import Invalid
from servers.states import Mode

MOST_ATTEMPTS = 20


@dataclass(frozen=True)
class PushOptions:
    """Columns of `Deployment` with the same names; see there."""

    refresh_credentials: bool = False
    platform_anew: str = ""
    push_retries: int | None = None

    def check(self, mode: Mode, platforms: list[str]) -> None:
        """Raises `Invalid` if the options do not fit `mode`.

        `platforms` are those of the deployment that is resumed.
        """
        if self.push_retries is not None and not 1 <= self.push_retries <= MOST_ATTEMPTS:
            raise Invalid(f"From 1 to {MOST_ATTEMPTS} attempts.", field="push_retries")
        if mode == Mode.SAME_DIGEST and self != PushOptions():
            raise Invalid("With mode same-digest nothing is pushed.", field="mode")
        if self.platform_anew and mode != Mode.RESUME:
            raise Invalid("One platform alone can be retried with mode resume only.", field="platform")
        if self.platform_anew and self.platform_anew not in platforms:
            known = ", ".join(platforms) or "none"
            raise Invalid(f"It has no platform {self.platform_anew}: {known}.", field="platform")

    @property
    def columns(self) -> dict[str, object]:
        """The options as columns of `Deployment`."""
        return asdict(self)


NO_OPTIONS = PushOptions()
