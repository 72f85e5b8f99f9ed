"""Sorts errors of registries: is the tag, the network, the registry or the credential at fault, and is it
permanent?

There are four sources: HTTP status with the JSON error codes of the OCI distribution spec, the engine's push
stream (`registry.engine_errors`), exceptions of `requests` and `docker`, and our own checks. An error that no
rule knows is of kind `remote`, permanent, and shown completely.

Of an HTTP body only the error document of the distribution spec is shown. Otherwise somebody could name an
address in this network as a registry, and read its answer in our error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

from redaction.redactor import Redactor
from registry.reasons import PATTERNS, Reason, says

__all__ = [
    "INNER", "BadCredentialsFile", "CredentialError", "ErrorKind", "RegistryError", "error_details",
    "failed_refresh", "from_response", "inner_address", "read_retry_after", "redact",
    "unreachable",
]  # fmt: skip

MAX_MESSAGE = 4_000
_without_secrets = Redactor()

ErrorKind = Literal["tag", "push", "remote", "auth_expired"]

MAX_ERRORS = 5  # entries of one document
MAX_CODE, MAX_SAID = 64, 500  # characters of each
FULL = "no space left, or a quota is used up"
MAX_RETRY_AFTER = 300.0
MAX_DETAIL, MAX_SAID_IN_ALL = 300, 2_400
# Proxies send 425 and 499. An unknown 5xx counts as 500 (RFC 9110, 15), also 520 to 530 of content delivery
# networks. The statuses that are subtracted are permanent.
TRANSIENT_STATUS = frozenset({408, 425, 429, 499, *range(500, 600)}) - {501, 505, 507, 508, 510, 511}
# Retry-After makes other statuses transient, such as 413 (RFC 9110, 15.5.14) and 403 (GitHub's rate limit).
NEVER_LATER = frozenset({401, 404, 405, 501, 505})
TRANSIENT_CODES = frozenset({"TOOMANYREQUESTS", "UNKNOWN", "UNAVAILABLE", "BLOB_UPLOAD_INVALID"})


class RegistryError(Exception):
    """A failure of a registry. The message is redacted, so that it can be shown.

    `kind` is the contract's `error_kind`. `reason` is the cause, None if it is not known. `permanent` tells
    that the same request will fail again. `retry_after` are the seconds that the registry asks to wait,
    bounded. `status` is its HTTP status, None if there was none. `perhaps_expired` tells that the registry
    denies the access, which some registries also do when a credential has expired: then one refresh is worth
    a try.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind = "remote",
        reason: Reason | None = None,
        permanent: bool = True,
        retry_after: float | None = None,
        status: int | None = None,
        perhaps_expired: bool = False,
    ) -> None:
        self.message = redact(message)
        self.kind: ErrorKind = kind
        self.reason = reason
        self.permanent = permanent
        self.retry_after = retry_after
        self.status = status
        self.perhaps_expired = perhaps_expired
        super().__init__(self.message)

    @property
    def auth_expired(self) -> bool:
        return self.kind == "auth_expired"

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def may_need_login(self) -> bool:
        """Tells whether a login could help: many registries answer 404 for an image that the caller may not
        read.
        """
        return self.auth_expired or self.status in (401, 403, 404)


class CredentialError(RegistryError):
    """A credential cannot be had: the file, the credential helper or the refresh command fails."""

    def __init__(self, message: str, reason: Reason = Reason.UNAUTHENTICATED) -> None:
        super().__init__(message, kind="auth_expired", reason=reason, permanent=True)


