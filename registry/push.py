"""Pushes one image of one platform, retries and refreshes where that helps, and reports each step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from registry import refresh
from registry.client import RegistryClient
from registry.credentials import ANONYMOUS, Credential
from registry.engine import Engine, PushLog
from registry.errors import RegistryError, error_details, failed_refresh
from registry.events import Control, Line, RegistryEvent, Report, Stopwatch
from registry.progress import Progress, PushProgress
from registry.reasons import Reason
from registry.reference import Reference
from registry.retry import Deadline, PushPolicy

__all__ = ["PushPolicy", "Pushed", "push_image"]


@dataclass(frozen=True)
class Pushed:
    """An image at the registry: its manifest's digest, size in bytes and media type."""

    platform: str
    digest: str
    size: int
    media_type: str


def push_image(
    *,
    engine_url: str,
    image: str,
    target: Reference,
    platform: str,
    client: RegistryClient,
    policy: PushPolicy,
    report: Report,
    line: Line,
    control: Control,
    progress: Progress | None = None,
) -> Pushed:
    """Tags the engine's `image` as `target`, pushes it, and returns what the registry confirms to hold.

    Reports the contract's events from `tag_started` to `push_succeeded` or `push_failed`; the `attempt` of a
    `push_retry` is the one that failed. Transient errors are retried within the policy. A rejected credential
    is refreshed: the first time without using up an attempt, later with one. If access is denied without a
    reason, it is refreshed once, if that can bring another credential. Raises `RegistryError`, or what
    `control.check` raises, after `push_failed` was reported. All callbacks are called in the caller's thread.
    """
    deadline = Deadline(policy, control)
    push = _Push(
        engine_url, image, target, platform, client, policy, report, line, deadline, PushProgress(progress)
    )
    return push.run()


