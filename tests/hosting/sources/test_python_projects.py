"""Python projects as people keep them: tool, lock, steps, Python and start, as the plan has them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from hosting.errors import SourceError
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise

BACKEND = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
HASH = "sha256:" + hashlib.sha256(b"x").hexdigest()
PROJECT = (
    '[project]\nname = "notes"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["mcp>=1.2"]\n'
)
UV_LOCK = """version = 1
requires-python = ">=3.10"
[[package]]
name = "mcp"
version = "1.27.0"
source = { registry = "https://pypi.org/simple" }
"""
SERVER = "from mcp.server.fastmcp import FastMCP\nmcp = FastMCP('x')\n"


class Tree:
    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, files: dict[str, str]) -> Tree:
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        return self

    def plan(self, within: str = "", version: str = "", **choices: Any) -> Plan:
        context = BuildContext(self.path / within, "r", top=self.path, version=version)
        return recognise(context, Choices(**choices), images=False)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def words(plan: Plan) -> list[str]:
    return [" ".join(step.argv) for step in plan.steps]


def said(plan: Plan) -> str:
    return "; ".join(plan.why)


# --- uv


def test_a_uv_project_is_held_to_its_lock(tree: Tree) -> None:
    plan = tree.write({"pyproject.toml": PROJECT, "uv.lock": UV_LOCK, "server.py": ""}).plan()

    assert (plan.tool, plan.lock, plan.version, plan.command) == (
        "uv", "uv.lock", ">=3.10", ("python", "server.py"),
    )  # fmt: skip
    assert words(plan) == [
        "uv export --quiet --frozen --no-header --no-annotate --no-editable --no-dev --no-emit-local"
        " -o ../plan/locked.txt",
        "uv pip install --no-deps -r ../plan/locked.txt",
    ]
    assert plan.files == ("pyproject.toml", "uv.lock")
    assert "uv.lock found; Python >=3.10 from requires-python; starts server.py" in said(plan)


def test_a_uv_lock_of_other_indexes_is_left_to_uv(tree: Tree) -> None:
    foreign = UV_LOCK.replace("https://pypi.org/simple", "https://download.pytorch.org/whl/cpu")
    tree.write({"pyproject.toml": PROJECT, "uv.lock": foreign, "server.py": ""})
    assert words(tree.plan()) == ["uv sync --frozen --no-editable --no-dev"]
    assert words(tree.plan(groups=("dev", "web"))) == [
        "uv sync --frozen --no-editable --group dev --group web"
    ]


def test_a_lock_out_of_step_is_told_by_name_and_made_good(tree: Tree) -> None:
    newer = PROJECT.replace('["mcp>=1.2"]', '["mcp>=2", "httpx"]')
    plan = tree.write({"pyproject.toml": newer, "uv.lock": UV_LOCK, "server.py": ""}).plan()

    assert "uv.lock is out of step with pyproject.toml: it has no httpx; it pins another than mcp>=2" in said(
        plan
    )
    assert words(plan)[-1] == "uv pip install httpx"


def test_what_is_set_besides_comes_last_over_a_lock_and_into_the_resolution_without(tree: Tree) -> None:
    tree.write({"pyproject.toml": PROJECT, "uv.lock": UV_LOCK, "server.py": ""})
    assert words(tree.plan(additional=("mcp<1.20",)))[-1] == "uv pip install mcp<1.20"

    (tree.path / "uv.lock").unlink()
    assert words(tree.plan(additional=("mcp<1.20",))) == ["uv pip install -r pyproject.toml mcp<1.20"]


def member(name: str, scripts: str = "") -> str:
    told = f'[project.scripts]\n{name} = "{scripts}"\n' if scripts else ""
    return f'[project]\nname = "{name}"\nversion = "1"\ndependencies = ["core"]\n{told}' + (
        f"[tool.uv.sources]\ncore = {{ workspace = true }}\n{BACKEND}"
    )


@pytest.fixture
def workspace(tree: Tree) -> Tree:
    core = f'[project]\nname = "core"\nversion = "1"\n{BACKEND}'
    lock = "".join(
        f'[[package]]\nname = "{name}"\nversion = "1"\nsource = {{ editable = "packages/{name}" }}\n'
        for name in ("core", "server")
    )
    return tree.write(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["packages/*"]\nexclude = ["packages/old"]\n',
            "uv.lock": 'version = 1\nrequires-python = ">=3.11"\n' + lock,
            "packages/core/pyproject.toml": core,
            "packages/server/pyproject.toml": member("server", "server:main"),
            "packages/old/pyproject.toml": member("old", "old:main"),
        }
    )


@pytest.mark.parametrize(
    ("within", "choices"),
    [("", {}), ("packages/server", {}), ("", {"member": "server"}), ("", {"member": "packages/server"})],
)
def test_a_member_of_a_workspace(workspace: Tree, within: str, choices: dict[str, str]) -> None:
    plan = workspace.plan(within, **choices)

    assert (plan.root, plan.member, plan.tool, plan.command) == ("", "packages/server", "uv", ("server",))
    assert plan.version == ">=3.11"
    assert all("--package server" in line for line in words(plan) if line.startswith("uv export"))
    assert words(plan)[-1] == "uv pip install --no-deps -r ../plan/all.txt"
    assert set(plan.files) == {"pyproject.toml", "uv.lock", "packages/core/pyproject.toml",
                               "packages/server/pyproject.toml"}  # fmt: skip


def test_what_a_workspace_excludes_is_a_project_of_its_own(workspace: Tree) -> None:
    assert workspace.plan("packages/old").root == "packages/old"


def test_a_workspace_of_several_servers_asks_which(workspace: Tree) -> None:
    workspace.write({"packages/other/pyproject.toml": member("other", "o:main")})
    with pytest.raises(SourceError, match=r"not clear: other, server have commands") as caught:
        workspace.plan()
    assert "Set the member to one of: core, other, server." in caught.value.hint
    with pytest.raises(SourceError, match="has no part “nothing”"):
        workspace.plan(member="nothing")


def test_a_pattern_that_leads_out_of_the_workspace_counts_no_member(tree: Tree) -> None:
    tree.write(
        {
            "a/pyproject.toml": PROJECT + '[tool.uv.workspace]\nmembers = ["../b", "/", "**/**"]\n',
            "a/server.py": "",
            "b/pyproject.toml": member("b", "b:main"),
        }
    )
    assert tree.plan("a", command=("python", "server.py")).root == "a"
    with pytest.raises(SourceError, match="has no part “b”"):
        tree.plan("a", member="b")


def test_local_names_are_in_no_list_for_an_index(tree: Tree) -> None:
    """B10: the image's early step asked a public index for the name of a directory."""
    sources = '[tool.uv.sources]\nhelper = { path = "libs/helper" }\n'
    listed = PROJECT.replace('["mcp>=1.2"]', '["helper", "mcp"]') + '[project.scripts]\nnotes = "n:m"\n'
    tree.write({"pyproject.toml": listed + sources + BACKEND, "libs/helper/pyproject.toml": PROJECT})
    plan = tree.plan()

    assert plan.beside == {"dependencies.txt": "mcp\n"}
    assert words(plan) == ["uv pip install -r ../plan/dependencies.txt", "uv pip install ."]


