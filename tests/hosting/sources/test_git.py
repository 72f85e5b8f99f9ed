from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosting.deadline import Deadline
from hosting.errors import Cancelled, SourceError, TimedOut
from hosting.sources.base import BuildContext
from hosting.sources.git import GitSource
from hosting.sources.git_quota import CheckoutLimits
from tests.hosting.sources.git_server import GitServer, Repository, serving

TOKEN = r"ghp_very\secret\0123456789"
HERE = ("127.0.0.1",)


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[GitServer]:
    with serving(tmp_path / "forge") as server:
        yield server


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "forge" / "server")
    repository.commit("First", server__py="print(1)\n")
    return repository


def fetch(
    forge: GitServer, into: Path, name: str = "server", *, log: list[str] | None = None, **options: str
) -> BuildContext:
    source = GitSource(forge.url(name), protocols=("http",), private_hosts=HERE, **options)  # type: ignore[arg-type]
    lines = log if log is not None else []
    return source.fetch(into, deadline=Deadline.of(60), log=lines.append)


def test_the_default_branch_without_history(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    head = repository.commit("Add a tool", server__py="print(2)\n")
    log: list[str] = []

    context = fetch(forge, tmp_path / "into", log=log)

    assert (context.revision, context.summary) == (head, "Add a tool")
    assert [path.name for path in context.path.iterdir()] == ["server.py"]
    assert log[-1] == f"Checked out {head[:12]} Add a tool"


def test_what_it_needs_meanwhile_lies_beside_the_source(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    seen: list[list[str]] = []
    source = GitSource(forge.url("server"), protocols=("http",))

    def look(_: str) -> None:
        seen.append([path.name for path in (tmp_path / "work").glob("mcphost-git-*")])

    source.fetch(tmp_path / "work" / "into", deadline=Deadline.of(60), log=look)
    assert len(seen[0]) == 1
    assert not seen[-1]


def test_a_branch_a_tag_and_a_commit(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.git("checkout", "--quiet", "-b", "feature/x")
    feature = repository.commit("Feature", other__py="")
    repository.git("checkout", "--quiet", "main")
    repository.commit("Third", third__py="")

    found = {
        ref: fetch(forge, tmp_path / ref, ref=ref).revision for ref in ("v1", "feature/x", first, first[:9])
    }

    assert found == {"v1": first, "feature/x": feature, first: first, first[:9]: first}


def test_names_that_stand_for_more_than_one_thing(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    """A branch that is called as a tag is, and one that reads as a commit does; a full name says which."""
    first = repository.git("rev-parse", "HEAD")
    repository.git("tag", "-a", "v1", "-m", "one")
    repository.git("checkout", "--quiet", "-b", "v1")
    branch = repository.commit("On the branch", other__py="")
    repository.git("branch", "deadbeef", branch)
    refs = ("v1", "refs/tags/v1", "refs/heads/v1", "heads/v1", "deadbeef")

    found = {ref: fetch(forge, tmp_path / ref, ref=ref).revision for ref in refs}

    assert found == dict(zip(refs, (first, first, branch, branch, branch), strict=True))


def test_a_default_branch_of_an_odd_name_and_one_that_is_not_there(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    repository.git("branch", "--move", "main", "träger/1.0@rc#2")
    assert fetch(forge, tmp_path / "odd").summary == "First"

    repository.git("symbolic-ref", "HEAD", "refs/heads/never-pushed")
    with pytest.raises(SourceError, match="names no default branch") as caught:
        fetch(forge, tmp_path / "none")
    assert caught.value.hint == "Choose one of these: träger/1.0@rc#2."


def test_a_project_that_asks_for_its_tags_gets_its_version(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    repository.commit("Ask", pyproject__toml='[build-system]\nrequires = ["setuptools-scm"]\n')
    repository.git("tag", "-a", "v1.2.3", "-m", "one")
    tagged = fetch(forge, tmp_path / "tagged", ref="v1.2.3")
    head = repository.commit("More")
    pinned = fetch(forge, tmp_path / "pinned", ref=tagged.revision)
    newest = fetch(forge, tmp_path / "newest")

    assert (tagged.version, pinned.version) == ("1.2.3", "1.2.3")
    assert newest.version == f"1.2.4.dev0+g{head[:7]}"


def test_a_repository_larger_than_it_may_be_is_given_up(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    (repository.path / "large").write_bytes(os.urandom(3 << 20))
    repository.commit("Large")
    source = GitSource(forge.url("server"), protocols=("http",), limits=CheckoutLimits(total_bytes=2 << 20))

    with pytest.raises(SourceError, match=r"takes more than 2 MiB, .*") as caught:
        source.fetch(tmp_path / "into", deadline=Deadline.of(60), log=print)
    assert "GIT_MAX_BYTES" in caught.value.hint
    assert not (tmp_path / "into" / "large").exists()


def test_a_tree_of_trees_is_never_checked_out(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    """Twelve objects that name ten to the tenth files."""
    blob = repository.git("hash-object", "-w", "server.py")
    tree = repository.tree(f"100644 blob {blob}\tf{number}" for number in range(10))
    for _ in range(9):
        tree = repository.tree(f"040000 tree {tree}\td{number}" for number in range(10))
    repository.git("reset", "--soft", repository.git("commit-tree", tree, "-m", "Large"))

    with pytest.raises(SourceError, match="holds more than 200000 files"):
        fetch(forge, tmp_path / "into")


def test_a_commit_that_the_server_refuses_comes_with_the_history(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    first = repository.git("rev-parse", "HEAD")
    repository.commit("Second", other__py="")
    log: list[str] = []

    context = fetch(forge, tmp_path / "into", ref=first, log=log)

    assert context.summary == "First"
    assert "The server does not give a single commit; fetching the history" in log


def test_submodules_with_relative_urls(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    library = Repository(tmp_path / "forge" / "library")
    library.commit("Library", lib__py="x = 1\n")
    repository.git(
        "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", "../library", "vendor/library"
    )
    repository.commit("Use the library")

    context = fetch(forge, tmp_path / "into")

    assert (context.path / "vendor/library/lib.py").read_text() == "x = 1\n"
    assert not list(context.path.rglob(".git"))


def test_a_submodule_named_by_ssh_at_the_same_host_comes_with_the_token(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    Repository(tmp_path / "forge" / "library").commit("Library", lib__py="x = 1\n")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", "../library", "library")
    modules = repository.path / ".gitmodules"
    modules.write_text(modules.read_text().replace("../library", "git@127.0.0.1:library"))
    repository.commit("Use the library as developers do")
    forge.password = TOKEN

    context = fetch(forge, tmp_path / "into", token=TOKEN)

    assert (context.path / "library/lib.py").is_file()


def test_a_submodule_that_is_not_to_be_fetched(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    Repository(tmp_path / "forge" / "library").commit("Library", lib__py="x = 1\n")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", "../library", "library")
    modules = repository.path / ".gitmodules"
    modules.write_text(modules.read_text().replace("../library", "../nowhere") + "\tupdate = none\n")
    repository.commit("Leave the library out")
    log: list[str] = []

    context = fetch(forge, tmp_path / "into", log=log)

    assert list((context.path / "library").iterdir()) == []
    assert "Skipping submodule 'library'" in log


def test_a_submodule_cannot_use_another_protocol(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    library = Repository(tmp_path / "elsewhere")
    library.commit("Library", lib__py="")
    url = f"file://{library.path}"
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", url, "library")
    repository.commit("Use a file")

    with pytest.raises(SourceError, match=r"The submodule library of .* uses a protocol that is not allowed"):
        fetch(forge, tmp_path / "into")


def test_a_subdirectory(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    (repository.path / "servers/time").mkdir(parents=True)
    (repository.path / "servers/time/main.py").write_text("")
    repository.commit("Add a server")

    context = fetch(forge, tmp_path / "into", subdirectory="servers/time")

    assert [path.name for path in context.path.iterdir()] == ["main.py"]


def test_a_subdirectory_that_is_a_link_out_of_the_repository(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    (repository.path / "etc").symlink_to("/etc")
    repository.commit("Link")

    with pytest.raises(SourceError, match="leads out of the repository"):
        fetch(forge, tmp_path / "into", subdirectory="etc")


@pytest.mark.parametrize("subdirectory", ["../x", "/etc", "a/../../b"])
def test_a_subdirectory_outside(subdirectory: str) -> None:
    with pytest.raises(SourceError, match="does not lie inside"):
        GitSource("https://host/x", subdirectory=subdirectory).check()


def test_a_missing_subdirectory(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no directory “nowhere”"):
        fetch(forge, tmp_path / "into", subdirectory="nowhere")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "ext::sh -c id",
        "ext::sh",
        "--upload-pack=id",
        "-oProxyCommand=id",
        "http://host/x",
        "/etc",
        "../x",
        "https://-oProxyCommand=id/x",
        "ssh://-oProxyCommand=id/x",
        "-oProxyCommand=id@host:x",
        "https://host/a\nb",
        "host:path",
        "https://",
        "https://[",
        "",
    ],
)
def test_urls_that_git_never_sees(url: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="starts with one of https, ssh"):
        GitSource(url).fetch(tmp_path / "into", deadline=Deadline.of(5), log=print)


@pytest.mark.parametrize("url", ["https://host/x.git", "ssh://git@host:22/x", "git@host:team/x.git"])
def test_urls_that_are_taken(url: str) -> None:
    GitSource(url).check()


@pytest.mark.parametrize(
    "url", ["https://user:secret@host/x", "https://secret@host/x", "ssh://git:secret@host/x"]
)
def test_a_password_in_a_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SourceError, match="holds a user name or password") as caught:
        GitSource(url).check()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "ref", ["--upload-pack=id", "-x", "a b", "a..b", "+main", "main:x", "a^{/x}", "@{-1}", "x\n"]
)
def test_refs_that_git_never_sees(ref: str) -> None:
    with pytest.raises(SourceError, match="is not the name of a branch, tag or commit"):
        GitSource("https://host/x", ref=ref).check()


def test_a_private_repository_with_its_token(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    forge.password = TOKEN

    context = fetch(forge, tmp_path / "into", token=TOKEN)

    assert context.summary == "First"
    assert forge.authorizations[-1] == f"x-access-token:{TOKEN}"


def test_private_submodules_of_the_same_host(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    Repository(tmp_path / "forge" / "library").commit("Library", lib__py="x = 1\n")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", "../library", "library")
    repository.commit("Use the library")
    forge.password = TOKEN

    context = fetch(forge, tmp_path / "into", token=TOKEN)

    assert (context.path / "library/lib.py").is_file()


def test_a_token_with_a_line_break(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a control character"):
        GitSource("https://host/x", token="a\nhost=other").check()


def test_a_user_may_come_with_the_token(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    forge.password = TOKEN

    with pytest.raises(SourceError):
        fetch(forge, tmp_path / "into", token=f"oauth2:{TOKEN}")
    assert forge.authorizations[-1] == f"oauth2:{TOKEN}"


def test_the_token_is_in_no_argument_line_or_file(
    forge: GitServer, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge.password = TOKEN
    seen = tmp_path / "seen"
    shim = tmp_path / "bin" / "git"
    shim.parent.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    shim.write_text(
        f'#!/bin/sh\necho "$@" >> {seen}\n[ -f .git/config ] && cat .git/config >> {seen}\nexec {real} "$@"\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}:{os.environ['PATH']}")
    log: list[str] = []

    fetch(forge, tmp_path / "into", token=TOKEN, log=log)

    assert "fetch" in seen.read_text()
    left = "".join(path.read_text() for path in (tmp_path / "into").rglob("*") if path.is_file())
    assert TOKEN not in seen.read_text() + "".join(log) + left


def test_the_token_is_for_the_repository_s_own_host(
    forge: GitServer, repository: Repository, tmp_path: Path
) -> None:
    library = Repository(tmp_path / "other" / "library")
    library.commit("Library", lib__py="")
    with serving(tmp_path / "other") as other:
        repository.git("submodule", "add", "--quiet", other.url("library"), "library")
        repository.commit("Use the library")
        other.password = forge.password = TOKEN

        with pytest.raises(SourceError, match=r"The submodule library of .* refused access"):
            fetch(forge, tmp_path / "into", token=TOKEN)
        assert not other.authorizations


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_private_repository_without_its_token(
    forge: GitServer, repository: Repository, tmp_path: Path, token: str
) -> None:
    forge.password = TOKEN

    with pytest.raises(SourceError, match="refused access") as caught:
        fetch(forge, tmp_path / "into", token=token)
    assert "give a token" in caught.value.hint


def test_no_repository(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="There is no repository at"):
        fetch(forge, tmp_path / "into", "nothing")


def test_an_unknown_ref(forge: GitServer, repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no branch, tag or commit “nowhere”"):
        fetch(forge, tmp_path / "into", ref="nowhere")
    with pytest.raises(SourceError, match="has no branch, tag or commit “" + "0" * 40):
        fetch(forge, tmp_path / "other", ref="0" * 40)


def test_an_empty_repository(forge: GitServer, tmp_path: Path) -> None:
    Repository(tmp_path / "forge" / "server")

    with pytest.raises(SourceError, match="is empty"):
        fetch(forge, tmp_path / "into")


def test_a_host_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        source = GitSource(
            f"http://127.0.0.1:{free.getsockname()[1]}/x", protocols=("http",), private_hosts=HERE
        )
        with pytest.raises(SourceError, match="cannot be reached") as caught:
            source.fetch(tmp_path / "into", deadline=Deadline.of(60), log=print)
    assert not caught.value.permanent


def test_an_ssh_host_that_is_away(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be reached"):
        GitSource("ssh://git@127.0.0.1:9/x", private_hosts=HERE).fetch(
            tmp_path / "into", deadline=Deadline.of(60), log=print
        )


def test_a_host_that_never_answers_ends_with_the_deadline(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = GitSource(
            f"http://127.0.0.1:{silent.getsockname()[1]}/x", protocols=("http",), private_hosts=HERE
        )
        with pytest.raises(TimedOut):
            source.fetch(tmp_path / "into", deadline=Deadline.of(0.4), log=print)


def test_a_cancelled_fetch(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = GitSource(
            f"http://127.0.0.1:{silent.getsockname()[1]}/x", protocols=("http",), private_hosts=HERE
        )
        with pytest.raises(Cancelled):
            source.fetch(tmp_path / "into", deadline=Deadline.of(60, lambda: True), log=print)


def test_a_machine_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SourceError, match="git is not installed"):
        GitSource("https://host/x").fetch(tmp_path / "into", deadline=Deadline.of(5), log=print)
