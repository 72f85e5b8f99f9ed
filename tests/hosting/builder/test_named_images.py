from __future__ import annotations

import pytest

from hosting.builder.named_images import UNKNOWN, Named, automatic, read

GIVEN = automatic("linux/arm64", "linux/amd64")


def images(text: str) -> list[str]:
    return list(read(text, GIVEN).images)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("FROM a.b/x:1\n", ["a.b/x:1"]),
        ("from   --platform=linux/amd64   a.b/x:1  as  base\nFROM base\nFROM BASE\n", ["a.b/x:1"]),
        ("FROM later\nFROM a.b/x AS later\n", ["later", "a.b/x"]),
        ("FROM scratch\n", []),
        ("FROM a.b/x\nCOPY --from=c.d/y --chown=1 /a /b\n", ["a.b/x", "c.d/y"]),
        ("FROM a.b/x AS one\nFROM scratch\nCOPY --from=one / /\nCOPY --from=0 / /\n", ["a.b/x"]),
        ("FROM scratch\nRUN --mount=type=bind,from=c.d/y,target=/t true\n", ["c.d/y"]),
        ('FROM scratch\nRUN --network=none --mount="type=bind,From=c.d/y" true\n', ["c.d/y"]),
        ("FROM scratch\nONBUILD COPY --from=c.d/y / /\n", ["c.d/y"]),
        ("ARG R=a.b\nARG I=${R}/x\nFROM $I:1\n", ["a.b/x:1"]),
        ("ARG I='a.b/x'\nFROM \"${I}\"\n", ["a.b/x"]),
        ("FROM ${I:-a.b/x}\nFROM ${I-a.b/y}\nFROM a.b/z${I:+:1}\n", ["a.b/x", "a.b/y", "a.b/z"]),
        ("FROM a.b/x-$TARGETARCH-${BUILDARCH}\n", ["a.b/x-arm64-amd64"]),
        ("FROM \\\n  # a remark\n\n  a.b/x\\\n:1\n", ["a.b/x:1"]),
        ("# escape=`\nFROM `\n a.b/x\n", ["a.b/x"]),
        ("FROM a.b/x\nRUN <<E\nfrom os import path\nFROM $TABLE\nE\nFROM a.b/y\n", ["a.b/x", "os", "a.b/y"]),
        ('FROM a.b/x\nRUN echo "<<E"\nFROM a.b/y\n', ["a.b/x", "a.b/y"]),
        ("FROM a.b/x\r\nCOPY --from=c.d/y . .\r\n", ["a.b/x", "c.d/y"]),
        ("FROM scratch\nARG V=1\nCOPY --from=c.d/y:$V / /\n", ["c.d/y:1"]),
    ],
)
def test_what_is_named(text: str, named: list[str]) -> None:
    assert images(text) == named


@pytest.mark.parametrize(
    "text",
    [
        "ARG I\nFROM $I\n",
        "FROM ${I}\n",
        "ARG I=a.b/x\nFROM ${I%x}y\n",
        "FROM scratch\nENV I=a.b/x\nCOPY --from=$I / /\n",
        "FROM scratch\nARG I\nRUN --mount=type=bind,from=$I true\n",
    ],
)
def test_what_only_the_build_knows(text: str) -> None:
    [image] = images(text)
    assert UNKNOWN in image


@pytest.mark.parametrize(
    "text",
    [
        "# syntax=a.b/reader:1\nFROM x\n",
        "#SYNTAX = a.b/reader:1  \nFROM x\n",
        "# escape=`\n# syntax=a.b/reader:1\nFROM x\n",
        "#!/usr/bin/env docker\n# syntax=a.b/reader:1\nFROM x\n",
        "// syntax=a.b/reader:1\nFROM x\n",
        '{"syntax": "a.b/reader:1"}\n',
        "\ufeff# syntax=a.b/reader:1\nFROM x\n",
    ],
)
def test_another_reader_is_named(text: str) -> None:
    assert read(text, GIVEN).frontend == "a.b/reader:1"


def test_a_remark_is_no_directive() -> None:
    assert read("# a remark\n# syntax=a.b/reader:1\nFROM x\n", GIVEN) == Named(("x",), "")


@pytest.mark.parametrize(
    "text",
    [
        "ARG I=ours/x\nFROM ${I}\n",
        "ARG I\nFROM $I\n",
        "FROM scratch\nARG I=ours/x\nCOPY --from=$I / /\n",
        "FROM scratch\nARG I\nRUN --mount=type=bind,from=${I:-ours/x} true\n",
    ],
)
def test_what_somebody_gives_a_build_takes_the_place_of_what_an_arg_says(text: str) -> None:
    assert read(text, GIVEN, {"I": "theirs.example/x"}).images == ("theirs.example/x",)
