"""Makes the description of a server, and its secrets, from a document, a package and answers.

Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from catalog import identifiers, inputs
from catalog.document import Document, digest
from catalog.inputs import BRACES, Answers, Slot
from catalog.packages import Option
from hosting.errors import UserError
from hosting.runtimes import kinds
from servers import validation

DEFAULT_PORT, DEFAULT_PATH = 8000, "/mcp"


class BadAnswers(UserError):
    """Answers that do not fit. `problems` maps question keys to sentences."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(" ".join(f"{key}: {text}" for key, text in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True)
class Plan:
    """`fields` are those of `servers.services.create_server`, without slug and owner.

    `secrets` maps variables to values; `origin` is stored in `Server.origin`.
    """

    fields: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    origin: dict[str, Any]


def make(
    document: Document,
    option: Option,
    answers: Answers,
    *,
    runtime: str,
    found_at: Mapping[str, str] | None = None,
    kept_secrets: frozenset[str] = frozenset(),
) -> Plan:
    """Makes the plan. `runtime` is the one that will run the server.

    `found_at` is `{registry, url}`, as far as known. `kept_secrets` are variables whose secret is set
    already. Raises `UserError` for a package that cannot be hosted, and `BadAnswers`.
    """
    if not option.hostable:
        raise UserError(option.why_not)
    staying = [slot for slot in option.slots if _stays(slot, answers, kept_secrets)]
    _check(option, answers, staying)
    environment, secrets = _environment([slot for slot in option.slots if slot not in staying], answers)
    port, path, bearer = _address(option, answers)
    words = _words(option, answers, None if kinds.needs_image(runtime) else "{port}", bearer)
    kind = "image" if option.kind == "oci" else "package"
    fields = {
        "name": (document.get("title") or document["name"].rpartition("/")[2])[:100],
        "source_kind": kind,
        "source": _source(option, words),
        "transport": option.transport,
        "port": port,
        "path": path,
        "environment": environment,
        **({"build": option.launch.build} if option.launch.build else {}),
    }
    return Plan(fields, secrets, _origin(document, option, answers, dict(found_at or {})))


def secret_names(option: Option) -> dict[str, str]:
    """Returns, by question key, the environment variable whose secret contains the answer."""
    return {
        question.key: variable_of(slot)
        for slot in option.slots
        if slot.secret and slot.place != "package"
        for question in slot.questions
    }


def _stays(slot: Slot, answers: Answers, kept: frozenset[str]) -> bool:
    """Tells whether a secret that is set stays: no part of it was answered.

    It is replaced only as a whole.
    """
    typed = any(answers.get(question.key) for question in slot.questions)
    return slot.secret and slot.place != "package" and variable_of(slot) in kept and not typed


def _check(option: Option, answers: Answers, staying: list[Slot]) -> None:
    kept = frozenset(question.key for slot in staying for question in slot.questions)
    if problems := inputs.problems(option.questions, answers, kept):
        raise BadAnswers(problems)


def _environment(slots: list[Slot], answers: Answers) -> tuple[dict[str, str], dict[str, str]]:
    """Returns (plain, sealed) variables, without those that the platform sets itself, such as PORT."""
    plain: dict[str, str] = {}
    sealed: dict[str, str] = {}
    for slot in slots:
        if slot.place == "environment" and not validation.is_reserved(slot.name):
            for name, value in _assignments(slot, answers):
                (sealed if slot.secret else plain)[name] = value
    return plain, sealed


def _assignments(slot: Slot, answers: Answers) -> list[tuple[str, str]]:
    return [(slot.name, value) for value in slot.values(answers)[:1]]


def variable_of(slot: Slot) -> str:
    """Returns the environment variable that a slot sets; "" for an argument."""
    return slot.name if slot.place == "environment" else ""


def _words(option: Option, answers: Answers, port: str | None, bearer: Slot | None) -> list[str]:
    """Returns the arguments after the package's own command. `bearer` is the slot that holds the port."""
    words: list[str] = []
    for slot in option.slots:
        if slot.place != "package":
            continue
        if slot is bearer and port and slot.own:
            words += slot.words({slot.own.key: port})
        else:
            words += slot.words(answers)
    return words


def _address(option: Option, answers: Answers) -> tuple[int, str, Slot | None]:
    """Returns port and path of a Streamable HTTP package's URL template, and the argument that holds the
    port.
    """
    url = ((option.package or {}).get("transport") or {}).get("url", "")
    if not url:
        return DEFAULT_PORT, DEFAULT_PATH, None
    known = _names(option)
    values = {name: (slot.values(answers) or [""])[0] for name, slot in known.items()}
    filled = BRACES.sub(lambda match: values.get(match[1]) or match[0], url)
    try:
        parts = urlsplit(filled if "://" in filled else f"http://{filled}")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise UserError(f"Its URL ({url}) makes no address with these answers.") from None
    mentioned = [known[name] for name in BRACES.findall(urlsplit(url).netloc) if name in known]
    bearer = next((slot for slot in mentioned if slot.place == "package"), None)
    return port, parts.path or "/", bearer


def _names(option: Option) -> dict[str, Slot]:
    """Returns the slots that a transport's URL may mention, by name."""
    found: dict[str, Slot] = {}
    for slot in option.slots:
        for name in (slot.hint, slot.name, slot.name.lstrip("-")):
            if name:
                found.setdefault(name, slot)
    return found


def _source(option: Option, words: list[str]) -> dict[str, Any]:
    assert option.package is not None
    if option.kind == "oci":
        return {"reference": identifiers.reference(option.package), "arguments": words}
    named = identifiers.named(option.package)
    return {
        "ecosystem": option.kind,
        "name": named.name,
        "version": named.version or option.launch.version,
        "command": option.launch.command,
        "arguments": words,
    }


def _origin(
    document: Document, option: Option, answers: Answers, found_at: Mapping[str, str]
) -> dict[str, Any]:
    """Returns what is stored of a server's origin, without secret answers."""
    told = {question.key for question in option.questions if not question.secret}
    sealed = set(secret_names(option))
    kept = {
        key: list(value) if not isinstance(value, str) else value
        for key, value in answers.items()
        if key in told and key not in sealed and value not in ("", [])
    }
    return {
        "name": document["name"],
        "version": document["version"],
        "description": document["description"],
        "digest": digest(document),
        "registry": found_at.get("registry", ""),
        "url": found_at.get("url", ""),
        "package": dict(option.package or {}),
        "answers": kept,
        "notes": list(option.notes),
        "build": option.launch.build,
    }
