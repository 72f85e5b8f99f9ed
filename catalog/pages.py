"""The console's pages of the catalog: find a document, answer its questions, update a server from a newer
one.

No state is kept between the pages: the document is in the form, signed.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core import signing
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views import View

from access import roles
from access.actor import at_console
from catalog import document, packages, registry, services
from catalog.forms import AnswersForm, DocumentForm
from catalog.packages import Option
from catalog.plan import BadAnswers, secret_names
from catalog.services import Found
from hosting.errors import UserError
from servers import display, intake
from servers.front.larger import takes_files
from servers.ids import id_in
from servers.models import Server
from servers.states import Trigger

SALT = "catalog.document"


class CatalogView(View):
    """A page of the console, with the frame of the admin site."""

    def page(self, template: str, title: str, **context: Any) -> HttpResponse:
        """Renders a template of `admin/catalog/`."""
        frame = admin.site.each_context(self.request)
        path = f"admin/catalog/{template}.html"
        response = render(self.request, path, {**frame, "title": title, **context})
        response["Cache-Control"] = "no-store"
        return response

    def unsealed(self) -> Found:
        """Returns the document that an earlier page put into the form.

        Raises `Http404` if its signature is wrong.
        """
        try:
            return Found(**signing.loads(self.request.POST.get("sealed", ""), salt=SALT))
        except (signing.BadSignature, TypeError):
            raise Http404("This form is not from here: begin again.") from None

    def bound(self, option: Option, found: Found, **more: Any) -> AnswersForm:
        """Returns the form with the request's answers."""
        return AnswersForm(option, self.request.POST, **more)


def sealed(found: Found) -> str:
    """Returns the document as signed text for the form."""
    held = {"document": found.document, "registry": found.registry, "url": found.url}
    return signing.dumps(held, salt=SALT, compress=True)