class BadCredentialsFile(CredentialError):
    """The credentials file cannot be read, or has a wrong content."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Reason.BAD_CREDENTIALS_FILE)


def failed_refresh(fault: RegistryError, failure: RegistryError) -> RegistryError:
    """Returns one error for a rejected request (`fault`) and the failed refresh after it (`failure`).

    If the access is denied with the new credential as well, it stays denied: nothing had expired.
    """
    kind: ErrorKind = "auth_expired" if fault.auth_expired or failure.auth_expired else fault.kind
    why = "could not be refreshed" if failure.auth_expired else "were refreshed, which did not help"
    text = f"{fault.message}\nThe credentials {why}: {failure.message}"
    reason = failure.reason if failure.auth_expired else fault.reason
    return RegistryError(text, kind=kind, reason=reason, status=fault.status)


# Words of registries, clouds and token servers for a credential that is no longer valid.
EXPIRED = (
    r"(tokens?|credentials?|passwords?|passcode|secret|session|signature|jwt|login|authentication|sas|key)"
    r"( key identifier)? (has |have |is |are |was )?(already )?(been )?(expired|revoked|no longer valid)",
    r"\b(token|credential|password|signature|login)s?\b[^.;:\n]{1,60}\bexpired\b",
    r"expired[_ -]?(access |auth(orization)? |refresh |security |session )?(token|credential|jwt|session)",
    r"token[_ -]?(is )?expired",
    r"invalid[_ ](token|grant|client)",
    r"(invalid|bad|wrong|incorrect) (credentials?|(access |auth )?tokens?|jwt|user ?name or password)",
    r"(re-?authenticate|log ?in again|renew your (token|credentials?))",
    r"\bnot authenticated\b",
    r"\bunauthenticated\b",
    r"(cannot|could not|can't|failed to|unable to) (be )?authenticate",
)
_EXPIRED = re.compile("|".join(EXPIRED), re.IGNORECASE)


def from_response(status: int, headers: Mapping[str, str], body: bytes, doing: str) -> RegistryError:
    """Sorts an HTTP error of a registry or its token server.

    `doing` describes the request, without secrets.
    """
    codes, said, shown = _read_errors(body)
    message = f"{doing}: HTTP {status}" + (f" {shown}" if shown else "")
    sorted_as, scope = status, 'error="insufficient_scope"' in headers.get("WWW-Authenticate", "")
    if status == 401 and scope:
        sorted_as, codes, message = 403, codes - {"UNAUTHORIZED"}, f"{message} (denied: insufficient scope)"
    wait = read_retry_after(headers.get("Retry-After", ""))
    kind, permanent = _sort_status(sorted_as, codes, said, comes_back=wait is not None)
    return RegistryError(
        message,
        kind=kind,
        reason=_reason(sorted_as, codes, said, kind),
        permanent=permanent,
        retry_after=None if permanent else wait,
        status=sorted_as,
        perhaps_expired=permanent and kind == "remote" and sorted_as == 403 and not scope,
    )


def _sort_status(
    status: int, codes: frozenset[str], said: str, *, comes_back: bool
) -> tuple[ErrorKind, bool]:
    if comes_back and status not in NEVER_LATER:
        return "remote", False
    if (_FULL.search(said) and status != 429) or status in {413, 507}:
        return "remote", True
    if status == 401 or codes & {"UNAUTHORIZED", "UNAUTHENTICATED"} or says_expired(status, said):
        return "auth_expired", False
    limited = "TOOMANYREQUESTS" in codes or (400 <= status < 500 and _LIMITED.search(said))
    if limited or status in TRANSIENT_STATUS or (codes and codes <= TRANSIENT_CODES):
        return "remote", False
    return "remote", True


def _reason(status: int, codes: frozenset[str], said: str, kind: ErrorKind) -> Reason | None:
    """Returns the reason by status, error codes (OCI distribution spec, Error Codes) and text."""
    if kind == "auth_expired":
        return Reason.UNAUTHENTICATED
    if status == 429 or "TOOMANYREQUESTS" in codes:
        return Reason.RATE_LIMITED
    if _FULL.search(said) or status == 507:
        return Reason.FULL
    if "DENIED" in codes:
        return Reason.DENIED
    if status < 500 and _LIMITED.search(said):
        return Reason.RATE_LIMITED
    return _BY_STATUS.get(status) or (Reason.UNAVAILABLE if status in _TROUBLE else None)


_BY_STATUS = {403: Reason.DENIED, 404: Reason.NOT_FOUND, 413: Reason.TOO_LARGE}
_TROUBLE = TRANSIENT_STATUS - {429}


def says_expired(status: int, said: str) -> bool:
    """Tells whether a refusal means that the credential is no longer valid.

    The statuses 419, 440 and 498 mean that themselves; they come from servers for web pages.
    """
    if status in {419, 440, 498}:
        return True
    if "certificate" in said.lower():
        return False
    return (status == 403 and "expired" in said.lower()) or (
        status in {400, 403} and bool(_EXPIRED.search(said))
    )


_FULL = re.compile("|".join((*PATTERNS[Reason.FULL], r"quota")), re.IGNORECASE)
_LIMITED = re.compile("|".join((*PATTERNS[Reason.RATE_LIMITED], r"rate[ _-]?limit")), re.IGNORECASE)
_MARKUP = re.compile(rb"\s*(\xef\xbb\xbf)?\s*<")


def _read_errors(body: bytes) -> tuple[frozenset[str], str, str]:
    """Returns codes, text to sort by and text to show of an error body.

    A body that is no error document of the distribution spec is only used to sort; an HTML page not even for
    that, because its words may be about anything.
    """
    errors = _errors_in(body)
    if not errors:
        said = "" if _MARKUP.match(body) else body[:MAX_SAID].decode("utf-8", "replace")
        return frozenset(), said, f"({FULL})" if _FULL.search(said) else ""
    said = _cut("; ".join(filter(None, map(_say, errors))), MAX_SAID_IN_ALL)
    return frozenset(str(error.get("code") or "").upper()[:MAX_CODE] for error in errors) - {""}, said, said


def _errors_in(body: bytes) -> list[Mapping[str, Any]]:
    """Returns the entries of `errors`, or the one entry that it is; [] for another document."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    found = errors if isinstance(errors, list) else [errors]
    return [error for error in found[:MAX_ERRORS] if isinstance(error, dict) and (error.keys() & _KEYS)]


