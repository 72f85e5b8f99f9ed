"""Finds out for which kind of source an address or a bare name stands."""

from __future__ import annotations

import re
from urllib.parse import unquote

from servers.paste import addresses, docker, drafts, entries, links, node, python, values
from servers.paste.reading import Candidate, Draft

_REGISTRY = "registry.modelcontextprotocol.io"
_REGISTRY_PATH = re.compile(r"/(?:v0(?:\.1)?/)?servers?/([^/]{3,300})(?:/versions/([^/]{1,255}))?")
_REVERSE_DNS = re.compile(
    r"(?:io|com|org|net|ai|dev|app|co|me|cloud|xyz|tech|sh)\.[a-zA-Z0-9.-]{1,150}/[a-zA-Z0-9._-]{1,100}(?:@[\w.+-]{1,100})?"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,100}", re.IGNORECASE)


def of_link(link: str) -> list[Candidate]:
    """Returns the candidates of an address; [] if it says nothing about a server."""
    if installs := links.entry_of(link):
        name, entry = installs
        return entries.candidates(entry) if "command" not in entry and "url" not in entry else [
            entries.one(name, entry)
        ]  # fmt: skip
    draft = Draft()
    return [drafts.done(draft)] if _page(link, draft) or draft.why_not else []


def of_word(word: str) -> list[Candidate]:
    """Returns the candidates of a single word: an address, a package, an image, or a name in the registry."""
    if "://" in word or word.startswith(("vscode:", "vscode-insiders:", "git@")):
        return _address(word)
    draft = Draft()
    host = word.partition("/")[0]
    if addresses.is_git(f"https://{word}") and "." in host and not docker_like(host):
        addresses.git(f"https://{word}", draft)
    elif _REVERSE_DNS.fullmatch(word):
        _registry_name(*word.partition("@")[::2], draft)
    elif re.fullmatch(r"@[a-z0-9~-][\w.~-]*/[\w.~-]+(?:@.{1,60})?", word, re.IGNORECASE):
        node.package(word, draft)
    elif re.fullmatch(r"[\w.-]+(?:\[[\w., -]*\](?:(?:==|@)[\w.]+)?|==[\w.]+)", word):
        python.requirement(word, draft)
    elif ("/" in word or ":" in word) and docker.REFERENCE.fullmatch(word):
        docker.image(word, draft)
        if word.count("/") == 1 and ":" not in word and "." not in host:
            draft.leave("It is taken as an image of Docker Hub: a repository has its whole address.")
    else:
        return _either(word)
    return [drafts.done(draft)]


def docker_like(host: str) -> bool:
    return host in ("ghcr.io", "docker.io", "quay.io", "gcr.io", "mcr.microsoft.com", "registry.gitlab.com")


def _either(word: str) -> list[Candidate]:
    """Returns two candidates, because a bare name may be a package of either index."""
    name, at, _ = word.partition("@")
    if (
        not _NAME.fullmatch(name)
        or ("-" not in name and "_" not in name and not at)
        or values.is_secret("", word)
    ):
        return []
    found = []
    for read in (python.requirement, node.package):
        draft = Draft()
        read(word, draft)
        draft.name = f"{name} ({'PyPI' if read is python.requirement else 'npm'})"
        found.append(drafts.done(draft))
    return found


def _address(word: str) -> list[Candidate]:
    found = of_link(word)
    if found:
        return found
    draft = Draft()
    if "://" in word and not addresses.host_of(word):
        return []
    if word.startswith(("docker://", "oci://")):
        docker.image(word, draft)
    elif addresses.is_git(word):
        addresses.git(word, draft)
    elif word.startswith(("http://", "https://")):
        _plain_page(word, draft)
    else:
        draft.refuse("Addresses of this kind are not read.")
    return [drafts.done(draft)]


def _plain_page(url: str, draft: Draft) -> None:
    """Reads an address of an unknown host: a server that runs there, or a repository."""
    parts = addresses.parts_of(url)
    path = parts.path.rstrip("/") if parts else ""
    host = addresses.host_of(url)
    local = host in ("localhost", "127.0.0.1", "0.0.0.0", "::1")
    if (
        local
        or path.endswith(("/mcp", "/sse", "/message"))
        or path in ("", "/")
        or host.startswith(("mcp.", "api."))
    ):
        addresses.refuse_remote(url, draft)
    elif len([each for each in path.split("/") if each]) >= 2:
        addresses.git(url, draft)
        draft.leave("It is taken as the address of a git repository.")
    else:
        draft.refuse("This address is of no package, image or repository that is known here.")


