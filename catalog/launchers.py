"""The options of npx, uvx and `docker run` that matter for a hosted server: a table per launcher.

The platform does not run these programs. An option that matters for the server has a `Meaning`; one that only
matters for the launcher, such as `-y`, is ignored. Sources: npm-exec(1), `uv tool run --help`, `pipx run
--help`, python(1) and docker-run(1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Meaning = Literal["package", "beside", "python", "module", "variable", "index", "never"]


@dataclass(frozen=True)
class Launcher:
    """The options of a launcher. `verbs` are words before the options (`docker run`).

    `usual` are options that change nothing for the server; `with_value` are options whose next word is their
    value.
    """

    name: str
    usual: frozenset[str]
    with_value: frozenset[str]
    meanings: Mapping[str, Meaning] = field(default_factory=dict)
    verbs: tuple[tuple[str, ...], ...] = ()

    def takes_value(self, option: str) -> bool:
        """Tells whether the option's next word is its value."""
        return option in self.with_value or option in self.meanings


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NPX = Launcher(
    "npx",
    usual=_words(
        "-y --yes -q --quiet --silent --prefer-online --prefer-offline --ignore-existing --no-install --no"
        " --bun --no-audit --no-fund --no-update-notifier --loglevel --cache -s"
    ),
    with_value=_words("--loglevel --cache -c --call -w --workspace --prefix --node-options -n --userconfig"),
    meanings={
        "-p": "package", "--package": "package", "--registry": "index", "-c": "never", "--call": "never",
    },
    verbs=(("exec",), ("x",), ("dlx",)),
)  # fmt: skip
UVX = Launcher(
    "uvx",
    usual=_words(
        "-q --quiet -v --verbose -n --no-cache --no-cache-dir --refresh --refresh-package -U --upgrade"
        " --upgrade-package --reinstall --isolated --no-config --no-progress --link-mode --native-tls"
        " --system-certs --managed-python --no-managed-python --no-python-downloads --python-preference"
        " --compile-bytecode --color --cache-dir --no-env-file --no-project --no-sync --frozen --locked"
        " --allow-python-downloads --python-fetch --preview --no-build-isolation"
    ),
    with_value=_words(
        "--refresh-package --upgrade-package --link-mode --python-preference --color --cache-dir"
        " --python-fetch --directory --project --with-requirements --with-editable --env-file --constraints"
        " --constraint -c --build-constraints -b --overrides --override --exclude-newer --prerelease"
        " --resolution --index-strategy --keyring-provider --config-setting -C --config-file"
        " --no-binary-package --python-platform --torch-backend --allow-insecure-host --group --extra"
        " --script -s"
    ),
    meanings={
        "--from": "package", "--with": "beside", "-w": "beside", "--python": "python", "-p": "python",
        "--index": "index", "--default-index": "index", "--index-url": "index", "-i": "index",
        "--extra-index-url": "index", "-f": "index", "--find-links": "index", "-m": "module",
        "--module": "module",
    },
    verbs=(("tool", "run"), ("x",), ("run",)),
)  # fmt: skip
PIPX = Launcher(
    "pipx",
    usual=_words("-q --quiet -v --verbose --no-cache --fetch-missing-python --backend"),
    with_value=_words("--pip-args --path --backend"),
    meanings={"--spec": "package", "--with": "beside", "--python": "python", "-i": "index",
              "--index-url": "index"},
    verbs=(("run",),),
)  # fmt: skip
PYTHON = Launcher(
    "python",
    usual=_words("-u -B -I -E -s -O -P"),
    with_value=_words("-c -W -X"),
    meanings={"-m": "module", "-c": "never"},
)
DOCKER = Launcher(
    "docker run",
    usual=_words(
        "-i --interactive -t --tty -it -ti -a --attach --rm --init --name -p --publish -P --publish-all"
        " --pull --restart -d --detach -q --quiet --sig-proxy --log-driver --cidfile --expose --stop-timeout"
        " --hostname -h -l --label"
    ),
    with_value=_words(
        "-a --attach --name -p --publish --pull --restart --log-driver --cidfile --expose --stop-timeout"
        " --hostname -h -l --label -v --volume --mount --tmpfs --volumes-from --volume-driver --network --net"
        " --network-alias --add-host --dns --ip --link -u --user --group-add -w --workdir --env-file"
        " --platform --memory -m --memory-swap --cpus --cpu-shares --cpuset-cpus --pids-limit --shm-size"
        " --ulimit --cap-add --cap-drop --security-opt --device --gpus --runtime --ipc --pid --userns"
        " --cgroupns --sysctl --storage-opt --log-opt --label-file --health-cmd --stop-signal --secret"
    ),
    meanings={"-e": "variable", "--env": "variable", "--entrypoint": "never"},
    verbs=(("container", "run"), ("run",)),
)
BY_KIND = {"npm": NPX, "pypi": UVX, "oci": DOCKER}
BY_HINT = {"pipx": PIPX, "python": PYTHON, "python3": PYTHON, "py": PYTHON}


def launcher_of(kind: str, hint: str) -> Launcher:
    """Returns the launcher of a package by its kind and `runtimeHint`."""
    return BY_HINT.get(hint, BY_KIND[kind]) if kind == "pypi" else BY_KIND[kind]