_KEYS = {"code", "message", "detail"}


def _say(error: Mapping[str, Any]) -> str:
    known = (("code", MAX_CODE), ("message", MAX_SAID))
    words = [(str(error[key]), most) for key, most in known if error.get(key)]
    if error.get("code") != "UNAUTHORIZED":  # there the detail only repeats the scope
        words += [(text, MAX_DETAIL) for text in [_detail(error.get("detail"))] if text]
    return ": ".join(_cut(" ".join(text[: most * 2].split()), most) for text, most in words)


def _detail(detail: object) -> str:
    """Returns the text of a `detail`, which may be a string or any JSON (OCI distribution spec)."""
    if isinstance(detail, str) or not detail:
        return str(detail or "")
    try:
        return json.dumps(detail, ensure_ascii=False)
    except RecursionError:
        return ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def read_retry_after(value: str) -> float | None:
    """Returns the seconds of a Retry-After header (RFC 9110, 10.2.3), between 0 and `MAX_RETRY_AFTER`; None
    for none.
    """
    try:
        seconds = float(
            value.partition(",")[0] if value[:1].isdigit() else value
        )  # two headers are joined by a comma
    except ValueError:
        seconds = _seconds_until(value)
    if seconds != seconds:  # NaN: no readable header
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _seconds_until(date: str) -> float:
    try:
        at = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError, IndexError):
        return float("nan")
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


INNER = "an address of this machine or of a private network"


def inner_address(doing: str, host: str) -> RegistryError:
    """Returns the error for a private address.

    `host` is the registry, its token server or a redirect's target.
    """
    text = f"{doing}: {host} is {INNER}, which is not asked on this registry's behalf."
    return RegistryError(text, reason=Reason.PRIVATE_ADDRESS)


def unreachable(doing: str, fault: BaseException | str) -> RegistryError:
    """Sorts an exception of the transport. A certificate error is permanent; all others may pass."""
    if isinstance(fault, str):
        return RegistryError(f"{doing}: {fault}", kind="push", reason=Reason.UNREACHABLE, permanent=False)
    text = str(fault)
    certificate = "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text
    told = (why for why in (Reason.PLAIN_HTTP, Reason.UNTRUSTED) if says(why, text))
    return RegistryError(
        f"{doing}: {_plain_cause(fault)}",
        kind="push",
        reason=next(told, Reason.UNREACHABLE),
        permanent=certificate,
    )


def _plain_cause(fault: BaseException) -> str:
    """Returns the innermost cause: urllib3 wraps it three times, with addresses of objects in the text."""
    for cause in _causes(fault):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    text = re.sub(r"<[^<>]* object at 0x[0-9a-f]+>:? ?", "", str(fault))
    return text or type(fault).__name__


def _causes(fault: BaseException) -> Iterable[BaseException]:
    seen: list[BaseException] = []
    todo: list[object] = [fault]
    while todo:
        cause = todo.pop()
        if isinstance(cause, BaseException) and cause not in seen:
            seen.append(cause)
            todo += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    return reversed(seen)


def error_details(fault: Exception) -> dict[str, Any]:
    """Returns the contract's keys of an error.

    `kind` is taken from the error, which also covers the control's own.
    """
    kind = getattr(fault, "kind", "internal")
    return {"error": redact(str(fault)), "error_kind": kind, "auth_expired": kind == "auth_expired"}


def redact(text: str) -> str:
    """Masks secrets in a message of a registry, escapes control characters and cuts it to `MAX_MESSAGE`
    characters.
    """
    text = _visible(_without_secrets(text))
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _visible(text: str) -> str:
    """Escapes every character that has an effect but is not seen, such as controls and bidi marks."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
