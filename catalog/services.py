"""The actions of the catalog: make a server from a document, look for a newer version, update a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from access import audit
from access.actor import Actor
from catalog import building, packages, plan, registry
from catalog.document import Document
from catalog.identifiers import family
from catalog.inputs import Answers
from catalog.packages import Option
from catalog.plan import Plan
from hosting.errors import Conflict, Invalid, UserError
from servers import intake, runtime_choice, services, validation
from servers.models import Deployment, Server, build_choices
from servers.models.server import SecretPurpose
from servers.states import Trigger

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Found:
    """A document and where it was found; `registry` and `url` may be ""."""

    document: Document
    registry: str = ""
    url: str = ""

    @property
    def place(self) -> dict[str, str]:
        """`{registry, url}`, as `catalog.plan.make` takes it."""
        return {"registry": self.registry, "url": self.url}


def look_up(*, name: str, version: str = "latest", base: str = "") -> Found:
    """Returns a version of a server from a registry API, by default CATALOG_REGISTRY_URL.

    Raises `UserError`.
    """
    base = base or registry.base_url()
    document = registry.read(name, version, base)
    return Found(document, base, registry.url_of(document["name"], document["version"], base))


def fetch(*, url: str) -> Found:
    """Returns the document at a URL: a server.json, or a registry's answer for one version.

    Raises `UserError`.
    """
    document, base = registry.read_url(url), url.partition("/v0.1/servers/")
    return Found(document, base[0] if base[1] else "", url)


def options(document: Document) -> list[Option]:
    """Returns the packages of a document, for the runtimes of this platform."""
    return packages.options(document, runtimes())


def runtimes() -> frozenset[str]:
    """Returns the runtimes of this platform."""
    return frozenset({runtime_choice.default_runtime(), *runtime_choice.runtimes_in_use()})


def chosen(document: Document, index: int | None = None) -> Option:
    """Returns the package with this index, or the first that can be hosted. Raises `Invalid`."""
    found = options(document)
    if index is not None:
        if not 0 <= index < len(found):
            raise Invalid("The document has no such package.", field="package")
        return found[index]
    option = packages.preselected(found)
    if option is None:
        raise Invalid(_nothing_to_host(document, found), field="package")
    return option


@transaction.atomic
def import_server(
    *,
    found: Found,
    option: Option,
    answers: Answers,
    by: Actor,
    trigger: Trigger,
    name: str = "",
    slug: str = "",
    deploy: bool = True,
    build: Mapping[str, Any] = NOTHING,
) -> tuple[Server, Deployment | None]:
    """Makes a server from one package of a document, and deploys it if `deploy` is set.

    `build` is what a person sets for the installation besides what the document says. Raises `UserError`,
    `BadAnswers`, `ValidationError`.
    """
    made = _planned(found, option, answers)
    fields = {**made.fields, "origin": made.origin}
    fields["build"] = building.joined(fields.get("build", {}), _clean_build(build, option))
    fields["name"] = name.strip() or fields["name"]
    fields["slug"] = slug or intake.free_slug(found.document["name"].rpartition("/")[2])
    server, deployment = intake.create(
        by=by, fields=fields, trigger=trigger, secrets=made.secrets, deploy=deploy
    )
    audit.record(action="catalog.imported", target=server, by=by, after=_told(made.origin))
    return server, deployment


def newer(server: Server) -> Found | None:
    """Returns the newest version at the registry where the server was found; None if the server has it.

    Raises `Conflict` for a server without a known registry, and `UserError`.
    """
    origin = server.origin
    if not origin.get("registry"):
        raise Conflict(
            f"{server.name} comes from no registry: there is nowhere to look.",
            hint="To move it to another version, import that version's server.json again.",
        )
    found = look_up(name=origin["name"], base=origin["registry"])
    if found.document["name"] != origin["name"]:
        raise UserError(f"The registry answers for another server: {found.document['name']}.")
    return None if found.document["version"] == origin["version"] else found


def same_package(server: Server, document: Document) -> Option:
    """Returns the package of `document` that continues the one that the server runs. Raises `Invalid`."""
    before = server.origin.get("package") or {}
    alike = [o for o in options(document) if o.kind == before.get("registryType") and o.hostable]
    same = [o for o in alike if o.package and family(o.package) == family(before)]
    return (same or alike or [chosen(document)])[0]


def old_answers(server: Server, option: Option) -> dict[str, Any]:
    """Returns the earlier answers that this version still asks for and accepts."""
    before = {**server.origin.get("answers", {})}
    asked = {question.key: question for question in option.questions}
    return {k: v for k, v in before.items() if k in asked and not asked[k].problem({k: v})}


def kept_secrets(server: Server) -> frozenset[str]:
    """Returns the names of the server's secret environment variables."""
    rows = server.secrets.filter(purpose=SecretPurpose.ENVIRONMENT)
    return frozenset(rows.values_list("name", flat=True))


