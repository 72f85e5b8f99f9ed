from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hosting.errors import SourceError
from hosting.sources.base import BuildContext
from hosting.sources.plan import Choices, Plan
from hosting.sources.recognise import recognise

PROJECT = '[project]\nname = "weather-mcp"\nversion = "1"\n'
SCRIPTS = PROJECT + "[project.scripts]\n"
BACKEND = '[build-system]\nrequires = ["hatchling"]\n'


@pytest.fixture
def look(tmp_path: Path) -> Any:
    def look(*, command: tuple[str, ...] = (), images: bool = False, **files: str | dict[str, Any]) -> Plan:
        for name, content in files.items():
            path = tmp_path / name.replace("___", "-").replace("__", ".")
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return recognise(BuildContext(tmp_path, "r"), Choices(command=command), images=images)

    return look


@pytest.mark.parametrize(("asked", "found"), [("", "dockerfile"), ("python", "python"), ("node", "node")])
def test_a_source_of_several_is_built_as_what_was_set(tmp_path: Path, asked: str, found: str) -> None:
    for name, text in {"Dockerfile": "FROM x", "requirements.txt": "mcp", "server.py": ""}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "package.json").write_text('{"name": "x", "main": "index.js"}')
    (tmp_path / "index.js").write_text("")
    plan = recognise(BuildContext(tmp_path, "r"), Choices(ecosystem=asked), images=True)
    assert plan.ecosystem == found


def test_what_it_is_to_be_built_as_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text("")
    with pytest.raises(SourceError, match="to be built as Node, and has nothing of it"):
        recognise(BuildContext(tmp_path, "r"), Choices(ecosystem="node"), images=True)
    with pytest.raises(SourceError, match="A Dockerfile was set, which the process runtime cannot build"):
        recognise(BuildContext(tmp_path, "r"), Choices(ecosystem="dockerfile"), images=False)


def words(plan: Plan) -> list[tuple[str, ...]]:
    return [step.argv for step in plan.steps]


def test_a_dockerfile_where_images_run(look: Any) -> None:
    plan = look(images=True, Dockerfile="FROM x", server__py="")

    assert (plan.ecosystem, plan.dockerfile, plan.command) == ("dockerfile", "Dockerfile", ())


def test_a_dockerfile_is_passed_over_where_processes_run(look: Any) -> None:
    plan = look(Dockerfile="FROM x", server__py="")

    assert (plan.ecosystem, plan.steps, plan.command) == ("python", (), ("python", "server.py"))


def test_only_a_dockerfile_where_processes_run(look: Any) -> None:
    with pytest.raises(SourceError, match="has only a Dockerfile") as caught:
        look(Dockerfile="FROM x")
    assert "docker or kubernetes runtime" in caught.value.hint


def test_nothing_to_start_names_what_was_looked_for(look: Any) -> None:
    with pytest.raises(SourceError, match="Nothing that can be started") as caught:
        look(README__md="")
    for name in ("Dockerfile", "pyproject.toml", "requirements.txt", "package.json", "server.py", "main.py"):
        assert name in caught.value.hint


def test_requirements_with_their_includes(look: Any) -> None:
    plan = look(
        requirements__txt="-r base.txt\nmcp # the sdk\n",
        base__txt="-c limits.txt\n",
        limits__txt="",
        main__py="",
    )

    assert words(plan) == [("uv", "pip", "install", "-r", "requirements.txt")]
    assert plan.files == ("requirements.txt", "base.txt", "limits.txt")
    assert plan.command == ("python", "main.py")


def test_requirements_that_include_a_url(look: Any) -> None:
    assert look(requirements__txt="-c https://h.example/c.txt\n", main__py="").files == ("requirements.txt",)


@pytest.mark.parametrize("line", ["-e .", ".", "./lib", "lib @ file:///x", "--editable ."])
def test_requirements_that_need_the_whole_context(look: Any, line: str) -> None:
    assert look(requirements__txt=line, app__py="").files == ()


def test_requirements_that_include_a_missing_file(look: Any) -> None:
    with pytest.raises(SourceError, match=r"includes base\.txt, which is not there"):
        look(requirements__txt="-rbase.txt", main__py="")


def test_a_project_with_one_script(look: Any) -> None:
    plan = look(pyproject__toml=SCRIPTS + 'start = "weather:main"\n' + BACKEND, requirements__txt="mcp")

    assert words(plan) == [("uv", "pip", "install", ".")]
    assert plan.command == ("start",)


def test_of_several_scripts_the_one_with_the_project_s_name(look: Any) -> None:
    assert look(pyproject__toml=SCRIPTS + 'a = "w:a"\nweather_mcp = "w:m"\n').command == ("weather_mcp",)


def test_several_scripts_are_listed(look: Any) -> None:
    with pytest.raises(SourceError, match=r"\[project\.scripts\] has alpha, beta") as caught:
        look(pyproject__toml=SCRIPTS + 'beta = "w:b"\nalpha = "w:a"\n')
    assert "Set the command" in caught.value.hint


