"""Turns git's output into errors that say what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hosting.errors import SourceError
from hosting.tooling import Outcome
from registry.reasons import PATTERNS, Reason

UNKNOWN_REF = re.compile(
    r"couldn't find remote ref|not our ref|unadvertised object|unknown revision|did not contain"
    r"|Unable to find current|reference is not a tree|no such remote ref|invalid refspec",
    re.IGNORECASE,
)
SUBMODULE = re.compile(r"(?:Failed to clone|in submodule path) '(?P<path>[^'\n]{1,200})'")
SHOWN_BRANCHES = 10
# (pattern, message, hint, permanent, reason); the first that matches counts. {url} is the repository's.
KNOWN: tuple[tuple[re.Pattern[str], str, str, bool, Reason | None], ...] = (
    (
        re.compile(r"transport '\w+' not allowed", re.IGNORECASE),
        "{url} uses a protocol that is not allowed here.",
        "Use an https:// or ssh:// URL, for submodules too.",
        True,
        None,
    ),
    (
        re.compile(r"host key verification failed", re.IGNORECASE),
        "The SSH host key of {url} is not known on this machine.",
        "Add it to known_hosts of the account that runs the platform (ssh-keyscan), or use an https:// URL.",
        True,
        Reason.UNTRUSTED,
    ),
    (
        re.compile(
            r"could not read (Username|Password)|authentication failed|terminal prompts disabled"
            r"|HTTP Basic: access denied|permission denied \(|returned error: 40[13]",
            re.IGNORECASE,
        ),
        "{url} refused access.",
        "It is private or does not exist: check the URL, and give a token that may read it.",
        True,
        Reason.DENIED,
    ),
    (
        re.compile(
            r"repository .*not found|returned error: 404|does not appear to be a git repository"
            r"|repository .*does not exist|no such file or directory",
            re.IGNORECASE,
        ),
        "There is no repository at {url}.",
        "Check the URL; a private repository needs a token.",
        True,
        Reason.NOT_FOUND,
    ),
    (
        re.compile(
            "|".join(
                (
                    *PATTERNS[Reason.UNREACHABLE],
                    r"failed to connect|couldn't connect|unexpected disconnect|empty reply from server",
                    r"returned error: 5\d\d|SOCKS5? connection",
                )
            ),
            re.IGNORECASE,
        ),
        "{url} cannot be reached.",
        "Check the host name, and the network and proxy of this machine; then try again.",
        False,
        Reason.UNREACHABLE,
    ),
    (
        re.compile(r"certificate|SSL|TLS", re.IGNORECASE),
        "The TLS certificate of {url} is not trusted.",
        "Behind a proxy with its own CA, set the CA bundle for builds.",
        True,
        Reason.UNTRUSTED,
    ),
)


def is_unknown_ref(outcome: Outcome) -> bool:
    """Tells whether git failed because the remote does not have the branch, tag or commit."""
    return bool(UNKNOWN_REF.search(outcome.text))


def unknown_ref(url: str, ref: str) -> SourceError:
    """Returns the error for a branch, tag or commit that the repository does not have."""
    return SourceError(
        f"The repository {url} has no branch, tag or commit “{ref}”.",
        hint="Check the spelling of the ref.",
        reason=Reason.NOT_FOUND,
    )


def translate(outcome: Outcome, url: str, ref: str, *, of_submodule: bool = False) -> SourceError:
    """Returns the error to raise for a git command that failed while it fetched `ref` of `url`."""
    if outcome.out_of_space:
        return no_space("fetching the repository")
    subject = _submodule(outcome, url) if of_submodule else url
    for pattern, message, hint, permanent, reason in KNOWN:
        if pattern.search(outcome.text):
            return SourceError(
                message.format(url=subject),
                hint=hint,
                permanent=permanent,
                reason=reason,
                details=_said(outcome),
            )
    if is_unknown_ref(outcome):
        return empty(subject) if ref in ("", "HEAD") else unknown_ref(subject, ref)
    said = outcome.lines[-1] if outcome.lines else f"exit code {outcome.code}"
    return SourceError(f"git could not fetch {subject}: {said}", details=_said(outcome))


def _submodule(outcome: Outcome, url: str) -> str:
    found = SUBMODULE.search(outcome.text)
    return f"The submodule {found['path']} of {url}" if found else f"A submodule of {url}"


def no_default_branch(url: str, branches: Sequence[str]) -> SourceError:
    """Returns the error for a repository without a default branch.

    `branches` are the branches that it has.
    """
    if not branches:
        return empty(url)
    shown = ", ".join(branches[:SHOWN_BRANCHES]) + (", …" if len(branches) > SHOWN_BRANCHES else "")
    return SourceError(
        f"The repository {url} names no default branch.", hint=f"Choose one of these: {shown}."
    )


def inner(host: str) -> SourceError:
    """Returns the error for a host that lies on this machine or in a private network."""
    return SourceError(
        f"{host} is an address of this machine or of a private network: sources are not fetched from there.",
        reason=Reason.PRIVATE_ADDRESS,
        hint=f"If they may be, add {host} to GIT_PRIVATE_HOSTS.",
    )


def empty(url: str) -> SourceError:
    return SourceError(f"The repository {url} is empty.", hint="Push a commit to its default branch first.")


def no_space(doing: str) -> SourceError:
    """Returns the error for a full disk. `doing` completes “The disk filled up while …”."""
    return SourceError(
        f"The disk filled up while {doing}.",
        hint="Free some space where DATA_DIR and the temporary directory lie; then try again.",
        reason=Reason.FULL,
        permanent=False,
    )


def _said(outcome: Outcome) -> dict[str, list[str]]:
    return {"lines": list(outcome.lines[-10:])}
