"""What goes wrong with a registry, sorted: the tag, the wire, the registry or the credential; may it pass?

Four sources speak: HTTP status and the distribution spec's JSON error codes, the engine's push stream (text
only, and it differs between the classic and the containerd image store), exceptions of `requests` and
`docker`, and our own checks. What no rule knows is `remote`, permanent, and shown whole.

Of an HTTP answer's body nothing is shown but what the distribution spec's error document says: whoever may
name a registry would read other bodies of this network in our errors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

ErrorKind = Literal["tag", "push", "remote", "auth_expired"]

MAX_MESSAGE = 4_000
MAX_ERRORS = 5  # of one document
MAX_CODE, MAX_SAID = 64, 500  # characters of each
FULL = "no space left, or a quota is used up"
MAX_RETRY_AFTER = 300.0
TRANSIENT_STATUS = frozenset({408, 429, 499, 500, 502, 503, 504, 522})
TRANSIENT_CODES = frozenset({"TOOMANYREQUESTS", "UNKNOWN", "UNAVAILABLE", "BLOB_UPLOAD_INVALID"})


class RegistryError(Exception):
    """A failure with a redacted message fit for a screen.

    `kind` is the contract's `error_kind`; `permanent` tells that the same request again cannot help;
    `retry_after` is what the registry asked for, in seconds, capped; `status` its HTTP status if known.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind = "remote",
        permanent: bool = True,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        self.message = redact(message)
        self.kind: ErrorKind = kind
        self.permanent = permanent
        self.retry_after = retry_after
        self.status = status
        super().__init__(self.message)

    @property
    def auth_expired(self) -> bool:
        return self.kind == "auth_expired"

    @property
    def not_found(self) -> bool:
        return self.status == 404

    @property
    def keeps_it_back(self) -> bool:
        """Whether the registry gives it to others perhaps: many say that there is nothing."""
        return self.auth_expired or self.status in (401, 403, 404)


class CredentialError(RegistryError):
    """A credential cannot be had: unreadable file, failing helper, failing refresher."""

    def __init__(self, message: str) -> None:
        super().__init__(message, kind="auth_expired", permanent=True)


def failed_refresh(fault: RegistryError, failure: RegistryError) -> RegistryError:
    """Both errors in one: what was rejected, and why there is nothing better."""
    text = f"{fault.message}\nThe credentials could not be refreshed: {failure.message}"
    return RegistryError(text, kind="auth_expired")


@dataclass(frozen=True)
class _Rule:
    pattern: re.Pattern[str]
    kind: ErrorKind
    permanent: bool


def _rule(kind: ErrorKind, permanent: bool, *phrases: str) -> _Rule:
    return _Rule(re.compile("|".join(phrases), re.IGNORECASE), kind, permanent)


# First match wins. Addresses are cut out before: a repository called "unauthorized" says nothing.
_RULES = (
    _rule(
        "tag",
        True,
        r"does not exist locally with the tag",
        r"\btag does not exist",
        r"invalid reference format",
        r"no such image",
    ),
    _rule("remote", False, r"toomanyrequests", r"\b429\b"),  # may speak of a quota, but of one per minute
    _rule("remote", True, r"no space left", r"quota", r"insufficient storage"),
    _rule("push", True, r"x509:", r"certificate", r"server gave HTTP response to HTTPS client"),
    _rule(
        "auth_expired",
        False,
        r"(token|credentials?|password|session|signature) (has|have|is|are) expired",
        r"expired[_ ]token",
        r"invalid[_ ]token",
        r"\bunauthorized\b",
        r"no basic auth credentials",
        r"authentication (is )?required",
        r"incorrect username or password",
        r"\b401\b",
    ),
    _rule(
        "remote",
        True,
        r"\bdenied\b",
        r"insufficient_scope",
        r"\bname (unknown|invalid)",
        r"manifest (invalid|unverified)",
        r"request entity too large",
        r"\b(400|403|404|405|413|415|507)\b",
    ),
    _rule(
        "remote",
        False,
        r"\b(408|499|500|502|503|504|522)\b",
        r"^(unknown|unavailable|blob upload (invalid|unknown)):",
        r"\bblob unknown",  # pushed again, the layer is sent again
    ),
    _rule(
        "push",
        False,
        r"\bEOF\b",
        r"connection (reset|refused|aborted|closed)",
        r"broken pipe",
        r"closed network connection",
        r"\btime(d[ -]?)?out\b",
        r"deadline exceeded",
        r"request canceled",
        r"no such host",
        r"no route to host",
        r"server misbehaving",
        r"network is unreachable",
        r"temporary failure in name resolution",
    ),
)

LOOKED_AT = 8000  # characters of what an engine says
LONGEST_WORD = 500
_WORD = re.compile(r"\S+")
# Looked for in one word at a time, so that no text takes long.
_NOISE = re.compile(
    r"https?://."  # request addresses
    r"|sha256:[0-9a-f]"  # digests, refs of containerd
    r"|.(?:\..+|:\d+)/."  # host/repository
    r"|:\d+->.+:\d"  # sockets
)
_IP = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?")