def test_a_pyproject_that_only_lists_dependencies(look: Any) -> None:
    plan = look(pyproject__toml=PROJECT + 'dependencies = ["mcp"]\n', server__py="")

    assert words(plan) == [("uv", "pip", "install", "-r", "pyproject.toml")]
    assert (plan.files, plan.command) == (("pyproject.toml",), ("python", "server.py"))


def test_a_pyproject_of_tools_beside_requirements(look: Any) -> None:
    plan = look(pyproject__toml="[tool.ruff]\n", requirements__txt="mcp", server__py="")

    assert words(plan) == [("uv", "pip", "install", "-r", "requirements.txt")]
    assert (plan.files, plan.command) == (("requirements.txt",), ("python", "server.py"))


def test_a_package_with_a_main(look: Any, tmp_path: Path) -> None:
    (tmp_path / "src/weather").mkdir(parents=True)
    (tmp_path / "src/weather/__main__.py").touch()

    assert look(pyproject__toml=PROJECT + BACKEND).command == ("python", "-m", "weather")


def test_python_without_a_start_names_what_was_looked_for(look: Any) -> None:
    with pytest.raises(SourceError, match="how to start it was not found") as caught:
        look(requirements__txt="mcp")
    assert "__main__.py" in caught.value.hint


def test_a_given_command_is_taken(look: Any) -> None:
    assert look(command=("python", "x.py", "-v"), requirements__txt="mcp").command == ("python", "x.py", "-v")
    assert look(command=("serve",), images=True, Dockerfile="FROM x").command == ("serve",)


def test_a_source_s_own_command_is_taken(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("x==1\n")

    assert recognise(BuildContext(tmp_path, "r", command=("x",)), images=False).command == ("x",)


def test_node_with_a_bin_and_a_lock(look: Any) -> None:
    plan = look(package__json={"name": "@team/x", "bin": "./index.js"}, package___lock__json="{}")

    assert words(plan) == []
    assert (plan.lock, plan.files) == ("package-lock.json", ("package.json", "package-lock.json"))
    assert plan.command == ("node", "index.js")


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ({"name": "x", "bin": {"x": "a.js", "y": "b.js"}}, ("node", "a.js")),
        (
            {"scripts": {"start": "node --no-warnings 'my server.js'"}},
            ("node", "--no-warnings", "my server.js"),
        ),
        ({"scripts": {"start": "node a.js && echo"}}, ("sh", "-c", "node a.js && echo")),
        ({"scripts": {"start": "node a.js", "prestart": "true"}}, ("node", "a.js")),
        ({"scripts": {"start": "npm run serve", "serve": "node b.js"}}, ("node", "b.js")),
        ({"main": "./lib/main.js"}, ("node", "lib/main.js")),
    ],
)
def test_how_node_starts(look: Any, package: dict[str, Any], command: tuple[str, ...]) -> None:
    assert look(package__json=package).command == command


def test_node_that_has_to_be_built_first(look: Any, tmp_path: Path) -> None:
    package = {"name": "x", "bin": "dist/index.js", "scripts": {"build": "tsc"}}
    assert look(package__json=package).builds

    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/index.js").touch()
    assert not look(package__json=package).builds


@pytest.mark.parametrize(
    "more", [{"scripts": {"prepare": "tsc"}}, {"workspaces": ["a"]}, {"dependencies": {"lib": "file:lib"}}]
)
def test_node_installs_that_need_the_whole_context(look: Any, more: dict[str, Any]) -> None:
    assert look(package__json={"main": "x.js", **more}).files == ()


def test_node_without_a_start_names_what_was_looked_for(look: Any) -> None:
    with pytest.raises(SourceError, match="how to start it was not found") as caught:
        look(package__json={})
    assert "scripts.start" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("pyproject.toml", "[project", "pyproject.toml cannot be read"),
        ("package.json", "{", "package.json cannot be read"),
        ("package.json", "[]", "does not hold an object"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    (tmp_path / "server.py").touch()

    with pytest.raises(SourceError, match=said):
        recognise(BuildContext(tmp_path, "r"), images=False)


@pytest.mark.parametrize("listed", ['"requests"', "5", "[5]"])
def test_dependencies_that_are_no_list(look: Any, listed: str) -> None:
    project = f"[project]\ndependencies = {listed}\n"
    with pytest.raises(SourceError, match="dependencies must be a list of strings"):
        look(pyproject__toml=project, server__py="")


def test_a_start_that_names_no_file(look: Any) -> None:
    scripts = {"start": "node " + "x" * 300, "build": "tsc"}
    assert look(package__json={"scripts": scripts}).builds


def test_a_start_that_is_no_command_line_is_the_shell_s_to_refuse(look: Any) -> None:
    assert look(package__json={"scripts": {"start": "node 'x"}}).command == ("sh", "-c", "node 'x")


def test_a_manifest_that_is_a_link_out_of_the_context_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.toml").write_text('[project]\nname = "x"\n')
    context = tmp_path / "context"
    context.mkdir()
    (context / "pyproject.toml").symlink_to("../secret.toml")

    with pytest.raises(SourceError, match="Nothing that can be started"):
        recognise(BuildContext(context, "r"), images=False)