def test_a_dependency_above_the_project_is_taken_along(tree: Tree) -> None:
    sources = '[tool.uv.sources]\nmcp = { path = "../lib" }\n'
    tree.write(
        {"server/pyproject.toml": PROJECT + sources, "server/server.py": "", "lib/pyproject.toml": PROJECT}
    )
    plan = tree.plan("server")
    assert (plan.root, plan.member) == ("", "server")

    tree.write({"server/pyproject.toml": PROJECT + sources.replace("../lib", "../../elsewhere")})
    with pytest.raises(SourceError, match=r"depends on \.\./\.\./elsewhere, which is not in the source"):
        tree.plan("server")


# --- Poetry, PDM, Pipenv


POETRY = """[tool.poetry]
name = "weather"
version = "0.1.0"
[tool.poetry.dependencies]
python = "^3.10"
mcp = {version = "^1.2", extras = ["cli"]}
ours = {path = "../ours"}
[tool.poetry.group.web.dependencies]
httpx = "~0.27"
[tool.poetry.scripts]
weather = "weather.server:main"
[build-system]
requires = ["poetry-core"]
"""


def poetry_lock(version: str) -> str:
    return f"""[[package]]
name = "mcp"
version = "{version}"
markers = "python_version >= \\"3.10\\""
files = [{{file = "mcp.whl", hash = "{HASH}"}}]
[[package]]
name = "ours"
version = "1.0"
[package.source]
type = "directory"
url = "../ours"
[metadata]
lock-version = "2.1"
"""


