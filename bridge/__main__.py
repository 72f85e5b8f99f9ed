"""Starts the bridge from any directory to which it was copied, under any name."""

import importlib.util
import sys
from pathlib import Path


def _adopt(directory: Path) -> None:
    """Makes the directory importable as `bridge` only, so that its modules hide no module of another name."""
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != directory]
    spec = importlib.util.spec_from_file_location(
        "bridge", directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    if not spec or not spec.loader:
        raise ImportError(f"{directory} is not a whole copy of the bridge")
    package = importlib.util.module_from_spec(spec)
    sys.modules["bridge"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    if not __package__:
        _adopt(Path(__file__).resolve().parent)
    from bridge.cli import main

    sys.exit(main(sys.argv[1:]))
