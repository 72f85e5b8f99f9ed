from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting.runtimes import output_files


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log" / "1.out"


def append(file: Path, data: bytes) -> None:
    with output_files.appending(file, file.with_suffix(".err")) as (out, _):
        written = 0
        while written < len(data):
            written += os.write(out, data[written:])


def read_all(file: Path, offset: int = 0) -> tuple[list[str], int]:
    lines: list[str] = []
    while (piece := output_files.read(file, offset, ended=True)).offset != offset:
        lines += piece.lines
        offset = piece.offset
    return lines, offset


def test_a_file_that_is_not_there_is_empty(file: Path) -> None:
    assert output_files.read(file, 7, ended=True) == output_files.Piece([], 7)


@given(st.lists(st.binary(max_size=40), max_size=20), st.booleans())
def test_lines_are_read_once_whatever_the_pieces(pieces: list[bytes], ended: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "1.out"
        seen: list[str] = []
        offset = 0
        for piece in pieces:
            append(file, piece)
            found = output_files.read(file, offset, ended=False)
            seen, offset = seen + found.lines, found.offset
        rest, _ = read_all(file, offset)
        whole = b"".join(pieces).split(b"\n")
        expected = whole if whole[-1] else whole[:-1]
        assert seen + rest == [output_files.clean(line) for line in expected]


def test_a_line_that_never_ends_is_cut(file: Path) -> None:
    append(file, b"x" * 40_000)
    found = output_files.read(file, 0, ended=False)
    assert [len(line) for line in found.lines] == [16_384, 16_384, 7_232]


def test_what_was_read_is_given_back_and_offsets_stay(file: Path) -> None:
    line = b"y" * 99 + b"\n"
    append(file, line * 100_000)
    lines, offset = read_all(file)
    assert len(lines) == 100_000
    assert output_files.read(file, offset, ended=False) == output_files.Piece([], offset)
    assert file.stat().st_blocks * 512 <= output_files.KEEP_BYTES
    append(file, b"after\n")
    assert output_files.read(file, offset, ended=False).lines == ["after"]
    again, _ = read_all(file)  # whoever starts anew finds what is still there
    assert again[-1] == "after"
    assert len(again) < 100_000


def test_a_flood_that_nobody_read_is_dropped_but_for_its_end(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_files, "BACKLOG_BYTES", 1 << 20)
    monkeypatch.setattr(output_files, "KEEP_BYTES", 1 << 16)
    append(file, b"z" * 99 + b"\n" + b"w" * (2 << 20) + b"\nthe end\n")
    lines, _ = read_all(file)
    assert "bytes of output were dropped" in lines[0]
    assert lines[-1] == "the end"
    assert not any("z" in line for line in lines)