def test_a_poetry_project_without_a_project_table(tree: Tree) -> None:
    """B04."""
    tree.write({"a/pyproject.toml": POETRY, "a/weather/server.py": "", "ours/pyproject.toml": PROJECT})
    plan = tree.plan("a")

    assert (plan.tool, plan.version, plan.command) == ("poetry", "<4,>=3.10", ("weather",))
    assert (plan.root, plan.member) == ("", "a")
    assert plan.beside == {"dependencies.txt": "mcp[cli]<2,>=1.2\n"}
    assert words(plan) == ["uv pip install -r ../plan/dependencies.txt", "uv pip install ./a"]
    assert words(tree.plan("a", groups=("web",)))[-1] == "uv pip install ./a httpx<0.28,>=0.27"


def test_a_poetry_lock_holds_what_is_installed(tree: Tree) -> None:
    tree.write({"a/pyproject.toml": POETRY, "a/weather/server.py": "", "ours/pyproject.toml": PROJECT})
    tree.write({"a/poetry.lock": poetry_lock("1.9.1")})
    plan = tree.plan("a")

    assert plan.lock == "poetry.lock"
    assert plan.beside["locked.txt"] == f'mcp==1.9.1 ; python_version >= "3.10" --hash={HASH}\n'
    assert words(plan)[-1] == "uv pip install -c ../plan/locked.txt ./a"

    tree.write({"a/poetry.lock": poetry_lock("2.0")})
    plan = tree.plan("a")
    assert "poetry.lock is out of step with pyproject.toml: it pins another than mcp" in said(plan)
    assert "locked.txt" not in plan.beside


def test_a_poetry_lock_of_old(tree: Tree) -> None:
    old = '[[package]]\nname = "mcp"\nversion = "1.3"\n[metadata.files]\n'
    old += f'mcp = [{{file = "m", hash = "{HASH}"}}]\n'
    application = POETRY.replace('name = "weather"\n', "").replace('ours = {path = "../ours"}\n', "")
    tree.write({"pyproject.toml": application, "poetry.lock": old, "weather/server.py": ""})
    plan = tree.plan()

    assert plan.beside["locked.txt"] == f"mcp==1.3 --hash={HASH}\n"
    assert words(plan) == ["uv pip install -c ../plan/locked.txt -r ../plan/dependencies.txt"]
    assert plan.command[:2] == ("python", "-c")
    assert "starts `weather` from [tool.poetry.scripts] as weather.server:main" in said(plan)


def test_a_pdm_project(tree: Tree) -> None:
    lock = f'[[package]]\nname = "mcp"\nversion = "1.4"\nfiles = [{{file = "m", hash = "{HASH}"}}]\n'
    lock += '[[package]]\nname = "mcp"\nversion = "1.4"\nextras = ["cli"]\n'
    local = '"helper @ file:///${PROJECT_ROOT}/libs/helper"'
    project = PROJECT.replace('"mcp>=1.2"', f'"mcp>=1.2", {local}') + "[tool.pdm]\ndistribution = false\n"
    tree.write(
        {"pyproject.toml": project, "pdm.lock": lock, "main.py": "", "libs/helper/pyproject.toml": PROJECT}
    )
    plan = tree.plan()

    assert (plan.tool, plan.lock, plan.files) == ("pdm", "pdm.lock", ())
    assert plan.beside == {"locked.txt": f"mcp==1.4 --hash={HASH}\n"}
    assert words(plan) == ["uv pip install -c ../plan/locked.txt -r pyproject.toml"]


def test_a_pipenv_project(tree: Tree) -> None:
    pipfile = '[packages]\nmcp = "*"\nlib = {path = "./lib", editable = true}\n'
    pipfile += '[requires]\npython_version = "3.12"\n'
    entry = {"version": "==1.5", "hashes": [HASH], "markers": "python_version >= '3.10'", "extras": ["cli"]}
    lock = {"default": {"mcp": entry, "lib": {"path": "./lib"}}, "develop": {"pytest": {"version": "==8"}}}
    tree.write({"Pipfile": pipfile, "server.py": "", "lib/setup.py": ""})
    assert words(tree.plan()) == ["uv pip install -r ../plan/dependencies.txt ./lib"]

    plan = tree.write({"Pipfile.lock": json.dumps(lock)}).plan()
    assert (plan.tool, plan.lock, plan.version) == ("pipenv", "Pipfile.lock", "==3.12.*")
    assert plan.beside == {"locked.txt": f'mcp[cli]==1.5 ; python_version >= "3.10" --hash={HASH}\n'}
    assert words(plan) == ["uv pip install --no-deps -r ../plan/locked.txt", "uv pip install --no-deps ./lib"]
    assert "pytest==8" in tree.plan(groups=("dev",)).beside["locked.txt"]


