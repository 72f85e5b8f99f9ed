"""Python projects installed for the process runtime, from an index that notes what it is asked."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hosting.build_settings import BuildSettings
from hosting.builder import environment
from hosting.deadline import Deadline
from hosting.errors import BuildError, SourceError
from hosting.process_group import LineSink
from hosting.sources import interpreters
from hosting.sources.base import BuildContext
from hosting.sources.package import PackageSource
from hosting.sources.plan import Choices
from hosting.sources.recognise import recognise

JSON_PAGE = "application/vnd.pypi.simple.v1+json"
# A backend that needs nothing of an index: the wheel holds the directory's one module.
BACKEND = """
import os, pathlib, tomllib, zipfile
def get_requires_for_build_wheel(config_settings=None):
    return []
def build_wheel(into, config_settings=None, metadata_directory=None):
    data = tomllib.loads(pathlib.Path("pyproject.toml").read_text())
    project = data.get("project") or data["tool"]["poetry"]
    name, version = project["name"], os.environ.get("UV_DYNAMIC_VERSIONING_BYPASS") or project["version"]
    listed = [each for each in project.get("dependencies", []) if each != "python"]
    needs = "".join(f"Requires-Dist: {each}\\n" for each in listed)
    file = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(into, file), "w") as wheel:
        wheel.writestr(f"{name}.py", pathlib.Path(f"{name}.py").read_text())
        info = f"{name}-{version}.dist-info"
        about = f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n"
        wheel.writestr(f"{info}/METADATA", about + needs)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        scripts = project.get("scripts", {})
        told = "".join(f"{key} = {value}\\n" for key, value in scripts.items())
        wheel.writestr(f"{info}/entry_points.txt", f"[console_scripts]\\n{told}" if told else "")
        wheel.writestr(f"{info}/RECORD", "")
    return file
"""
OWN = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
HELPER = f'[project]\nname = "helper"\nversion = "1"\n{OWN}'
MAIN = "import helper, tiny\ndef main():\n    print(helper.WHO, tiny.VERSION)\n"
RUN = MAIN + "main()\n"


def wheel(version: str, needs: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = f"tiny-{version}.dist-info"
        for name, text in {
            "tiny.py": f"VERSION = '{version}'\n",
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n{needs}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": "",
        }.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


WHEELS = {"1.0": wheel("1.0"), "2.0": wheel("2.0")}
HASHES = {version: hashlib.sha256(data).hexdigest() for version, data in WHEELS.items()}


class Index:
    """tiny 1.0 and 2.0; and, of the same names as local directories, what must never be asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.python = {"1.0": ">=3.8", "2.0": ">=3.8"}
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                kind, body = index.answer(self.path)
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"

    def answer(self, path: str) -> tuple[str, bytes]:
        if path.startswith("/simple/tiny"):
            files = [
                {
                    "filename": f"tiny-{version}-py3-none-any.whl",
                    "url": f"/files/tiny-{version}-py3-none-any.whl",
                    "hashes": {"sha256": HASHES[version]},
                    "requires-python": self.python[version],
                }
                for version in WHEELS
            ]
            page = {"meta": {"api-version": "1.0"}, "name": "tiny", "files": files}
            return JSON_PAGE, json.dumps(page).encode()
        wanted = path.removeprefix("/files/tiny-").removesuffix("-py3-none-any.whl")
        found = [WHEELS[wanted]] if wanted in WHEELS else []
        return "application/octet-stream", found[0] if found else b""

    @property
    def names(self) -> set[str]:
        return {path.split("/")[2] for path in self.asked if path.startswith("/simple/")}