def _page(link: str, draft: Draft) -> bool:
    """Reads pages of indexes and registries."""
    parts, host = addresses.parts_of(link), addresses.host_of(link)
    if parts is None:
        return False
    path = unquote(parts.path)
    for reader in (_index_page, _image_page, _registry_page):
        if reader(host, path, link, draft):
            return True
    if addresses.is_directory(link):
        draft.refuse("This is a page of a directory: give the repository or the package that it names.")
    return False


def _index_page(host: str, path: str, link: str, draft: Draft) -> bool:
    if host in ("pypi.org", "pypi.python.org", "test.pypi.org") and (
        found := re.match(r"/(?:project|pypi)/([^/]{1,214})(?:/([^/]{1,100}))?", path)
    ):
        python.requirement(
            f"{found[1]}=={found[2]}" if found[2] and found[2][0].isdigit() else found[1], draft
        )
    elif host in ("npmjs.com", "npmjs.org") and (
        found := re.match(r"/package/((?:@[^/]{1,100}/)?[^/@]{1,214})(?:/v/([^/]{1,100}))?", path)
    ):
        node.package(f"{found[1]}@{found[2]}" if found[2] else found[1], draft)
    else:
        return False
    return True


def _image_page(host: str, path: str, link: str, draft: Draft) -> bool:
    if host == "hub.docker.com":
        found = re.match(
            r"/(?:r|repository/docker)/([\w.-]{1,100}/[\w.-]{1,100})|/(?:_|mcp/server)/([\w.-]{1,100})", path
        )
        if found:
            plain = f"mcp/{found[2]}" if path.startswith("/mcp/") else found[2]
            docker.image(found[1] or plain, draft)
        return bool(found)
    packaged = re.match(
        r"/(?:orgs/|users/)?([\w.-]{1,100})/(?:[\w.-]{1,100}/)?(?:pkgs|packages)/container/(?:package/)?([^?]{1,200})",
        path,
    )
    if host == "github.com" and packaged:
        docker.image(f"ghcr.io/{packaged[1]}/{packaged[2]}".rstrip("/").lower(), draft)
        return True
    return False


def _registry_page(host: str, path: str, link: str, draft: Draft) -> bool:
    found = _REGISTRY_PATH.search(path) if host == _REGISTRY else None
    if found and "/" in (name := unquote(found[1])):
        _registry_name(name, found[2] or "", draft)
        return True
    two = (
        re.search(r"/servers?/([^/]{3,200}/[^/]{1,100})(?:/versions/([^/]{1,255}))?", path)
        if host == _REGISTRY
        else None
    )
    if two:
        _registry_name(two[1], two[2] or "", draft)
        return True
    last = path.rpartition("/")[2].lower()
    if (
        "/v0.1/servers/" in path
        or last in ("server.json", "mcp.json")
        or re.fullmatch(r"[\w.-]*server[\w.-]*\.json", last)
    ):
        _document(link, draft)
        return True
    return False


def _registry_name(name: str, version: str, draft: Draft) -> None:
    draft.kind, draft.name = "document", name.rpartition("/")[2]
    draft.source = {"name": name, "version": version or "latest"}
    shown = f"version {version}" if version and version != "latest" else "the newest"
    draft.say(f"{name} of the registry, {shown}.")


def _document(link: str, draft: Draft) -> None:
    """Reads the address of a server.json. For a file's page at GitHub or GitLab, takes the file itself."""
    blob = re.fullmatch(r"(https://github\.com/[^/]+/[^/]+)/blob/(.+)", link)
    url = f"{blob[1]}/raw/{blob[2]}" if blob else link.replace("/-/blob/", "/-/raw/", 1)
    draft.kind, draft.name, draft.source = "document", "server.json", {"url": url[:2000]}
    draft.say(f"A server.json at {addresses.host_of(url)}.")
