"""Decides which login an image is pulled with. It needs no rows and no settings."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from enum import Enum

from registry.reference import HUB_HOST, Reference, hostname, is_hub

OFFICIAL = f"{HUB_HOST}/library"
FRONTENDS = (f"{HUB_HOST}/docker/dockerfile", f"{HUB_HOST}/docker/dockerfile-upstream")


class Way(Enum):
    """The login for a pull: the platform's, the team's own, or none; or the pull is refused."""

    PLATFORM = "platform"
    TEAM = "team"
    ANONYMOUS = "anonymous"
    REFUSED = "refused"


@dataclass(frozen=True)
class PullRights:
    """What one team may pull.

    `homes` (`host[:port][/prefix]`) are where the platform stores servers' images, each in a repository that
    is named by the server's slug. `own` are the slugs of the team's servers, `others` all slugs that belong
    or belonged to other teams. `shared` are prefixes (`host[:port][/path]`, matched by whole path segments)
    that every team may pull, `logins` the hosts for which the team has given a login.
    """

    homes: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    shared: tuple[str, ...] = ()
    logins: frozenset[str] = frozenset()

    def way_to(self, ref: Reference) -> Way:
        """Returns the login for a pull.

        A shared prefix opens another team's server only if it names that server's repository, or a path below
        it.
        """
        place, slug = place_of(ref), self._slug_of(ref)
        least = self._place_of_server(place, slug) if slug in self.others else ""
        if any(_covers(prefix, place) and len(prefix) >= len(least) for prefix in map(_place, self.shared)):
            return Way.PLATFORM
        if slug in self.others:
            return Way.REFUSED
        if slug in self.own:
            return Way.PLATFORM
        return Way.TEAM if login_host(ref.host) in self.logins else Way.ANONYMOUS

    def _slug_of(self, ref: Reference) -> str:
        """Returns the slug of the server that the repository belongs to; "" outside of the platform's own."""
        place = place_of(ref)
        home = self._home_of(place)
        return place[len(home) + 1 :].partition("/")[0] if home else ""

    def _place_of_server(self, place: str, slug: str) -> str:
        return f"{self._home_of(place)}/{slug}"

    def _home_of(self, place: str) -> str:
        return next((home for home in map(_place, self.homes) if place.startswith(f"{home}/")), "")


def is_official(ref: Reference) -> bool:
    """Tells whether Docker publishes the image for everybody, so that nobody needs a login for it."""
    return any(_covers(prefix, place_of(ref)) for prefix in (OFFICIAL, *FRONTENDS))


def is_known_frontend(ref: Reference) -> bool:
    """Tells whether the image is Docker's own frontend for Dockerfiles; others could read what the engine
    reaches.
    """
    return place_of(ref) in FRONTENDS


def place_of(ref: Reference) -> str:
    """Returns `host/repository` in the one spelling in which references are compared."""
    return _place(ref.endpoint)


def login_host(host: str) -> str:
    """Returns the host under which a login is stored: one name for Docker Hub, and no port 443."""
    name = host.lower()
    return HUB_HOST if is_hub(name) else name.removesuffix(":443")


def _place(prefix: str) -> str:
    host, slash, path = prefix.strip().rstrip("/").partition("/")
    name = login_host(host)
    here = hostname(name)
    if _is_this_machine(here):
        name = name.replace(f"[{here}]" if name.startswith("[") else here, "localhost", 1)
    return name + slash + path


def _is_this_machine(name: str) -> bool:
    """Tells whether the name is a loopback address, in any spelling that a resolver accepts,
    such as 127.1.
    """
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except OSError:
            return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def _covers(prefix: str, place: str) -> bool:
    return place == prefix or place.startswith(f"{prefix}/")