def test_a_lock_in_the_middle_of_a_merge(tree: Tree) -> None:
    tree.write({"pyproject.toml": PROJECT, "uv.lock": "<<<<<<< HEAD\n" + UV_LOCK, "server.py": ""})
    with pytest.raises(SourceError, match=r"uv\.lock holds the marks of a merge"):
        tree.plan()


# --- pip, hatch, setuptools, flit, scripts


def test_requirements_under_other_names(tree: Tree) -> None:
    tree.write({"requirements.in": "mcp\n", "constraints.txt": "mcp<2\n", "server.py": ""})
    assert words(tree.plan()) == ["uv pip install -r requirements.in -c constraints.txt"]
    assert tree.plan().files == ("requirements.in", "constraints.txt")
    (tree.path / "requirements.in").unlink()

    tree.write({"requirements/base.txt": "mcp\n", "requirements/dev.txt": "pytest\n"})
    assert words(tree.plan(groups=("dev",))) == [
        "uv pip install -r requirements/base.txt -r requirements/dev.txt -c constraints.txt"
    ]
    (tree.path / "requirements/base.txt").rename(tree.path / "requirements/x.txt")
    with pytest.raises(SourceError, match=r"requirements/ has dev\.txt, x\.txt"):
        tree.plan()


def test_requirements_that_a_shell_of_windows_wrote(tree: Tree) -> None:
    tree.write({"server.py": ""})
    (tree.path / "requirements.txt").write_bytes("mcp==1.0\r\n".encode("utf-16"))
    assert words(tree.plan()) == ["uv pip install -r requirements.txt"]


SETUP = """from setuptools import setup
raise SystemExit("recognition runs this")
setup(name="notes", python_requires=">=3.9", entry_points={"console_scripts": ["notes=n:main"]})
"""


def test_setuptools_without_pyproject(tree: Tree) -> None:
    plan = tree.write({"setup.py": SETUP}).plan()
    assert (plan.tool, plan.command, plan.version) == ("setuptools", ("notes",), ">=3.9")
    assert words(plan) == ["uv pip install ."]

    config = "[metadata]\nname = notes\n[options.entry_points]\nconsole_scripts =\n    other = n:main\n"
    plan = tree.write({"setup.cfg": config, "setup.py": "from setuptools import setup\nsetup()\n"}).plan()
    assert plan.command == ("other",)
    assert "starts `other` from the entry points of setup.cfg" in said(plan)


def test_flit_of_old_and_hatch(tree: Tree) -> None:
    flit = '[tool.flit.metadata]\nmodule = "notes"\nrequires = ["mcp"]\nrequires-python = ">=3.8"\n'
    plan = tree.write({"pyproject.toml": flit + '[tool.flit.scripts]\nnotes = "notes:main"\n'}).plan()
    assert (plan.tool, plan.command, plan.version) == ("flit", ("notes",), ">=3.8")

    hatch = PROJECT + BACKEND + '[tool.hatch.envs.web]\ndependencies = ["httpx"]\n'
    tree.write({"pyproject.toml": hatch, "notes/__main__.py": ""})
    plan = tree.plan(groups=("web",))
    assert (plan.tool, plan.command) == ("hatch", ("python", "-m", "notes"))
    assert words(plan)[-1] == "uv pip install . httpx"
    with pytest.raises(SourceError, match="has no group “none”"):
        tree.plan(groups=("none",))


INLINE = '# /// script\n# requires-python = ">=3.12"\n# dependencies = ["mcp<2", "ours"]\n# ///\n' + SERVER


def test_a_script_that_says_what_it_needs(tree: Tree) -> None:
    sources = '# [tool.uv.sources]\n# ours = { path = "lib" }\n# ///\n'
    tree.write({"weather.py": INLINE.replace("# ///\nfrom", f"{sources}from"), "lib/pyproject.toml": PROJECT})
    plan = tree.plan()

    assert plan.version == ">=3.12"
    assert plan.beside == {"dependencies.txt": "mcp<2\n"}
    assert words(plan) == ["uv pip install -r ../plan/dependencies.txt ./lib"]
    assert plan.command[-1] == "import runpy; runpy.run_path('weather.py')['mcp'].run()"


@pytest.mark.parametrize("name", ["environment.yml", "pixi.toml", "conda-lock.yml"])
def test_what_only_conda_installs_is_refused_by_name(tree: Tree, name: str) -> None:
    tree.write({name: "dependencies: [mcp]"})
    with pytest.raises(SourceError, match=rf"\({name}\), which is not supported") as caught:
        tree.plan()
    assert "Dockerfile" in caught.value.hint

    plan = tree.write({"requirements.txt": "mcp", "server.py": ""}).plan()
    assert f"{name} is passed over" in said(plan)


