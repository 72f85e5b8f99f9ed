"""What uv, pip, setuptools and hatchling say when an installation fails, and what that means.

Patterns look for one short place in a text whose white space is single spaces.
"""

from __future__ import annotations

from collections.abc import Iterable

from hosting.signs import Cause, Words, read, sign
from registry.reasons import Reason

LONGEST = 600
# Marks of a drawing, and the rulers of what was wrapped.
DRAWN = str.maketrans(dict.fromkeys("╰─▶│├×", " "))


OLDER = "Lock it anew with the project's own tool, and commit the lock."
SIGNS = (
    sign(
        r"Failed to download [^ ]{0,200}python-build-standalone/[^ ]{0,200}cpython-(?P<what>\d\.\d{1,3})",
        "The source asks for Python {what}, which the base image does not have, and the download failed.",
        "Set BASE_IMAGE_PYTHON to an image whose tag tells its version (python:3.13-slim: those of other "
        "versions are then taken from beside it), or the server's Python; or let builds reach github.com.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"No interpreter found for (?:Python )?(?P<what>[^ ]{1,60})",
        "The source asks for Python {what}, which the base image does not have.",
        "Set BASE_IMAGE_PYTHON to an image that has it, or PYTHON_DOWNLOADS=true, or the server's Python.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"current Python version \((?P<what>[0-9.]{1,12})\) does not satisfy Python ?(?P<more>[^ ]{1,40})",
        "A package needs Python {more}, and the server is installed with {what}.",
        "Set the server's Python, or bound the package to an older version.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"Because (?P<what>[^ ]{1,100}) was not found in the package registry",
        "The package index has no package {what}.",
        "Check its name. A package of one's own is named with its directory ([tool.uv.sources], path).",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"Because there (?:is|are) no versions? of (?P<what>[^ ]{1,120}) and",
        "The package index has no {what}.",
        "Check the version; an index of one's own may lack it.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"No matching distribution found for (?P<what>[^ ]{1,120})",
        "The package index has no {what} that could be installed here.",
        "Check the version, and which Python it is for.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"Hash mismatch for `(?P<what>[^`]{1,120})`",
        "What the package index gave for {what} is not what the lock says.",
        f"The release was replaced, or the index is another than the lock's. {OLDER}",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"Distribution not found at: (?:file://)?(?P<what>[^ ]{1,300})",
        "The source has no {what}, which it depends on.",
        "Take it into the repository or the archive, or deploy from the directory above.",
    ),
    sign(
        r"(?:fatal error: |Failed to find )(?P<what>Python\.h|[\w/.+-]{1,80}\.h)\b",
        "A package has to be compiled, and the header {what} is missing.",
        "Use a Python for which the package has a wheel, or an image that has the header (its -dev package).",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"(?:command ['\"]?|error: |unable to execute ['\"]?)"
        r"(?P<what>gcc|g\+\+|cc|c\+\+|clang|x86_64-linux-gnu-gcc|aarch64-linux-gnu-gcc|cmake|make)['\"]?"
        r"(?: failed)?: No such file",
        "A package has to be compiled, and there is no {what}.",
        "Use a Python for which the package has a wheel, or an image that has a compiler.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"(?P<what>cargo|rustc), the Rust (?:package manager|compiler), is not installed",
        "A package has to be compiled, and there is no Rust ({what}).",
        "Use a Python for which the package has a wheel, or an image that has Rust.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"(?P<what>pg_config|mysql_config) (?:executable )?(?:is )?(?:not found|required)",
        "A package has to be compiled, and there is no {what}.",
        "Use the package's binary variant (psycopg2-binary), or an image that has the development files.",
        Reason.UNSATISFIABLE,
    ),
    sign(
        r"Multiple top-level (?P<what>packages|modules) discovered in a flat-layout",
        "setuptools does not know which of several {what} the project is.",
        "Name them in [tool.setuptools] (packages or py-modules), or put them into src/.",
    ),
    sign(
        r"Unable to determine which (?P<what>files) to ship",
        "Hatchling does not know which {what} the project is: no directory has its name.",
        "Name them in [tool.hatch.build.targets.wheel] (packages), or leave out [build-system].",
    ),
    sign(
        r"(?P<what>setuptools[-_]scm|hatch-vcs|LookupError: Error getting the version from source)\b.{0,80}"
        r"(?:unable to detect version|failed)",
        "The version of a package is in tags of git, which the source does not have ({what}).",
        "Give the project a version of its own, or deploy from its repository.",
    ),
    sign(
        r"(?:Git executable not found|Git (?:operation|command) failed)(?P<what>)",
        "A dependency comes from git, and it could not be fetched.",
        "The image or the machine needs git, and the repository must be readable without a login.",
    ),
    sign(
        r"ModuleNotFoundError: No module named '(?P<what>[\w.]{1,100})'",
        "A package's build imports {what}, which it does not say that it needs.",
        "Name it in [build-system] requires.",
    ),
)
CONFLICT = ("No solution found when resolving", "requirements are unsatisfiable", "ResolutionImpossible")


def find(lines: Iterable[str]) -> Cause | None:
    """None where nothing of it is known."""
    text = " ".join(" ".join(lines).translate(DRAWN).split())
    if cause := read(SIGNS, text, _without_stops):
        return cause
    if any(words in text for words in CONFLICT):
        why = text[text.find("Because ") :] if "Because " in text else ""
        return Cause(
            f"No versions of the packages fit together. {why[:LONGEST].partition(' hint: ')[0]}".strip(),
            "Loosen a bound of the project or of what is set besides; a lock out of step is locked anew.",
            Reason.UNSATISFIABLE,
        )
    return None


def _without_stops(named: Words) -> Words:
    return {name: value.rstrip(".,:;") for name, value in named.items()}


def without_usage(lines: Iterable[str]) -> list[str]:
    """What a tool says of its own command line is about us, and tells nobody what is wrong."""
    kept: list[str] = []
    for line in lines:
        if line.lstrip().lower().startswith("usage:"):
            break
        if line.strip():
            kept.append(line)
    return kept
