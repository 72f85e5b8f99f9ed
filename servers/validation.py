"""Validates descriptions of servers, for the API, the console, commands and the catalog.

Errors are Django's `ValidationError` if nothing else is said.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from access import roles
from access.models import Team
from hosting.errors import Invalid, SourceError
from hosting.sources.git import GitSource
from hosting.sources.package import PackageSource, split_extras
from hosting.sources.upload import ArchiveSource
from servers import known_registries
from servers.models import Server, build_choices
from servers.models.server import ENVIRONMENT_NAME, SourceKind

LONGEST_VALUE = 32_768
MOST_VARIABLES = 200
MOST_WORDS = 100
Checked = TypeVar("Checked")
# The platform sets these for each run.
RESERVED = frozenset({"HOME", "HOST", "PATH", "PORT", "TMPDIR"})
RESERVED_PREFIX = "MCPHOST_"
_UNFIT = {
    SourceKind.IMAGE: "An image is built already",
    SourceKind.PACKAGE: "A package is installed by its name, from no files of yours",
}


def clean_source(kind: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the source with exactly the keys of its kind (see `Server.source`). Errors name those keys.

    `kind` is a `SourceKind`. The `archive` of an upload is a name that the platform has given.
    """
    return _CLEANERS[SourceKind(kind)](source)


def with_build(fields: Mapping[str, Any], stored: Server | None = None) -> dict[str, Any]:
    """Returns `fields` as the row holds them: extras in a package's name become build choices.

    `stored` is the server that is changed, None for a new one. Raises `Invalid` for a choice that has no
    meaning for the kind of source.
    """
    if not {"source", "source_kind", "build"} & fields.keys():
        return dict(fields)
    kind = fields.get("source_kind", stored.source_kind if stored else "")
    source = dict(fields.get("source", {}))
    build = dict(fields.get("build", stored.build if stored else {}))
    if source.get("ecosystem") == "pypi":
        source["name"], extras = split_extras(source["name"])
        build |= {"extras": list(dict.fromkeys((*build.get("extras", ()), *extras)))} if extras else {}
    for key in build_choices.unfit(kind, build):
        raise Invalid(f"{_UNFIT[kind]}: leave out {key}.", field=f"build.{key}")
    return {**fields, **({"source": source} if "source" in fields else {}), "build": build}


def check_team(*, user: User, server: Server | None, team: Team | None) -> None:
    """Checks that `user` may give `server` to `team`; `server` None is a new one."""
    if server is not None and team == server.team:
        return
    if server is not None and not roles.may_share(user, owner_id=server.owner_id, team_id=server.team_id):
        raise ValidationError("This is for its owner, an administrator of its team or one of the platform.")
    if team is not None and not roles.operated_teams(user).filter(pk=team.pk).exists():
        raise ValidationError("There is no team of this name that you operate.")