class AddView(CatalogView):
    """Finds a document by search, URL, file or text; then asks the questions of one package."""

    @takes_files(
        lambda: 2 * document.LARGEST
    )  # as a file, or as text, whose encoding in a form may be longer
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not roles.may_add(request.user):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        name = request.GET.get("name", "")
        if not name:
            return self._start(DocumentForm())
        try:
            return self._ask(services.look_up(name=name, version=request.GET.get("version") or "latest"))
        except UserError as error:
            messages.error(request, str(error))
            return self._start(DocumentForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        if "sealed" not in request.POST:
            return self._read()
        found = self.unsealed()
        if "choose" in request.POST:
            return self._ask(found, _index(request.POST["choose"]))
        return self._make(found, services.chosen(found.document, _index(request.POST.get("package"))))

    def _read(self) -> HttpResponse:
        form = DocumentForm(self.request.POST, self.request.FILES)
        if not form.is_valid():
            return self._start(form)
        try:
            return self._ask(_found_by(form))
        except UserError as error:
            field = "url" if form.cleaned_data["url"] else "file" if form.cleaned_data["file"] else "text"
            form.add_error(field, str(error))
            return self._start(form)

    def _start(self, form: DocumentForm) -> HttpResponse:
        text = self.request.GET.get("q", "").strip()
        found, trouble = None, ""
        if text:
            try:
                found = registry.search(text)
            except UserError as error:
                trouble = str(error)
        return self.page(
            "start", "Add from catalog", form=form, q=text, entries=found, trouble=trouble,
            registry=registry.base_url(),
        )  # fmt: skip

    def _ask(self, found: Found, index: int | None = None, form: AnswersForm | None = None) -> HttpResponse:
        every = services.options(found.document)
        option = form.option if form else _option(every, index)
        if option is not None and option.hostable:
            form = form or AnswersForm(option, new=_names(found))
        return self.page(
            "answers",
            found.document.get("title") or found.document["name"],
            document=found.document,
            digest=document.digest(found.document),
            found=found,
            sealed=sealed(found),
            options=every,
            option=option,
            form=form,
            remotes=packages.remotes(found.document),
            action="Add the server",
        )

    def _make(self, found: Found, option: Option) -> HttpResponse:
        form = self.bound(option, found, new=_names(found))
        by = at_console(self.request)
        if form.is_valid():
            try:
                server, _ = services.import_server(
                    found=found, option=option, answers=form.answers(), by=by, trigger=Trigger.ADMIN,
                    name=form.cleaned_data["name"], slug=form.cleaned_data["slug"],
                    deploy=form.cleaned_data["deploy"],
                )  # fmt: skip
            except (UserError, ValidationError, IntegrityError) as error:
                refuse(form, error)
            else:
                messages.success(self.request, f"{server.name} was added.")
                return HttpResponseRedirect(display.server_url(server.pk))
        return self._ask(found, form=form)


class UpdateView(CatalogView):
    """Updates a server from the newest version of its document, with the old answers filled in."""

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        self.server: Server = _server(request, kwargs["pk"])

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        try:
            found = services.newer(self.server)
        except UserError as error:
            messages.error(request, str(error))
            return self._home()
        if found is None:
            version = self.server.origin["version"]
            messages.success(request, f"{self.server.name} is at the newest version there is, {version}.")
            return self._home()
        return self._ask(found)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        found = self.unsealed()
        try:
            option = services.same_package(self.server, found.document)
        except UserError as error:
            messages.error(request, str(error))
            return self._home()
        form = self.bound(option, found, **self._kept(option))
        by = at_console(request)
        if form.is_valid():
            try:
                changed, _ = services.update(
                    server=self.server, found=found, option=option, answers=form.answers(), by=by,
                    trigger=Trigger.ADMIN, deploy=form.cleaned_data["deploy"],
                )  # fmt: skip
            except (UserError, ValidationError) as error:
                refuse(form, error)
            else:
                version = found.document["version"]
                messages.success(request, f"{self.server.name} is described by version {version} now.")
                for secret in changed.dropped:
                    messages.warning(request, display.dropped(secret, changed))
                return self._home()
        return self._ask(found, form)

    def _ask(self, found: Found, form: AnswersForm | None = None) -> HttpResponse:
        every = services.options(found.document)
        option = form.option if form else self._same(found) if packages.preselected(every) else None
        if option and not form:
            form = AnswersForm(
                option, answers=services.old_answers(self.server, option), **self._kept(option)
            )
        return self.page(
            "answers",
            f"{self.server.name}: version {found.document['version']}",
            server=self.server,
            document=found.document,
            digest=document.digest(found.document),
            found=found,
            sealed=sealed(found),
            options=[each for each in every if not option or each.index == option.index],
            option=option,
            form=form,
            remotes=[],
            action="Update the server",
        )

    def _same(self, found: Found) -> Option:
        return services.same_package(self.server, found.document)

    def _kept(self, option: Option) -> dict[str, Any]:
        held = services.kept_secrets(self.server)
        return {"kept": frozenset(k for k, name in secret_names(option).items() if name in held)}

    def _home(self) -> HttpResponse:
        return HttpResponseRedirect(display.server_url(self.server.pk))


def refuse(form: AnswersForm, error: Exception) -> None:
    """Shows an error at its field of the form; the answers stay."""
    if isinstance(error, BadAnswers):
        form.tell(error)
    elif isinstance(error, ValidationError) and hasattr(error, "error_dict"):
        for field, texts in error.message_dict.items():
            form.add_error(field if field in form.fields else None, texts)
    elif isinstance(error, IntegrityError):
        form.add_error("slug", "This slug was taken just now: choose another one.")
    else:
        form.add_error(None, str(error) if isinstance(error, UserError) else "It was refused.")


def _found_by(form: DocumentForm) -> Found:
    data = form.cleaned_data
    if data["url"]:
        return services.fetch(url=data["url"])
    return Found(document.parse(data["file"].read() if data["file"] else data["text"]))


def _server(request: HttpRequest, pk: int) -> Server:
    server = Server.objects.visible_to(request.user).filter(pk=pk).first()
    if server is None:
        raise Http404("There is no such server (any more).")
    if not server.is_operable_by(request.user):
        raise PermissionDenied
    return server


def _index(value: Any) -> int | None:
    return id_in(value) if isinstance(value, str) else None


def _option(every: list[Option], index: int | None) -> Option | None:
    if index is not None and index < len(every):
        return every[index]
    return packages.preselected(every) or (every[0] if every else None)


def _names(found: Found) -> dict[str, str]:
    short = found.document["name"].rpartition("/")[2]
    return {"name": (found.document.get("title") or short)[:100], "slug": intake.free_slug(short)}
