"""Nobody but its owner reads the home: whatever the umask, also a home that was made wider."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback_app.commands import doctor
from feedback_app.private import keep_private, make_database, make_home, shut_out, too_open
from feedback_app.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def wide_umask() -> Iterator[None]:
    """Nothing is private by chance."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def old_home(folder: Path) -> Path:
    """A home as it was made before: open to read for everybody, the database in use."""
    home = folder / "home"
    for name in ("logs", "snapshots/0001", "versions/v"):
        (home / name).mkdir(parents=True)
    for name in ("alignloop.db", "alignloop.db-wal", "alignloop.db-shm", "logs/app.log", "snapshots/0001/rows.jsonl"):
        (home / name).write_text("x")
        (home / name).chmod(0o666)
    for path in (home, *home.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    return home


def test_a_new_home_is_its_owners_alone(tmp_path: Path) -> None:
    make_home(tmp_path / "deep" / "home")
    assert mode(tmp_path / "deep" / "home") == 0o700


def test_an_old_home_is_mended_and_what_is_made_in_it_is_private(tmp_path: Path) -> None:
    home = old_home(tmp_path)
    assert too_open(home) == home
    keep_private(home)
    assert too_open(home) is None
    assert {mode(path) for path in home.rglob("*") if path.is_file()} == {0o600}
    assert {mode(path) for path in (home, *home.rglob("*")) if path.is_dir()} == {0o700}
    (home / "logs" / "new.log").write_text("x")
    (home / "snapshots" / "0002").mkdir()
    assert (mode(home / "logs" / "new.log"), mode(home / "snapshots" / "0002")) == (0o600, 0o700)


def test_a_home_with_the_group_bit_stays_its_groups_and_shuts_out_everybody_else(tmp_path: Path) -> None:
    home = old_home(tmp_path)
    home.chmod(0o2775)
    assert shut_out(home) == 0o007
    keep_private(home)
    assert (mode(home), mode(home / "alignloop.db")) == (0o2770, 0o660)
    (home / "new").write_text("x")
    assert mode(home / "new") == 0o660
    assert too_open(home) is None


def test_links_out_of_the_home_are_not_followed(tmp_path: Path) -> None:
    home = old_home(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("x")
    outside.chmod(0o755)
    (home / "versions" / "link").symlink_to(outside)
    (home / "versions" / "file").symlink_to(outside / "file")
    keep_private(home)
    assert (mode(outside), mode(outside / "file")) == (0o755, 0o666)


def test_the_database_and_what_sqlite_puts_beside_it_are_private(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    make_database(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=wal")
    connection.execute("CREATE TABLE t (x)")
    assert {each.name: mode(each) for each in tmp_path.iterdir()} == dict.fromkeys(
        ("a.db", "a.db-wal", "a.db-shm"), 0o600
    )
    for each in tmp_path.iterdir():
        each.chmod(0o666)
    make_database(path)
    assert {mode(each) for each in tmp_path.iterdir()} == {0o600}
    connection.close()


@pytest.mark.slow
def test_the_first_command_makes_a_private_home(tmp_path: Path) -> None:
    env = {**os.environ, "ALIGNLOOP_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    env.pop("DATABASE_URL", None)
    command = [sys.executable, "-m", "feedback_app", "person", "add", "ada", "--role", "chatter"]
    subprocess.run(command, env=env, cwd=tmp_path, check=True, umask=0, capture_output=True)
    assert mode(tmp_path / "home") == 0o700
    assert mode(tmp_path / "home" / "alignloop.db") == 0o600


def test_doctor_says_what_others_may_read(tmp_path: Path) -> None:
    home = old_home(tmp_path)
    row = doctor.home_row(Settings(home=home))
    assert row.state == "note"
    assert str(home) in row.found
    assert "chmod" in row.next
    keep_private(home)
    (home / "snapshots" / "0001" / "rows.jsonl").chmod(0o644)
    assert "rows.jsonl" in doctor.home_row(Settings(home=home)).found
    keep_private(home)
    assert doctor.home_row(Settings(home=home)).state == "ok"
    assert doctor.home_row(Settings(home=tmp_path / "none")).state == "ok"