@dataclass
class _Push:
    engine_url: str
    image: str
    target: Reference
    platform: str
    client: RegistryClient
    policy: PushPolicy
    report: Report
    line: Line
    deadline: Deadline
    sent: PushProgress
    attempt: int = 0
    retries: int = 0
    refreshed: bool = False
    credential: Credential = ANONYMOUS

    def run(self) -> Pushed:
        watch = Stopwatch()
        try:
            self._tag()
            self.attempt = 1
            self._emit("push_started")
            pushed = self._push()
        except Exception as fault:
            self._emit("push_failed", **error_details(fault), duration_ms=watch.ms())
            raise
        self._emit("push_succeeded", digest=pushed.digest, retries=self.retries, duration_ms=watch.ms())
        self.line(f"Image pushed to registry with digest {pushed.digest}")
        return pushed

    def _emit(self, event: str, **details: object) -> None:
        self.report(RegistryEvent(event, {**self._stream(), **details}))

    def _stream(self) -> dict[str, Any]:
        return {
            "attempt": self.attempt,
            "retry_limit": self.policy.attempts,
            "registry_endpoint": self.target.endpoint,
            "platform": self.platform,
        }

    def _tag(self) -> None:
        watch = Stopwatch()
        facts = {
            "registry_endpoint": self.target.endpoint,
            "tag": self.target.tag,
            "platform": self.platform,
        }
        self.report(RegistryEvent("tag_started", dict(facts)))
        self.deadline.run(self._tag_on_engine)
        self.report(RegistryEvent("tag_succeeded", {**facts, "duration_ms": watch.ms()}))

    def _tag_on_engine(self) -> None:
        engine = Engine(self.engine_url)
        try:
            engine.tag(self.image, self.target)
        finally:
            engine.close()

    def _push(self) -> Pushed:
        while True:
            self.line(
                f"Registry push attempt {self.attempt}/{self.policy.attempts} "
                f"for {self.target.endpoint} ({self.platform})"
            )
            try:
                return self._confirm(self._send())
            except RegistryError as fault:
                self._recover(fault)

    def _send(self) -> str:
        """Lets the engine send missing layers; returns the digest that the engine reports."""
        at = (self.target.host, self.target.repository)
        self.credential = self.deadline.run(lambda: self.client.credentials.for_host(*at))
        engine = self.deadline.run(lambda: Engine(self.engine_url))
        log = PushLog(self.line, self.sent)
        auth = self.credential.engine_auth(self.target.host)
        try:
            with engine.push(self.target, auth, self.policy.stall) as stream:
                for message in stream:
                    self.deadline.check()
                    if message is not None:
                        log.take(message)
                    if log.unchanged_for > self.policy.stall:
                        raise self._stalled()
        finally:
            engine.close()
        return log.digest

    def _stalled(self) -> RegistryError:
        """Returns why nothing happens: an engine (containerd store, 26.1) may not report a rejected
        credential.
        """
        try:
            self.deadline.run(lambda: self.client.accepts(self.credential, self.target))
        except RegistryError as fault:
            if fault.auth_expired:
                return fault
        text = f"The push made no progress for {self.policy.stall:g} s."
        return RegistryError(text, kind="push", reason=Reason.STALLED, permanent=False)

    def _confirm(self, digest: str) -> Pushed:
        """Checks that the registry holds under the tag what the engine says that it pushed."""
        try:
            found = self.deadline.run(lambda: self.client.head_manifest(self.target))
        except RegistryError as fault:
            if not fault.not_found:
                raise
            raise RegistryError(
                f"The engine pushed {self.target}, but the registry does not hold it.",
                reason=Reason.UNAVAILABLE,
                permanent=False,
            ) from fault
        if digest and found.digest != digest:
            raise RegistryError(
                f"The engine pushed {digest}, but {self.target} is {found.digest} at the registry.",
                permanent=False,
            )
        return Pushed(self.platform, found.digest, found.size, found.media_type)

    def _recover(self, fault: RegistryError) -> None:
        """Prepares another attempt, or raises `fault`; if a refresh failed, one error for both."""
        expired = fault.auth_expired or self._may_have_expired(fault)
        free = expired and not self.refreshed
        if not free and self.attempt >= self.policy.attempts:
            raise fault
        if expired:
            self._refresh(fault)
            self._emit("push_retry", reason="auth_refresh", **error_details(fault))
        elif fault.permanent:
            raise fault
        else:
            self._back_off(fault)
        self.retries += 1
        self.attempt += 0 if free else 1

    def _may_have_expired(self, fault: RegistryError) -> bool:
        """Tells whether a refresh could help; access that is denied after a refresh is denied."""
        at = (self.target.host, self.credential, self.target.repository)
        return fault.perhaps_expired and not self.refreshed and self.client.credentials.refresh_may_help(*at)

    def _back_off(self, fault: RegistryError) -> None:
        seconds = self.policy.delay(self.attempt, self._asked_delay(fault))
        if not self.deadline.allows(seconds):
            raise fault
        self._emit(
            "push_retry", reason="retryable_error", **error_details(fault), delay_ms=round(seconds * 1000)
        )
        self.line(f"Registry push failed: {fault.message}")
        self.line(f"Retrying the push in {seconds:.1f} s")
        self.deadline.wait(seconds)

    def _asked_delay(self, fault: RegistryError) -> float | None:
        """Returns the seconds that the registry asks to wait.

        The engine does not report them, so the registry is asked.
        """
        if fault.retry_after is not None or fault.kind != "remote":
            return fault.retry_after
        try:
            self.deadline.run(lambda: self.client.head_manifest(self.target))
        except RegistryError as answer:
            return answer.retry_after
        return None

    def _refresh(self, fault: RegistryError) -> None:
        self.refreshed = True
        self.line(f"Registry push failed: {fault.message}")
        try:
            refresh.run(self.report, self._stream(), self._renew)
        except RegistryError as failure:
            raise failed_refresh(fault, failure) from failure
        self.line("Registry credentials refreshed; retrying push")

    def _renew(self) -> None:
        self.deadline.run(lambda: self.client.renew(self.credential, self.target))