def from_engine(text: str) -> RegistryError:
    """Sorts what a Docker engine said, in the push stream or as an API error."""
    bare = _IP.sub("", _WORD.sub(_unless_noise, text[:LOOKED_AT]))
    for rule in _RULES:
        if rule.pattern.search(bare):
            return RegistryError(text, kind=rule.kind, permanent=rule.permanent)
    return RegistryError(text)


def _unless_noise(word: re.Match[str]) -> str:
    return "" if len(word[0]) > LONGEST_WORD or _NOISE.search(word[0]) else word[0]


def from_response(status: int, headers: Mapping[str, str], body: bytes, doing: str) -> RegistryError:
    """Sorts an HTTP answer of a registry or its token server. `doing` names the request, without secrets."""
    codes, said, shown = _read_errors(body)
    message = f"{doing}: HTTP {status}" + (f" {shown}" if shown else "")
    if status == 401 and 'error="insufficient_scope"' in headers.get("WWW-Authenticate", ""):
        status, codes, message = 403, codes - {"UNAUTHORIZED"}, f"{message} (denied: insufficient scope)"
    kind, permanent = _sort_status(status, codes, said)
    retry_after = None if permanent else read_retry_after(headers.get("Retry-After", ""))
    return RegistryError(message, kind=kind, permanent=permanent, retry_after=retry_after, status=status)


def _sort_status(status: int, codes: frozenset[str], said: str) -> tuple[ErrorKind, bool]:
    if (_FULL.search(said) and status != 429) or status in {413, 507}:
        return "remote", True
    expired = re.search(r"\bexpired\b", said, re.IGNORECASE)
    if status == 401 or "UNAUTHORIZED" in codes or (status == 403 and expired):
        return "auth_expired", False
    if status in TRANSIENT_STATUS or (codes and codes <= TRANSIENT_CODES):
        return "remote", False
    return "remote", True


_FULL = re.compile(r"no space left|quota", re.IGNORECASE)


def _read_errors(body: bytes) -> tuple[frozenset[str], str, str]:
    """Codes, text to sort by, text to show of a distribution-spec error body; another's only sorts."""
    try:
        errors = json.loads(body)["errors"][:MAX_ERRORS]
        codes = frozenset(str(error["code"]).upper()[:MAX_CODE] for error in errors)
        said = "; ".join(_say(error) for error in errors)
    except (ValueError, TypeError, KeyError, RecursionError):
        said = body[:MAX_SAID].decode("utf-8", "replace")
        return frozenset(), said, f"({FULL})" if _FULL.search(said) else ""
    return codes, said, said


def _say(error: Mapping[str, Any]) -> str:
    known = (("code", MAX_CODE), ("message", MAX_SAID))
    words = ((str(error[key]), most) for key, most in known if error.get(key))
    return ": ".join(_cut(" ".join(text[: most * 2].split()), most) for text, most in words)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def visible(text: str, keep: str = "") -> str:
    """`text` with each character that would act and not show (controls, marks of direction) as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def read_retry_after(value: str) -> float | None:
    """Seconds of a Retry-After header (a number or an HTTP date), from 0 up to `MAX_RETRY_AFTER`."""
    try:
        seconds = float(value)
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
    """`host` is where the registry is said to be, or where its token server or a redirect lies."""
    return RegistryError(f"{doing}: {host} is {INNER}, which is not asked on this registry's behalf.")


def unreachable(doing: str, fault: BaseException | str) -> RegistryError:
    """Sorts an exception of the transport: a certificate stays wrong, everything else may pass."""
    if isinstance(fault, str):
        return RegistryError(f"{doing}: {fault}", kind="push", permanent=False)
    text = str(fault)
    certificate = "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text
    return RegistryError(f"{doing}: {_plain_cause(fault)}", kind="push", permanent=certificate)


def _plain_cause(fault: BaseException) -> str:
    """The innermost reason, since urllib3 wraps it three times with addresses of objects."""
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


_SECRETS = (
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+@"), ""),
    (re.compile(r"\beyJ[\w-]+\.[\w-]*(?:\.[\w-]*)?"), "[redacted]"),
    (re.compile(r"(authorization[\"']?\s*[=:]\s*[\"']?\w+ +)[^\s\"']+", re.IGNORECASE), r"\1[redacted]"),
    (re.compile(r"\b(Basic|Bearer) +(?=\S*[\d+/=])[\w.~+/=-]{6,}", re.IGNORECASE), r"\1 [redacted]"),
    (
        re.compile(
            r"((?:password|passwd|secret|token|signature|credential|_state)"
            r"(?:\s*=\s*[\"']?|[\"']\s*:\s*[\"']|\s*:\s*(?=\S*\d)))"
            r"(?!\[redacted\])[\w.~+/=%-]{8,}",
            re.IGNORECASE,
        ),
        r"\1[redacted]",
    ),
)


def redact(text: str) -> str:
    """Takes out what looks like a secret: URL passwords, JWTs, Authorization values, signed query strings.

    And what no database keeps and no terminal should obey: a registry's answer may hold anything.
    """
    text = visible(text.replace("\x00", "").encode(errors="replace").decode(), keep="\n\t")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def described(fault: Exception) -> dict[str, Any]:
    """The contract's keys of an error; one that the caller's control raised brings its own `kind`."""
    kind = getattr(fault, "kind", "internal")
    return {"error": redact(str(fault)), "error_kind": kind, "auth_expired": kind == "auth_expired"}
