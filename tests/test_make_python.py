"""The Python that `make run` takes, with interpreters that are not there, only say so, or are of another version."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from feedback_app.commands.doctor import pythons

ROOT = Path(__file__).resolve().parent.parent
LOCK = "locks/cpu.txt"
NEEDED = ("bash", "sed", "grep", "cat", "cksum", "tr", "awk", "nproc")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder that is the whole PATH: what the Makefile needs, and no Python."""
    for name in NEEDED:
        found = shutil.which(name)
        assert found is not None, name
        (tmp_path / name).symlink_to(found)
    return tmp_path


def interpreter(path: Path, name: str, version: str = "", *, runs: bool = True) -> None:
    """A Python that tells its version to the one question that the Makefile asks, or a shim that does not run."""
    says = f'[[ "$2" == *"\'{version}\'"* ]]' if runs else f'echo "{name}: not installed" >&2; exit 127'
    (path / name).write_text(f"#!/bin/bash\n{says}\n")
    (path / name).chmod(0o755)


def make(path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program is not None
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "LOCK", "MAKEFLAGS")}
    return subprocess.run(
        [program, "--no-print-directory", f"LOCK={LOCK}", *words],
        cwd=ROOT,
        env=env | {"PATH": str(path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def taken(path: Path, *words: str) -> str:
    """The interpreter that a target would use."""
    done = make(path, "-n", "python", *words)
    return next(line.split()[0] for line in done.stdout.splitlines() if "import venv, ensurepip" in line)


def test_311_is_taken_where_it_runs(path: Path) -> None:
    for version in pythons(ROOT / LOCK):
        interpreter(path, f"python{version}", version)
    assert taken(path) == str(path / "python3.11")


def test_a_shim_that_does_not_run_is_passed_over_for_the_newest_with_a_lock(path: Path) -> None:
    interpreter(path, "python3.11", runs=False)
    interpreter(path, "python3.12", "3.12")
    interpreter(path, "python3.13", "3.13")
    interpreter(path, "python3.99", "3.99")
    assert taken(path) == str(path / "python3.13")


def test_a_plain_python3_counts_by_what_it_is(path: Path) -> None:
    interpreter(path, "python3", "3.12")
    assert taken(path) == str(path / "python3")
    assert make(path, "-n", "python").returncode == 0


def test_without_one_a_sentence_names_the_versions_and_the_next_step(path: Path) -> None:
    interpreter(path, "python3.11", runs=False)
    interpreter(path, "python3", "3.9")
    done = make(path, "python")
    assert done.returncode != 0
    said = done.stderr.splitlines()[0]
    assert all(version in said for version in pythons(ROOT / LOCK))
    assert "none of them runs here" in said
    assert "make run PYTHON=" in said


def test_a_named_one_is_taken_and_refused_by_name_where_it_does_not_fit(path: Path) -> None:
    interpreter(path, "python3.11", "3.11")
    interpreter(path, "mine", "3.12")
    interpreter(path, "old", "3.9")
    assert taken(path, "PYTHON=mine") == "mine"
    done = make(path, "python", "PYTHON=old")
    assert done.returncode != 0
    assert "old is not one that runs" in done.stderr