def clean_environment(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns names and values as strings. Errors are a list with a sentence for each wrong variable."""
    if len(values) > MOST_VARIABLES:
        raise ValidationError(f"At most {MOST_VARIABLES} variables.")
    problems = [problem for name, value in values.items() for problem in _variable_problems(name, value)]
    if problems:
        raise ValidationError(problems)
    return {name: str(value) for name, value in values.items()}


def parse_environment(text: str) -> dict[str, str]:
    """Reads lines of `NAME=value`. Skips empty lines and those that start with #."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            # The message leaves the line out: it may hold a password that was pasted in the wrong place.
            raise ValidationError(f"Line {number} has no “=”: write NAME=value.")
        if name.strip() in values:
            raise ValidationError(f"Line {number} sets {name.strip()} a second time.")
        values[name.strip()] = value
    return clean_environment(values)


def parse_words(text: str) -> list[str]:
    """Splits a command line as a shell does, without expanding anything."""
    try:
        return clean_words(shlex.split(text))
    except ValueError:
        raise ValidationError("A quotation mark is not closed.") from None


def clean_words(words: Sequence[Any]) -> list[str]:
    """Returns a command's words as a list, after a check of their number and characters."""
    if len(words) > MOST_WORDS:
        raise ValidationError(f"At most {MOST_WORDS} words.")
    if not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ValidationError("Every word must be text without NUL characters.")
    return list(words)


def is_reserved(name: str) -> bool:
    """Tells whether the platform sets this environment variable itself."""
    return name.upper() in RESERVED or name.upper().startswith(RESERVED_PREFIX)


def _variable_problems(name: str, value: object) -> list[str]:
    try:
        ENVIRONMENT_NAME(name)
    except ValidationError as error:
        return [f"“{name[:40]}” cannot name a variable. {error.message}"]
    if is_reserved(name):
        return [f"{name} is set by the platform: choose another name."]
    if not isinstance(value, str):
        return [f"{name} must be text."]
    if "\0" in value or len(value) > LONGEST_VALUE:
        return [f"{name} must be at most {LONGEST_VALUE} characters, without NUL."]
    return []


def _text(source: Mapping[str, Any], key: str, *, required: str = "", longest: int = 500) -> str:
    value = source.get(key) or ""
    if not isinstance(value, str) or "\0" in value or len(value) > longest:
        raise ValidationError({key: f"Must be text of at most {longest} characters."})
    if required and not value.strip():
        raise ValidationError({key: required})
    return value.strip()


def _checked(key: str, check: Callable[[], object]) -> None:
    try:
        check()
    except SourceError as error:
        raise ValidationError({key: str(error)}) from None


def _git(source: Mapping[str, Any]) -> dict[str, Any]:
    url = _text(source, "url", required="A git source needs a URL.")
    ref, subdirectory = _text(source, "ref", longest=200), _text(source, "subdirectory")
    protocols, named = tuple(settings.GIT_PROTOCOLS), tuple(settings.GIT_PRIVATE_HOSTS)
    _checked("url", GitSource(url, protocols=protocols, private_hosts=named).check)
    if "://" in url and urlsplit(url).password:
        raise ValidationError(
            {"url": "The URL holds a password: give it as the token, which is kept sealed."}
        )
    _checked("ref", GitSource(url, ref, protocols=protocols).check)
    _checked("subdirectory", GitSource(url, ref, subdirectory, protocols=protocols).check)
    return {"url": url, "ref": ref, "subdirectory": subdirectory}


def _upload(source: Mapping[str, Any]) -> dict[str, Any]:
    archive = _text(source, "archive", required="An upload source needs an archive.")
    if archive != Path(archive).name or archive.startswith("."):
        raise ValidationError({"archive": "This is no uploaded archive."})
    known = {key: source[key] for key in ("sha256", "size") if key in source}
    filename = _text(source, "filename", longest=200)
    return {"archive": archive, "filename": filename, **known, **clean_archive_options(source)}


def clean_archive_options(source: Mapping[str, Any]) -> dict[str, str]:
    """Returns `{subdirectory}` if it is given ("" is the top of the archive), else {}."""
    if "subdirectory" not in source:
        return {}
    subdirectory = _text(source, "subdirectory")
    _checked("subdirectory", ArchiveSource(Path(), subdirectory=subdirectory).check)
    return {"subdirectory": subdirectory}


def _image(source: Mapping[str, Any]) -> dict[str, Any]:
    reference = _text(source, "reference", required="An image source needs a reference.")
    _checked("reference", lambda: known_registries.check_image(reference))
    arguments = _keyed("arguments", lambda: clean_words(source.get("arguments") or []))
    return {"reference": reference, **({"arguments": arguments} if arguments else {})}


def _package(source: Mapping[str, Any]) -> dict[str, Any]:
    ecosystem = _text(source, "ecosystem", required="Choose pypi or npm.")
    if ecosystem not in ("pypi", "npm"):
        raise ValidationError({"ecosystem": "Choose pypi or npm."})
    name = _text(source, "name", required="A package source needs a name.", longest=214)
    version = _text(source, "version", longest=100)
    command = _text(source, "command")
    bare, extras = split_extras(name) if ecosystem == "pypi" else (name, ())
    _checked("name", PackageSource(ecosystem, bare).check)  # type: ignore[arg-type]
    _checked("version", PackageSource(ecosystem, bare, version).check)  # type: ignore[arg-type]
    _keyed("name", lambda: build_choices.clean({"extras": list(extras)}))
    _keyed("command", lambda: parse_words(command))
    arguments = _keyed("arguments", lambda: clean_words(source.get("arguments") or []))
    return {
        "ecosystem": ecosystem, "name": name, "version": version, "command": command, "arguments": arguments,
    }  # fmt: skip


def _keyed(key: str, check: Callable[[], Checked]) -> Checked:
    try:
        return check()
    except ValidationError as error:
        raise ValidationError({key: error.messages}) from None


_CLEANERS: dict[SourceKind, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    SourceKind.GIT: _git,
    SourceKind.UPLOAD: _upload,
    SourceKind.IMAGE: _image,
    SourceKind.PACKAGE: _package,
}
