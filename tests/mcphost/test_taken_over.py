"""What was taken over from others is what it says it is, and still what it was taken from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import unfold
from django.conf import settings

ALPINE = "0d18d7f8d7910e2e0212f0f056b12f50bebc3abb7d88d2f7c7cb4c336fe4519a"
# unfold's own, as they were when ours were made of them.
TEMPLATES = {
    "layouts/skeleton.html": "66af9f0bb45f98ba4e16ba5e5a11f36d87b8e07430d19066d088b29548491c2e",
    "helpers/welcomemsg.html": "e8eab02522ba2319b937086bbcb6bf2a2bbe1489d236ad90ff23edbe070a7d6b",
    "helpers/command.html": "ae6ce324d85366131fc82945b3c35c1b980829229508343993e6adcbee4c975d",
}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_alpine_is_the_build_that_its_licence_names() -> None:
    """dist/cdn.min.js of @alpinejs/csp 3.17.4."""
    folder = settings.BASE_DIR / "static" / "alpine"
    assert digest(folder / "alpine-csp.js") == ALPINE
    assert "@alpinejs/csp 3.17.4" in (folder / "LICENSE").read_text()


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_of_unfold_that_ours_replaces_has_not_changed(name: str) -> None:
    """If it has: take the change over, look at the page, and write the new digest here."""
    theirs = Path(str(unfold.__file__)).parent / "templates" / "unfold"
    assert digest(theirs / name) == TEMPLATES[name]
    assert (settings.BASE_DIR / "templates" / "unfold" / name).is_file()
