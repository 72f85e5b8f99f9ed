"""The bench from the command line.

python -m deploy.bench prepare                       install or name what tests need, make the base images
python -m deploy.bench prepare-demo                  the same for `make demo`
python -m deploy.bench prepare-kubernetes            the Kubernetes of `make test-kubernetes`, built once
python -m deploy.bench with postgres redis -- CMD …  run a command with private services, then stop them
python -m deploy.bench demo -- CMD …                 the same with all that `make demo` needs
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from . import requirement
from .requirement import BenchError
from .workspace import Workspace


def main(argv: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        match list(argv):
            case ["prepare"]:
                status = _prepare(requirement.prepare("make test", requirement.REQUIREMENTS))
                return status or _prepare_stack()
            case ["prepare-demo"]:
                from . import demo

                return _prepare(demo.prepare())
            case ["prepare-kubernetes"]:
                from . import kubernetes

                return kubernetes.prepare()
            case ["with", *rest] if "--" in rest:
                at = rest.index("--")
                return _run_with(rest[:at], rest[at + 1 :])
            case ["demo", "--", *command]:
                return _run_with(["demo"], command)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print(__doc__, file=sys.stderr)
    return 2


def _prepare(status: int) -> int:
    if status:
        return status
    from . import base_images, binfmt

    binfmt.enable_arm64()
    base_images.prepare()
    return 0


def _prepare_stack() -> int:
    from . import stack_images

    stack_images.prepare()
    return 0


def _run_with(services: list[str], command: list[str]) -> int:
    with Workspace() as workspace:
        settings: dict[str, str] = {}
        for service in services:
            settings |= _provide(service, workspace)
        return _run(command, settings)


def _provide(service: str, workspace: Workspace) -> dict[str, str]:
    """Start one service; returns the platform's settings that point to it."""
    from . import databases

    match service:
        case "postgres":
            return {"DATABASE_URL": databases.start_postgres(workspace)}
        case "redis":
            url = databases.start_redis(workspace)
            return {"BROKER_URL": url, "REDIS_URL": url}
        case "demo":
            from . import demo

            return demo.provide(workspace)
    raise BenchError(f"unknown service: {service}")


def _run(command: list[str], settings: dict[str, str]) -> int:
    """Waits for the command to end by itself: the terminal sends Ctrl-C to it too."""
    with subprocess.Popen(command, env={**os.environ, **settings}) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
            except SystemExit:
                process.terminate()
                process.wait()
                raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
