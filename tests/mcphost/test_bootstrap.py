"""The keys of the first start."""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from mcphost import bootstrap
from mcphost.env import BadSetting, stored


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "env"
    monkeypatch.setenv("ENV_FILE", str(path))
    for name in ("SECRET_KEY", "SECRET_ENCRYPTION_KEYS"):
        monkeypatch.delenv(name, raising=False)
    return path


def test_missing_keys_are_made_once_for_the_owner_alone(env_file: Path, tmp_path: Path) -> None:
    assert bootstrap.write_missing_keys(tmp_path) == env_file
    keys = stored(env_file)
    Fernet(keys["SECRET_ENCRYPTION_KEYS"])
    assert len(keys["SECRET_KEY"]) >= 50
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600
    assert bootstrap.write_missing_keys(tmp_path) is None
    assert stored(env_file) == keys


def test_parts_that_start_at_once_get_the_same_keys(env_file: Path, tmp_path: Path) -> None:
    parts = 8
    for _ in range(20):
        env_file.unlink(missing_ok=True)
        together = threading.Barrier(parts)

        def start(together: threading.Barrier = together) -> tuple[Path | None, dict[str, str]]:
            together.wait()
            return bootstrap.write_missing_keys(tmp_path), stored(env_file)

        with ThreadPoolExecutor(parts) as pool:
            started = [part.result() for part in [pool.submit(start) for _ in range(parts)]]
        assert [wrote for wrote, _ in started].count(env_file) == 1
        assert [keys for _, keys in started] == [stored(env_file)] * parts


def test_what_stands_in_the_file_stays(env_file: Path, tmp_path: Path) -> None:
    env_file.write_text("BIND_PORT=4000")
    env_file.chmod(0o644)
    bootstrap.write_missing_keys(tmp_path)
    assert stored(env_file)["BIND_PORT"] == "4000"
    assert stat.S_IMODE(env_file.stat().st_mode) == 0o600


def test_keys_from_elsewhere_are_not_written(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "given")
    monkeypatch.setenv("SECRET_ENCRYPTION_KEYS_FILE", "/run/secrets/keys")
    assert bootstrap.write_missing_keys(tmp_path) is None
    assert not env_file.exists()


def test_a_file_that_cannot_be_written_is_one_line(
    tmp_path: Path, env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / "no" / "directory" / "env"))
    with pytest.raises(BadSetting, match=r"cannot be written.*SECRET_KEY and SECRET_ENCRYPTION_KEYS"):
        bootstrap.write_missing_keys(tmp_path)
