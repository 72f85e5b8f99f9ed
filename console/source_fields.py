"""The form fields of a server's source. `servers.validation` validates them."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from servers import validation
from servers.models.server import SourceKind

# A source's key -> the form's field. `archive` is set when the file is stored.
SOURCE_FIELDS = {
    SourceKind.GIT: {"url": "git_url", "ref": "git_ref", "subdirectory": "git_subdirectory"},
    SourceKind.PACKAGE: {
        "ecosystem": "package_ecosystem",
        "name": "package_name",
        "version": "package_version",
        "command": "package_command",
        "arguments": "package_arguments",
    },
    SourceKind.IMAGE: {"reference": "image_reference", "arguments": "image_arguments"},
    SourceKind.UPLOAD: {"archive": "archive", "subdirectory": "archive_subdirectory"},
}
SOURCES = [
    (
        "Git repository",
        {"classes": ["mh-if-git"], "fields": ["git_url", ("git_ref", "git_subdirectory"), "git_token"]},
    ),
    (
        "Package",
        {
            "classes": ["mh-if-package"],
            "fields": [
                "package_ecosystem",
                ("package_name", "package_version"),
                ("package_command", "package_arguments"),
            ],
        },
    ),
    ("Image", {"classes": ["mh-if-image"], "fields": ["image_reference", "image_arguments"]}),
    ("Archive", {"classes": ["mh-if-upload"], "fields": ["archive", "archive_subdirectory"]}),
]  # fmt: skip


def text(label: str, placeholder: str = "", help_text: str = "", **more: Any) -> forms.CharField:
    widget = UnfoldAdminTextInputWidget(attrs={"placeholder": placeholder, "autocomplete": "off"})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text, **more)


def password(label: str, help_text: str = "") -> forms.CharField:
    """A password field. It is never rendered with a value, not even after an error in the form."""
    classes = " ".join(INPUT_CLASSES)
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password", "class": classes})
    return forms.CharField(label=label, required=False, strip=False, widget=widget, help_text=help_text)


class SourceFields(forms.Form):
    source_kind = forms.ChoiceField(
        label="Source",
        choices=[
            (SourceKind.PACKAGE, "Package (PyPI or npm)"),
            (SourceKind.GIT, "Git repository"),
            (SourceKind.IMAGE, "Existing image"),
            (SourceKind.UPLOAD, "Uploaded archive"),
        ],
        initial=SourceKind.PACKAGE,
        widget=UnfoldAdminRadioSelectWidget,
    )
    git_url = text("URL", "https://git.example.org/team/server.git")
    git_ref = text("Branch, tag or commit", "main", "Empty: the repository's default branch.")
    git_subdirectory = text("Subdirectory", "servers/time", "Empty: the top.")
    git_token = password(
        "Access token", "For a private repository. Stored encrypted; empty keeps the one that is set."
    )
    package_ecosystem = forms.ChoiceField(
        label="From",
        choices=[("pypi", "PyPI"), ("npm", "npm")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    package_name = text("Package", "mcp-server-time")
    package_version = text("Version", "newest", "Empty: the newest one at each deployment.")
    package_command = text("Command", "found in the package", "Which of the package's commands starts it.")
    package_arguments = text("Arguments", "--local-timezone UTC", "Words, quoted as in a shell.")
    image_reference = text("Reference", "registry.example.org/team/server:1.2")
    image_arguments = text("Arguments", "", "Added to the image's own command; quoted as in a shell.")
    archive = forms.FileField(label="Archive", required=False, widget=UnfoldAdminFileFieldWidget)
    archive_subdirectory = text("Subdirectory", "servers/time", "Empty: the top.")

    def clean_package_arguments(self) -> list[str]:
        return validation.parse_words(self.cleaned_data["package_arguments"])

    def clean_image_arguments(self) -> list[str]:
        return validation.parse_words(self.cleaned_data["image_arguments"])