@transaction.atomic
def update(
    *,
    server: Server,
    found: Found,
    option: Option,
    answers: Answers,
    by: Actor,
    trigger: Trigger,
    deploy: bool = True,
) -> tuple[Server, Deployment | None]:
    """Changes a server to another version of its document, and deploys it if `deploy` is set.

    Its name, limits and additional variables stay, and so does what a person set in its build. Raises
    `Conflict` for another server's document, `UserError`, `BadAnswers`, `ValidationError`.
    """
    if found.document["name"] != server.origin.get("name"):
        raise Conflict(f"This document is of {found.document['name']}, not of {server.origin.get('name')}.")
    made = _planned(found, option, answers, kept=kept_secrets(server))
    before = _told(server.origin)
    kept_names = _own_variables(server)
    environment = {name: value for name, value in server.environment.items() if name in kept_names}
    fields = {key: made.fields[key] for key in ("source_kind", "source", "transport", "port", "path")}
    fields |= {"environment": {**environment, **made.fields["environment"]}, "origin": made.origin}
    before_build, build = server.origin.get("build", {}), made.fields.get("build", {})
    fields["build"] = building.carried(server.build, before_build, build)
    changed = services.update_server(server=server, fields=fields, by=by)
    for name, value in made.secrets.items():
        services.set_secret(server=changed, name=name, value=value, by=by)
    audit.record(action="catalog.updated", target=changed, by=by, before=before, after=_told(made.origin))
    return changed, services.deploy(server=changed, by=by, trigger=trigger) if deploy else None


def _planned(found: Found, option: Option, answers: Answers, kept: frozenset[str] = frozenset()) -> Plan:
    made = plan.make(
        found.document,
        option,
        answers,
        runtime=runtime_choice.default_runtime(),
        found_at=found.place,
        kept_secrets=kept,
    )
    fields = made.fields
    try:
        fields["source"] = validation.clean_source(fields["source_kind"], fields["source"])
        validation.clean_environment(fields["environment"])
        build_choices.validate(fields.get("build", {}))
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field="package") from error
    return made


def _clean_build(build: Mapping[str, Any], option: Option) -> dict[str, Any]:
    try:
        found = build_choices.clean(build)
    except ValidationError as error:
        key, texts = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(texts), field=f"build.{key}") from error
    alien = [key for key in building.OF_DOCUMENTS if key in found and option.kind != "pypi"]
    if alien:
        raise Invalid("This is for packages of PyPI; the chosen one is none.", field=f"build.{alien[0]}")
    return found


def _own_variables(server: Server) -> frozenset[str]:
    """Returns the variables that an operator added to those of the document."""
    package = server.origin.get("package") or {}
    told = {plan.variable_of(slot) for slot in packages.slots(package)}
    return frozenset(server.environment) - told


def _told(origin: Mapping[str, Any]) -> dict[str, Any]:
    return {key: origin.get(key, "") for key in ("name", "version", "digest", "registry", "url")}


def _nothing_to_host(document: Document, found: list[Option]) -> str:
    if not found and document.get("remotes"):
        return "It is run by its publisher (a remote): there is nothing in it to host here."
    if not found:
        return "The document names no package."
    return " ".join(f"{option.identifier}: {option.why_not}" for option in found)