@pytest.fixture
def index() -> Iterator[Index]:
    found = Index()
    threading.Thread(target=found.server.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.server.shutdown()
    found.server.server_close()


def project(more: str = "", listed: str = '["helper", "tiny"]') -> str:
    head = '[project]\nname = "notes"\nversion = "1"\nrequires-python = ">=3.10"\n'
    return f'{head}dependencies = {listed}\n[project.scripts]\nnotes = "notes:main"\n{more}'


SOURCES = '[tool.uv.sources]\nhelper = { path = "helper" }\n'
LOCKED = f"""version = 1
requires-python = ">=3.10"
[[package]]
name = "helper"
version = "1"
source = {{ directory = "helper" }}
[[package]]
name = "notes"
version = "1"
source = {{ editable = "." }}
dependencies = [{{ name = "helper" }}, {{ name = "tiny" }}]
[package.metadata]
requires-dist = [{{ name = "helper", directory = "helper" }}, {{ name = "tiny" }}]
[[package]]
name = "tiny"
version = "1.0"
source = {{ registry = "https://pypi.org/simple" }}
wheels = [
  {{ url = "https://files.pythonhosted.org/p/tiny-1.0-py3-none-any.whl", hash = "sha256:{HASHES["1.0"]}" }},
]
"""
POETRY = f"""[tool.poetry]
name = "notes"
version = "1"
packages = [{{include = "notes.py"}}]
[tool.poetry.dependencies]
python = "^3.10"
tiny = "*"
[tool.poetry.scripts]
notes = "notes:main"
{OWN}"""
POETRY_LOCK = f"""[[package]]
name = "tiny"
version = "1.0"
files = [{{file = "t", hash = "sha256:{HASHES["1.0"]}"}}]
"""
PIPFILE = '[packages]\ntiny = "*"\nhelper = {path = "./helper"}\n'
PIPFILE_LOCK = {"default": {"tiny": {"version": "==1.0", "hashes": [f"sha256:{HASHES['1.0']}"]}}}
INLINE = """# /// script
# dependencies = ["helper", "tiny<2"]
# [tool.uv.sources]
# helper = { path = "helper" }
# ///
"""
KINDS: dict[str, dict[str, str]] = {
    "uv with a lock": {"pyproject.toml": project(SOURCES + OWN), "uv.lock": LOCKED},
    "uv with a lock, no package": {
        "pyproject.toml": project(SOURCES),
        "uv.lock": LOCKED.replace("editable", "virtual"),
    },
    "uv without a lock": {"pyproject.toml": project(SOURCES + OWN, '["helper", "tiny<2"]')},
    "uv without a lock, no package": {
        "pyproject.toml": project(f"[tool.uv]\npackage = false\n{SOURCES}", '["helper", "tiny<2"]')
    },
    "Pipenv": {"Pipfile": PIPFILE, "Pipfile.lock": json.dumps(PIPFILE_LOCK), "server.py": RUN},
    "pip": {"requirements.txt": "./helper\ntiny\n", "constraints.txt": "tiny<2\n", "server.py": RUN},
    "a script": {"server.py": INLINE + RUN},
}


def install(
    index: Index,
    source: Path,
    into: Path,
    context: BuildContext | None = None,
    log: LineSink = lambda _: None,
    **choices: Any,
) -> str:
    context = context or BuildContext(source, "r", version="7.1")
    plan = recognise(context, Choices(**choices), images=False)
    settings = BuildSettings(pip_index_url=index.url, python_downloads=False)
    command = environment.install(plan, context, into, settings=settings, deadline=Deadline.of(200), log=log)
    done = subprocess.run(command, cwd=into / "app", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def write(path: Path, files: dict[str, str]) -> Path:
    helper = {"helper/pyproject.toml": HELPER, "helper/helper.py": "WHO = 'ours'\n"}
    helper["helper/backend.py"] = BACKEND
    for name, text in {**helper, "backend.py": BACKEND, "notes.py": MAIN, **files}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_locked_is_installed_and_a_local_name_is_asked_of_nobody(
    index: Index, tmp_path: Path, kind: str
) -> None:
    source = write(tmp_path / "source", KINDS[kind])

    assert install(index, source, tmp_path / "env") == "ours 1.0"
    assert index.names == {"tiny"}


def test_a_poetry_lock_holds_the_installation(index: Index, tmp_path: Path) -> None:
    files = {"pyproject.toml": POETRY, "poetry.lock": POETRY_LOCK}
    files["notes.py"] = "import tiny\ndef main():\n    print(tiny.VERSION)\n"
    source = write(tmp_path / "source", files)
    assert install(index, source, tmp_path / "env") == "1.0"

    assert install(index, source, tmp_path / "other", additional=("tiny>=2",)) == "2.0"


def test_a_bound_on_what_a_published_package_brings(index: Index, tmp_path: Path) -> None:
    """B02: the bound is in the same resolution."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "requirements.txt").write_text("tiny>=1\n")
    context = BuildContext(source, "tiny==1", command=("python", "-c", "import tiny; print(tiny.VERSION)"))
    assert install(index, source, tmp_path / "a", context) == "2.0"
    assert install(index, source, tmp_path / "b", context, additional=("tiny<2",)) == "1.0"


def test_no_versions_that_fit_are_told_in_a_sentence(index: Index, tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"requirements.txt": "tiny>=9\n", "server.py": ""})
    with pytest.raises(BuildError) as caught:
        install(index, source, tmp_path / "env")
    assert caught.value.message.startswith("No versions of the packages fit together. Because only")
    assert "tiny" in caught.value.message

    source = write(tmp_path / "source", {"requirements.txt": "nowhere\n"})
    with pytest.raises(BuildError, match=r"^The package index has no package nowhere\. Check its name"):
        install(index, source, tmp_path / "more")


def test_a_published_package_for_the_python_that_will_run_it(index: Index, tmp_path: Path) -> None:
    """B08: the platform's own Python had decided, also for images."""
    index.python = {"1.0": "<3.9", "2.0": f">{interpreters.OWN}"}

    def fetch(version: str = "", name: str = "tiny", **more: Any) -> BuildContext:
        settings = BuildSettings(pip_index_url=index.url, python_downloads=False, **more)
        source = PackageSource("pypi", name, version, "run", settings=settings, images=True, extras=("cli",))
        into = tmp_path / f"into-{len(list(tmp_path.iterdir()))}"
        return source.fetch(into, deadline=Deadline.of(60), log=lambda _: None)

    found = fetch(python_image="python:3.14-slim")
    assert (found.revision, found.python) == ("tiny==2.0", f">{interpreters.OWN}")
    assert (found.path / "requirements.txt").read_text() == "tiny[cli]==2.0\n"

    index.python = {"1.0": "<3.9", "2.0": ">=3.40"}
    with pytest.raises(SourceError, match=r"tiny 2\.0 needs Python >=3\.40; the base image has 3\.14"):
        fetch("2.0", python_image="python:3.14-slim")


def test_a_python_that_is_not_there_is_told_beside_those_that_are(index: Index, tmp_path: Path) -> None:
    source = write(tmp_path / "source", {"server.py": "", ".python-version": "3.99\n"})
    with pytest.raises(BuildError, match=r"asks for Python 3\.99; this machine has .*3\.\d+") as caught:
        install(index, source, tmp_path / "env")
    assert "PYTHON_DOWNLOADS=true" in caught.value.hint


def test_a_project_that_runs_with_other_pythons_than_its_pin_gets_one(index: Index, tmp_path: Path) -> None:
    code = "import sys\ndef main():\n    print(sys.version_info >= (3, 10))\n"
    files = {"pyproject.toml": project(OWN, listed="[]"), "notes.py": code, ".python-version": "3.99\n"}
    said: list[str] = []
    assert install(index, write(tmp_path / "source", files), tmp_path / "env", log=said.append) == "True"
    assert any("asks for Python 3.99" in line and "is taken" in line for line in said)


def test_a_version_of_tags_reaches_the_build(index: Index, tmp_path: Path) -> None:
    dynamic = project("[tool.hatch.version]\nsource = 'uv-dynamic-versioning'\n" + OWN, listed="[]")
    code = "from importlib.metadata import version\ndef main():\n    print(version('notes'))\n"
    source = write(tmp_path / "source", {"pyproject.toml": dynamic, "notes.py": code})
    assert install(index, source, tmp_path / "env") == "7.1"
