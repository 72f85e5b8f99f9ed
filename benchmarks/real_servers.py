"""Deploys MCP servers that people publish, and says of each whether it runs or what it needs.

    TOKEN=… python -m benchmarks.real_servers http://127.0.0.1:3000 --runtime process --out process.md

The list is real_servers.toml beside this. Each server is made over REST, as a script would, without any
settings; its deployment is waited for, its outcome written as a line of a table, and it is deleted again.
Where it failed and the list says what it asks for, it is made once more with that.
`--repositories DIR` takes `owner+name` from that directory in place of github.com (the platform then needs
GIT_PROTOCOLS with file).
"""

from __future__ import annotations

import argparse
import os
import re
import time
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

OPEN = ("queued", "running")
SECONDS_BETWEEN_LOOKS = 2.0
LONGEST = 1500


@dataclass(frozen=True)
class Published:
    """`asked` is what the server asks for: keys of its REST body, those of its source inside `source`."""

    label: str
    source: Mapping[str, Any]
    asked: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    label: str
    status: str
    tools: int
    seconds: int
    said: str

    @property
    def words(self) -> str:
        if self.status == "succeeded":
            return f"runs, {self.tools} tools"
        return re.sub(r"\s+", " ", self.said).replace("|", "\\|")


def main() -> None:
    arguments = _arguments()
    platform = Platform(arguments.url, os.environ["TOKEN"])
    wanted = [each for each in _listed(arguments.repositories) if arguments.only in each.label]
    lines = ["| server | took | without settings | with what it asks for |", "| --- | --- | --- | --- |"]
    with ThreadPoolExecutor(arguments.parallel) as pool:
        for line in pool.map(lambda each: platform.tried(each, arguments.runtime), wanted):
            lines.append(line)
            print(line, flush=True)
    if arguments.out:
        arguments.out.write_text("\n".join(lines) + "\n", "utf-8")


class Platform:
    def __init__(self, url: str, token: str) -> None:
        self.url, self.head = url.rstrip("/"), {"Authorization": f"Bearer {token}"}

    def tried(self, published: Published, runtime: str) -> str:
        """A line of the table."""
        body = {"name": published.label[-60:], "source": dict(published.source), "runtime": runtime}
        first, then = self.deploy(published, body), ""
        if first.status != "succeeded" and published.asked:
            source = {**body["source"], **published.asked.get("source", {})}
            then = self.deploy(published, {**body, **published.asked, "source": source}).words
        return f"| {first.label} | {first.seconds} s | {first.words} | {then} |"

    def deploy(self, published: Published, body: Mapping[str, Any]) -> Outcome:
        begun = time.monotonic()
        made = self._ask("POST", "/api/servers/", body)
        if made.status_code != requests.codes.created:
            return Outcome(published.label, "refused", 0, 0, made.text[:LONGEST])
        server = made.json()["id"]
        try:
            ended = self._ended(server)
            tools = len((ended.get("discovery") or {}).get("tools") or ())
            said = str(ended.get("error") or "")[:LONGEST]
            return Outcome(published.label, ended["status"], tools, int(time.monotonic() - begun), said)
        finally:
            self._ask("DELETE", f"/api/servers/{server}/")

    def _ended(self, server: int) -> dict[str, Any]:
        while True:
            newest = self._ask("GET", f"/api/servers/{server}/").json()["deployment"]
            if newest and newest["status"] not in OPEN:
                return dict(self._ask("GET", f"/api/deployments/{newest['id']}/").json())
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _ask(self, method: str, path: str, body: object = None) -> requests.Response:
        return requests.request(method, self.url + path, json=body, headers=self.head, timeout=60)


def _listed(repositories: Path | None) -> Iterator[Published]:
    told = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    asked = told["asked"]
    for ecosystem in ("pypi", "npm"):
        for name in told[ecosystem]:
            source = {"kind": "package", "ecosystem": ecosystem, "name": name}
            yield Published(name, source, asked.get(name, {}))
    for each in told["git"]:
        url, below = each["url"], each.get("subdirectory", "")
        owner, name = url.removesuffix(".git").split("/")[-2:]
        place = f"file://{repositories}/{owner}+{name}/repo" if repositories else url
        label = "/".join(filter(None, (owner, name, below)))
        yield Published(label, {"kind": "git", "url": place, "subdirectory": below}, asked.get(label, {}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("--runtime", default="", help="process, docker or kubernetes; the platform's without")
    parser.add_argument("--only", default="", help="servers whose name holds this text")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--repositories", type=Path)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
