from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from servers import uploads
from servers.models import Server
from servers.models.server import GIT_TOKEN
from tests.platform import archive_of

PACKAGE = {"source_kind": "package", "package_ecosystem": "pypi", "package_name": "mcp-server-time"}


@pytest.fixture(autouse=True)
def data_dir(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def add(client: Client, **fields: Any) -> Any:
    given = {
        "name": "New one",
        "port": "8000",
        "path": "/mcp",
        "cpu": "1",
        "memory_mb": "512",
        "pids": "128",
        "deploy": "on",
        **fields,
    }
    return client.post(reverse("admin:servers_server_add"), given)


def problems(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def test_a_package_is_added_and_deployed(console: Client, staff: User) -> None:
    answer = add(
        console,
        **PACKAGE,
        package_arguments="--local-timezone 'Europe/Zurich'",
        environment_lines="LOG=a=b\n",
        secret_name_1="API_KEY",
        secret_value_1=" s3cret ",
    )
    server = Server.objects.get()
    assert answer["Location"] == reverse("admin:servers_server_change", args=[server.pk])
    assert (server.slug, server.owner, server.transport) == ("new-one", staff, "stdio")
    assert server.source["arguments"] == ["--local-timezone", "Europe/Zurich"]
    assert server.environment == {"LOG": "a=b"}
    assert server.secrets.get().reveal() == " s3cret "
    deployment = server.deployments.get()
    assert (deployment.trigger, deployment.requested_by) == ("admin", staff)


def test_without_the_tick_nothing_is_deployed(console: Client) -> None:
    add(console, **PACKAGE, deploy="")
    assert Server.objects.get().deployments.count() == 0


def test_a_git_repository_with_its_token(console: Client) -> None:
    add(
        console,
        source_kind="git",
        git_url="https://git.example.org/a.git",
        git_ref="main",
        git_token="tok-en-tok-en",
    )
    server = Server.objects.get()
    assert server.source == {"url": "https://git.example.org/a.git", "ref": "main", "subdirectory": ""}
    token = server.secrets.get()
    assert (token.purpose, token.name, token.reveal()) == ("source", GIT_TOKEN, "tok-en-tok-en")
    assert "tok-en" not in console.get(reverse("admin:servers_server_edit", args=[server.pk])).text


def test_an_image_listens_over_http_unless_told_otherwise(console: Client) -> None:
    add(console, source_kind="image", image_reference="registry.example.org/team/a:1")
    assert Server.objects.get().transport == "streamable-http"


def test_an_archive_is_kept(console: Client) -> None:
    content = archive_of({"server.py": "print()"})
    add(console, source_kind="upload", archive=SimpleUploadedFile("mine.tar.gz", content))
    server = Server.objects.get()
    assert server.source["filename"] == "mine.tar.gz"
    assert uploads.path_of(server).read_bytes() == content


def test_where_in_its_archive_a_server_lies(console: Client) -> None:
    content = archive_of({"one/server.py": "print()"})
    chosen = {"source_kind": "upload", "archive_subdirectory": "one"}
    add(console, **chosen, archive=SimpleUploadedFile("mine.tar.gz", content))
    server = Server.objects.get()
    assert server.source["subdirectory"] == "one"
    page = console.get(reverse("admin:servers_server_edit", args=[server.pk]))
    assert page.context["adminform"].form["archive_subdirectory"].value() == "one"

    chosen["archive_subdirectory"] = "../one"
    answer = add(console, **chosen, archive=SimpleUploadedFile("other.tar.gz", content))
    assert "does not lie inside the archive" in problems(answer)["archive_subdirectory"][0]


def test_an_archive_over_the_limit_is_refused(console: Client, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 2048
    answer = add(console, source_kind="upload", archive=SimpleUploadedFile("a.zip", b"x" * 2049))
    assert "UPLOAD_MAX_BYTES" in problems(answer)["archive"][0]
    assert not Server.objects.exists()


def test_an_archive_of_an_unknown_kind_is_refused(console: Client) -> None:
    answer = add(console, source_kind="upload", archive=SimpleUploadedFile("a.exe", b"MZ"))
    assert "archive" in problems(answer)
    assert not Server.objects.exists()


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"name": ""}, "name", "This field is required."),
        ({"slug": "Not A Slug"}, "slug", "Use 1 to 48 lower-case letters"),
        ({"package_name": ""}, "package_name", "A package source needs a name."),
        ({"package_name": "-r x"}, "package_name", "is not the name of a package on pypi"),
        ({"package_arguments": "'open"}, "package_arguments", "A quotation mark is not closed."),
        ({"source_kind": "git", "git_url": "file:///x"}, "git_url", "A repository URL starts with"),
        (
            {"source_kind": "git", "git_url": "https://a.example/x", "git_ref": "--x"},
            "git_ref",
            "not the name of",
        ),
        ({"source_kind": "image", "image_reference": "a b"}, "image_reference", "is not an image reference"),
        ({"source_kind": "upload"}, "archive", "Choose an archive."),
        ({"environment_lines": "A=1\nB"}, "environment_lines", "Line 2 has no “=”"),
        ({"secret_name_1": "A"}, "secret_value_1", "A needs a value."),
        ({"secret_value_1": "b"}, "secret_name_1", "This value needs a name."),
        ({"port": "0"}, "port", "greater than or equal to 1"),
        ({"path": "mcp"}, "path", "Start with a slash."),
        ({"memory_mb": "1"}, "memory_mb", "greater than or equal to 32"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    console: Client, fields: dict[str, str], field: str, said: str
) -> None:
    found = problems(add(console, **{**PACKAGE, **fields}))
    assert list(found) == [field]
    assert said in found[field][0]
    assert not Server.objects.exists()


def test_typed_secrets_do_not_come_back_with_an_error(console: Client) -> None:
    answer = add(console, **PACKAGE, port="0", secret_name_1="API_KEY", secret_value_1="hunter2-hunter2")
    assert answer.status_code == 200
    assert "hunter2" not in answer.text


def test_a_taken_slug_is_said_and_a_derived_one_steps_aside(console: Client) -> None:
    add(console, **PACKAGE)
    add(console, **PACKAGE)
    assert set(Server.objects.values_list("slug", flat=True)) == {"new-one", "new-one-2"}
    assert "already exists" in problems(add(console, **PACKAGE, slug="new-one"))["slug"][0]


def test_an_edit_keeps_what_it_does_not_show(console: Client, seeded: dict[str, Server]) -> None:
    server = seeded["time"]
    url = reverse("admin:servers_server_edit", args=[server.pk])
    form = console.get(url).context["adminform"].form
    assert form.initial["environment_lines"] == "LOG_LEVEL=info\nTZ=Europe/Zurich"
    given = {
        **PACKAGE,
        "name": "Clock",
        "port": "8000",
        "path": "/mcp",
        "cpu": "2",
        "memory_mb": "256",
        "pids": "64",
        "owner": server.owner_id,
        "environment_lines": "TZ=UTC",
        "transport_choice": "stdio",
    }
    answer = console.post(url, given)
    assert answer["Location"] == reverse("admin:servers_server_change", args=[server.pk])
    server.refresh_from_db()
    assert (server.name, server.slug, server.cpu, server.environment) == ("Clock", "time", 2.0, {"TZ": "UTC"})
    assert server.secrets.count() == 2
    assert server.deployments.count() == 2


def test_an_upload_keeps_its_archive_when_none_is_chosen(console: Client) -> None:
    content = io.BytesIO(archive_of({"a.py": ""}))
    add(console, source_kind="upload", archive=SimpleUploadedFile("mine.tgz", content.getvalue()))
    server = Server.objects.get()
    before = server.source
    given = {
        "name": "New one",
        "source_kind": "upload",
        "port": "8000",
        "path": "/mcp",
        "cpu": "1",
        "memory_mb": "512",
        "pids": "128",
        "owner": server.owner_id,
    }
    console.post(reverse("admin:servers_server_edit", args=[server.pk]), given)
    server.refresh_from_db()
    assert server.source == before


GIT = {"source_kind": "git", "git_url": "https://git.example.org/a.git"}
BUILT = {
    "build_ecosystem": "dockerfile",
    "build_root": "app", "build_member": "notes", "build_extras": "cli, http", "build_groups": "server",
    "build_with": "mcp<2\nhttpx>=0.27,<1", "build_python": ">=3.11", "build_node": "22",
    "build_build": "make all", "build_dockerfile": "docker/Dockerfile", "build_target": "run",
    "build_arguments": "A=b=c\nD=",
}  # fmt: skip
KEPT = {
    "ecosystem": "dockerfile",
    "root": "app", "member": "notes", "extras": ["cli", "http"], "groups": ["server"],
    "with": ["mcp<2", "httpx<1,>=0.27"], "python": ">=3.11", "node": "22", "build": "make all",
    "dockerfile": "docker/Dockerfile", "target": "run", "arguments": {"A": "b=c", "D": ""},
}  # fmt: skip


def test_how_it_is_built_is_kept_and_shown_again(console: Client) -> None:
    add(console, **GIT, **BUILT)
    server = Server.objects.get()
    assert server.build == KEPT
    edit = reverse("admin:servers_server_edit", args=[server.pk])
    form = console.get(edit).context["adminform"].form
    shown = {name: form[name].value() for name in form.fields if name.startswith("build_")}
    again = {**BUILT, "build_with": "mcp<2\nhttpx<1,>=0.27"}
    assert shown == again
    fields = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    console.post(edit, {**fields, **shown, "build_python": "", "archive": ""})
    server.refresh_from_db()
    assert server.build == {key: value for key, value in KEPT.items() if key != "python"}


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        (PACKAGE, {"extras", "with", "python"}),
        ({**PACKAGE, "package_ecosystem": "npm"}, {"node"}),
        ({"source_kind": "image", "image_reference": "registry.example.org/a/b:1"}, set()),
    ],
)
def test_what_does_not_fit_the_source_is_hidden_and_not_kept(
    console: Client, source: dict[str, str], keys: set[str]
) -> None:
    add(console, **source, **BUILT)
    assert Server.objects.get().build == {key: value for key, value in KEPT.items() if key in keys}


