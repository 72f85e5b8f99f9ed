"""The logins that a build pulls its base images with: what the credentials are now, helpers already asked.

The CLI could not ask them itself: it sees neither the platform's environment nor its home.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from registry.credentials import CredentialStore
from registry.dockerconfig import HUB_KEY
from registry.errors import CredentialError
from registry.reference import InvalidReference, Reference, is_hub
from servers.process_group import LineSink

IMAGE = re.compile(
    r"(?:^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*|^[ \t]*ARG[ \t]+\w+=|^#[ \t]*syntax[ \t]*=[ \t]*|\bfrom=)"
    r"([^\s,]+)",
    re.IGNORECASE | re.M,
)


def docker_config(store: CredentialStore, dockerfile: str, log: LineSink) -> str:
    """A config.json for a build of `dockerfile`. A host without credentials is anonymous; `log` is told why.

    Helpers are asked only for hosts that it names: one that fails is no matter of other builds.
    """
    auths = {}
    try:
        for host in sorted(_hosts(store, dockerfile)):
            if entry := _entry(store, host, log):
                auths[HUB_KEY if is_hub(host) else host] = entry
    except CredentialError as fault:
        log(f"Base images are pulled without a login: {fault.message}")
    return json.dumps({"auths": auths} if auths else {})


def _hosts(store: CredentialStore, dockerfile: str) -> set[str]:
    text = dockerfile.lower()
    kept = {host for host, helper in store.hosts().items() if not helper or host in text}
    return kept | set(_named(dockerfile))


def _named(dockerfile: str) -> Iterator[str]:
    for match in IMAGE.finditer(dockerfile):
        try:
            yield Reference.parse(match[1].strip("\"'")).host
        except InvalidReference:  # a variable, most often: what it may hold is named by its ARG
            continue


def _entry(store: CredentialStore, host: str, log: LineSink) -> dict[str, str]:
    try:
        return store.for_host(host).config_entry
    except CredentialError as fault:
        log(f"There is no login for {host}: {fault.message}")
        return {}
