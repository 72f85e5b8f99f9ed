"""Forms for a document and for a package's questions. `catalog.inputs` decides which answers are valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from catalog import document
from catalog.inputs import Question
from catalog.packages import Option
from catalog.plan import BadAnswers
from servers.models.server import SLUG

PREFIX = "answer-"


class DocumentForm(forms.Form):
    """A document: by URL, as a file, or as text."""

    url = forms.CharField(
        label="URL",
        required=False,
        max_length=2000,
        help_text="Of a server.json, or of one version at a registry API.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "https://…", "autocomplete": "off"}),
    )
    file = forms.FileField(label="File", required=False, widget=UnfoldAdminFileFieldWidget)
    text = forms.CharField(
        label="Document",
        required=False,
        max_length=document.LARGEST,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 6, "spellcheck": "false", "class": "mh-mono", "placeholder": '{"name": …}'}
        ),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file and file.size > document.LARGEST:
            raise forms.ValidationError(f"At most {document.LARGEST // 1024} KiB.")
        return file

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and sum(bool(data.get(key)) for key in ("url", "file", "text")) != 1:
            raise forms.ValidationError("Give one of the three: a URL, a file, or the document itself.")
        return data


class AnswersForm(forms.Form):
    """The questions of one package.

    `answers` are initial values, `kept` the keys of secrets that are set and may stay, `new` the initial name
    and slug of a server to make.
    """

    def __init__(
        self,
        option: Option,
        *args: Any,
        answers: Mapping[str, Any] | None = None,
        kept: frozenset[str] = frozenset(),
        new: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.option = option
        if new is not None:
            self._ask_for_name(new)
        for question in option.questions:
            self.fields[PREFIX + question.key] = _field(question, (answers or {}), question.key in kept)
        self.fields["deploy"] = forms.BooleanField(
            label="Deploy now", required=False, initial=True, widget=UnfoldBooleanWidget
        )

    def _ask_for_name(self, new: Mapping[str, str]) -> None:
        self.fields["name"] = forms.CharField(
            max_length=100, initial=new["name"], widget=UnfoldAdminTextInputWidget()
        )
        self.fields["slug"] = forms.CharField(
            max_length=48,
            initial=new["slug"],
            validators=[SLUG],
            help_text="The URL ends with it.",
            widget=UnfoldAdminTextInputWidget(),
        )

    def answers(self) -> dict[str, str | list[str]]:
        """Returns the answers by question key, as `catalog.plan.make` takes them."""
        return {q.key: _answer(q, self.cleaned_data[PREFIX + q.key]) for q in self.option.questions}

    def tell(self, error: BadAnswers) -> None:
        """Shows the problems at their fields."""
        for key, text in error.problems.items():
            self.add_error(PREFIX + key if PREFIX + key in self.fields else None, text)


def _answer(question: Question, value: Any) -> str | list[str]:
    if question.repeated:
        return [line for line in str(value).splitlines() if line.strip()]
    return str(value)


def _field(question: Question, answers: Mapping[str, Any], kept: bool) -> forms.Field:
    initial = answers.get(question.key, question.default)
    return forms.CharField(
        label=question.label or question.key,
        required=question.required and not kept,
        strip=False,
        initial="" if question.secret else "\n".join(initial) if isinstance(initial, list) else initial,
        help_text=_help(question, kept),
        widget=_widget(question),
        error_messages={"required": "A value is needed."},
    )


def _help(question: Question, kept: bool) -> str:
    description = question.description.strip()
    parts = [description + ("" if not description or description[-1] in ".!?:)" else ".")]
    if question.repeated:
        parts.append("One value per line.")
    if question.format == "filepath":
        parts.append("A path that the server itself can read.")
    if question.secret:
        parts.append("Kept sealed." + (" Empty keeps the one that is set." if kept else ""))
    return " ".join(filter(None, parts))


def _widget(question: Question) -> Any:
    attrs = {"placeholder": question.placeholder, "autocomplete": "off"}
    if question.secret:
        classes = " ".join(INPUT_CLASSES)
        return UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "class": classes})
    choices = question.choices or (("true", "false") if question.format == "boolean" else ())
    if choices and not question.repeated:
        none = [] if question.required and question.default else [("", "—")]
        return UnfoldAdminSelectWidget(choices=[*none, *((c, c) for c in choices)])
    if question.repeated:
        return UnfoldAdminTextareaWidget(attrs={"rows": 3, **attrs})
    return UnfoldAdminTextInputWidget(attrs=attrs)