def test_extras_in_the_name_of_a_package_are_choices(console: Client) -> None:
    add(console, **{**PACKAGE, "package_name": "mcp[cli,http]"}, build_extras="cli")
    server = Server.objects.get()
    assert (server.source["name"], server.build) == ("mcp", {"extras": ["cli", "http"]})


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"build_root": "/etc"}, "build_root", "Must be a path from the top of the source"),
        ({"build_member": "../a"}, "build_member", "without “..”"),
        ({"build_extras": "a b!"}, "build_extras", "“b!” is not the name of an extra"),
        ({"build_with": "mcp<2\n-r x"}, "build_with", "“-r x” is not a requirement"),
        ({"build_python": "snake"}, "build_python", "is not a version of Python"),
        ({"build_node": "lts"}, "build_node", "is not a version of Node"),
        ({"build_build": "'open"}, "build_build", "A quotation mark is not closed."),
        ({"build_target": "-x"}, "build_target", "is not the name of a build stage"),
        ({"build_arguments": "A=1\npa55word"}, "build_arguments", "Line 2 has no “=”"),
        ({"build_arguments": "HTTP_PROXY=x"}, "build_arguments", "is set by the builder"),
        ({**PACKAGE, "package_name": "mcp[!]"}, "package_name", "is not the name of an extra"),
    ],
)
def test_a_wrong_choice_is_said_at_its_field_and_the_others_stay(
    console: Client, fields: dict[str, str], field: str, said: str
) -> None:
    answer = add(console, **{**GIT, "build_groups": "server", **fields})
    found = problems(answer)
    assert list(found) == [field]
    assert said in found[field][0]
    assert "pa55word" not in found[field][0]
    form = answer.context["adminform"].form
    assert form["build_groups"].value() == "server"
    assert not Server.objects.exists()
