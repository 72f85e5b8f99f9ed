"""Reads URLs of repositories, of their pages at forges, and of servers that somebody else runs."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from hosting.errors import UserError
from hosting.sources.git import GitSource
from hosting.sources.origin import SCP_LIKE
from servers.paste.reading import Draft

_FORGES = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "git.sr.ht", "gitee.com", "gitea.com")
_FORGE_LIKE = re.compile(
    r"(?:git|gitlab|gitea|forgejo|code|forge|src|scm|bitbucket|codeberg)[.-]", re.IGNORECASE
)
_SHORTHANDS = {
    "github": "https://github.com/",
    "gitlab": "https://gitlab.com/",
    "bitbucket": "https://bitbucket.org/",
}
_PATH = "[^?#]{1,400}"
# Marks in paths of pages; the group is the ref with the folder.
_TREES = (
    re.compile(rf"/-/(?:tree|blob|raw|commits?)/({_PATH})"),
    re.compile(rf"/src/(?:branch|tag|commit)/({_PATH})"),
    re.compile(rf"/(?:tree|blob|raw|commits?)/({_PATH})"),
    re.compile(rf"/(?:releases/tag|-/tags)/({_PATH})"),
    re.compile(rf"/src/({_PATH})"),
)
_OTHER_PAGE = re.compile(
    r"/(?:-/)?(?:issues|pulls?|wiki|actions|releases|tags|branches|blob|discussions|security|merge_requests|packages)"
    r"(?:/|\Z)"
)
_DIRECTORIES = (
    "smithery.ai",
    "glama.ai",
    "mcp.so",
    "pulsemcp.com",
    "mcpmarket.com",
    "cursor.directory",
    "lobehub.com",
)


OWN_FOLDER = "It starts a file of your machine: upload the project as an archive, or give its repository."


class Page(NamedTuple):
    """A repository, with the ref and the folder that the page shows."""

    url: str
    ref: str = ""
    subdirectory: str = ""


def parts_of(url: str) -> SplitResult | None:
    """Returns the parts of a URL with a host; None for anything else."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname is not None else None


def host_of(url: str) -> str:
    """Returns the host without `www.`, or ""."""
    parts = parts_of(url)
    return (parts.hostname or "").removeprefix("www.") if parts else ""


def is_git(url: str) -> bool:
    """Tells whether an address is clearly that of a git repository."""
    if SCP_LIKE.fullmatch(url) or url.startswith(("git+", "git://", "ssh://")):
        return True
    parts = parts_of(url)
    if parts is None:
        return False
    host, path = host_of(url), parts.path.rstrip("/")
    if path.endswith(".git") or ".git/" in path:
        return True
    forge = host in _FORGES or bool(_FORGE_LIKE.match(host))
    deep = len([each for each in path.split("/") if each]) >= 2
    return deep and (forge or bool(re.search(r"/-/tree/|/src/(?:branch|tag|commit)/|/tree/", path)))


def git(url: str, draft: Draft, *, ref: str = "", subdirectory: str = "") -> None:
    """Fills the draft from the URL of a repository, or of its page with a branch or folder."""
    page = page_of(url.strip().removeprefix("git+"), draft)
    draft.kind = "git"
    shown = Page(page.url, ref or page.ref, subdirectory or page.subdirectory)
    draft.source = {"url": shown.url, "ref": shown.ref, "subdirectory": shown.subdirectory}
    try:
        GitSource(shown.url, shown.ref, shown.subdirectory, protocols=("https", "http", "ssh", "git")).check()
    except UserError as error:
        draft.refuse(str(error))
        return
    where = f", folder {shown.subdirectory}" if shown.subdirectory else ""
    at = f" at {shown.ref}" if shown.ref else ""
    draft.say(f"Repository {shown.url}{at}{where}.")