# --- Which Python, which version, which start


@pytest.mark.parametrize(
    ("file", "text", "version"),
    [
        (".python-version", "3.12.4\n", "3.12"),
        (".python-version", "cpython-3.13\n", "3.13"),
        ("runtime.txt", "python-3.11.9", "3.11"),
        (".tool-versions", "nodejs 22\npython 3.12.1\n", "3.12"),
        (".python-version", "my-environment\n", ">=3.10"),
    ],
)
def test_the_python_that_is_asked_for(tree: Tree, file: str, text: str, version: str) -> None:
    tree.write({"pyproject.toml": PROJECT, "server.py": "", file: text})
    plan = tree.plan()
    assert (plan.version, plan.allowed) == (version, ">=3.10" if version.startswith("3") else "")
    chosen = tree.plan(python="3.14")
    assert (chosen.version, chosen.allowed) == ("3.14", "")


@pytest.mark.parametrize(
    ("more", "variable"),
    [
        (
            "[build-system]\nrequires = ['setuptools', 'setuptools-scm>=8']",
            "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_NOTES",
        ),
        ("[build-system]\nrequires = ['hatchling', 'hatch-vcs']", "SETUPTOOLS_SCM_PRETEND_VERSION"),
        ("[build-system]\nrequires = ['hatchling', 'uv-dynamic-versioning']", "UV_DYNAMIC_VERSIONING_BYPASS"),
        ("[tool.pdm.version]\nsource = 'scm'", "PDM_BUILD_SCM_VERSION"),
        ("[build-system]\nrequires = ['poetry-dynamic-versioning']", "POETRY_DYNAMIC_VERSIONING_BYPASS"),
    ],
)
def test_a_version_that_is_in_tags(tree: Tree, more: str, variable: str) -> None:
    project = '[project]\nname = "notes"\ndynamic = ["version"]\n' + more
    tree.write({"pyproject.toml": project, "server.py": ""})
    assert tree.plan(version="1.4.2").environment[variable] == "1.4.2"
    assert tree.plan().environment[variable] == "0.0.0"
    assert tree.write({"pyproject.toml": PROJECT}).plan(version="1.4.2").environment == {}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"server.py": SERVER}, ("python", "-c", "import runpy; runpy.run_path('server.py')['mcp'].run()")),
        ({"server.py": SERVER + "mcp.run()\n"}, ("python", "server.py")),
        ({"weather.py": SERVER + "mcp.run()\n", "other.py": "x = 1\n"}, ("python", "weather.py")),
        ({"notes/server.py": SERVER + "mcp.run()\n"}, ("python", "-m", "notes.server")),
        ({"src/notes/server.py": SERVER + "mcp.run()\n"},
         ("env", "PYTHONPATH=src", "python", "-m", "notes.server")),
        ({"src/server.py": SERVER + "mcp.run()\n"}, ("python", "src/server.py")),
        ({"notes/main.py": "x = 1\n", "notes/server.py": SERVER},
         ("python", "-c", "from notes.server import mcp; mcp.run()")),
    ],
)  # fmt: skip
def test_how_a_server_without_a_command_starts(
    tree: Tree, files: dict[str, str], command: tuple[str, ...]
) -> None:
    assert tree.write({"requirements.txt": "mcp", **files}).plan().command == command


def test_of_several_commands_the_one_that_speaks_of_a_server(tree: Tree) -> None:
    scripts = '[project.scripts]\ncheck = "n:c"\nserve-mcp = "n:m"\n'
    assert tree.write({"pyproject.toml": PROJECT + scripts + BACKEND}).plan().command == ("serve-mcp",)


def test_a_program_too_deep_to_be_read_is_started_as_it_is(tree: Tree) -> None:
    deep = "x = " + "(" * 5000 + ")" * 5000
    assert tree.write({"server.py": deep, "setup.py": deep}).plan().command == ("python", "server.py")


def test_a_build_that_is_set_by_hand(tree: Tree) -> None:
    plan = tree.write({"server.py": "", "requirements.txt": ""}).plan(build="make schema && true")
    assert [(step.kind, step.argv) for step in plan.steps] == [("build", ("sh", "-c", "make schema && true"))]


def test_a_root_that_is_set_by_hand(tree: Tree) -> None:
    tree.write({"README.md": "", "back/requirements.txt": "mcp", "back/server.py": ""})
    plan = tree.plan(root="back")
    assert (plan.root, plan.member, plan.command) == ("back", "", ("python", "server.py"))