def page_of(url: str, draft: Draft) -> Page:
    """Returns the repository of a URL. A login in the URL becomes the draft's token."""
    if SCP_LIKE.fullmatch(url):
        return Page(url)
    parts = parts_of(url)
    if parts is None:
        return Page(url)
    clean = _without_login(parts, draft)
    asked = {key: found[0] for key, found in parse_qs(parts.query, max_num_fields=20).items()}
    folder = _folder(asked.get("path", ""))
    fragment = parse_qs(parts.fragment, max_num_fields=20)
    folder = folder or _folder(fragment.get("subdirectory", [""])[0])
    path = unquote(parts.path).rstrip("/")
    ref = asked.get("ref", "") or asked.get("at", "").removeprefix("refs/heads/")
    if parts.scheme in ("http", "https"):
        path, found, inner = _page(path, parts)
        ref, folder = ref or found, folder or inner
    return Page(f"{parts.scheme}://{clean}{path}", ref, folder)


def _without_login(parts: SplitResult, draft: Draft) -> str:
    """Returns the host. A user with a password becomes the token, but the user of ssh stays."""
    login, at, host = parts.netloc.rpartition("@")
    if parts.scheme == "ssh" and at and ":" not in login:
        return parts.netloc
    if at:
        user, colon, password = unquote(login).partition(":")
        draft.token = (f"{user}:{password}" if user and password else password or user) if colon else user
        draft.say("The login in the URL is kept sealed, as the access token; it is not shown again.")
    return host


def _page(path: str, parts: SplitResult) -> tuple[str, str, str]:
    """Returns the path of the repository, the ref and the folder."""
    bitbucket = (parts.hostname or "").endswith("bitbucket.org")
    for pattern in _TREES if bitbucket else _TREES[:4]:
        found = pattern.search(path)
        if found and path[: found.start()].count("/") >= 2:
            ref, _, inner = found[1].partition("/")
            is_file = "/blob/" in found[0] or "/raw/" in found[0] or _names_file(inner)
            folder = inner.rpartition("/")[0] if is_file else inner
            return path[: found.start()], "" if ref == "HEAD" else ref, folder
    other = _OTHER_PAGE.search(path)
    if other and path[: other.start()].count("/") >= 2:
        return path[: other.start()], "", ""
    return path, "", ""


def _names_file(path: str) -> bool:
    return path.lower().endswith((".md", ".json", ".toml", ".py", ".ts", ".js", ".yaml", ".yml", ".txt"))


def _folder(text: str) -> str:
    return text.strip("/")


def of_pip(spec: str, draft: Draft) -> None:
    """Reads `git+https://host/o/r@ref#subdirectory=x&egg=y`."""
    address, _, fragment = spec.removeprefix("git+").partition("#")
    if not spec.startswith(("git+", "git@", "ssh://")) and not is_git(address):
        draft.refuse(
            "A file's address is not taken as a package: give the package's name, or its repository."
        )
        return
    folder = parse_qs(fragment, max_num_fields=20).get("subdirectory", [""])[0]
    head, at, ref = address.rpartition("@")
    if not at or "/" not in head.partition("://")[2] or ":" in ref:
        head, ref = address, ""
    git(head, draft, ref=ref, subdirectory=folder)


def of_npm_git(spec: str, draft: Draft) -> None:
    """Reads `github:owner/repo#ref`, `owner/repo` and `git+https://…#ref`."""
    address, _, ref = spec.partition("#")
    kind, colon, path = address.partition(":")
    if colon and kind in _SHORTHANDS:
        address = _SHORTHANDS[kind] + path
    elif "://" not in address and not address.startswith("git@"):
        address = _SHORTHANDS["github"] + address
    if not address.startswith(("git+", "git@", "git://", "ssh://")) and not is_git(address):
        draft.refuse(
            "A file's address is not taken as a package: give the package's name, or its repository."
        )
        return
    git(address, draft, ref=ref.removeprefix("semver:") if not ref.startswith("semver:") else "")


def refuse_remote(url: str, draft: Draft) -> None:
    """Refuses a server that runs somewhere already."""
    host = host_of(url)
    local = host in ("localhost", "127.0.0.1", "0.0.0.0", "::1", "host.docker.internal")
    if local:
        draft.refuse(
            f"{host} is your own machine: a server that runs there already. Give what starts it, not its URL."
        )
        return
    where = f" at {host}" if host else ""
    draft.refuse(
        f"Its publisher runs it{where} (a remote server): clients connect there. It is not hosted here."
    )


def is_directory(url: str) -> bool:
    """Tells whether it is a page of a site that lists servers of others."""
    host = host_of(url)
    return any(host == each or host.endswith(f".{each}") for each in _DIRECTORIES)
