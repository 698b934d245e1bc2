"""The README is short and true: its links lead somewhere, its walk is long enough, its map names every package."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pages import ROOT, dead_links

README = (ROOT / "README.md").read_text(encoding="utf-8")
LARGEST = 10 * 1024  # bytes: what somebody reads before they try it


def test_it_is_short() -> None:
    assert len(README.encode()) <= LARGEST


def test_every_link_leads_somewhere() -> None:
    assert dead_links(ROOT / "README.md") == []
    assert "](docs/architecture.md#where-to-look)" in README


def test_the_map_names_every_package() -> None:
    packages = [
        f"{top}/{folder.name}/"
        for top in ("feedback_app", "alignment")
        for folder in sorted((ROOT / top).iterdir())
        if (folder / "__init__.py").is_file()
    ]
    assert [
        package for package in ("feedback_app/", "serving/", "alignment/", *packages) if f"]({package})" not in README
    ] == []


def test_the_walk_says_how_many_votes_it_takes() -> None:
    for text in (README, (ROOT / "docs" / "walk.md").read_text(encoding="utf-8")):
        walk = text.split("# A walk")[1].split("\n## ")[0]
        votes = [int(number) for number in re.findall(r"--judgements (\d+)", walk)]
        assert sum(votes) == int(re.search(r"\*\*(\d+) votes\*\*", walk)[1])  # type: ignore[index]
        from feedback_app.settings import Settings

        assert votes[-1] >= Settings.model_fields["votes"].default


def test_every_place_that_it_names_has_what_it_says() -> None:
    rows = re.findall(r"`(\w+)` in \[[\w.]+/?\]\(([\w./]+)\)", README)
    assert len(rows) >= 4
    for name, file in rows:
        text = (ROOT / Path(file)).read_text(encoding="utf-8")
        assert re.search(rf"^(async )?(def|class) {name}\b|^{name}\b.*=", text, re.MULTILINE), f"{name} in {file}"


def test_the_pythons_that_it_names_have_a_lock() -> None:
    (line,) = re.findall(r"^# Python: (.*)$", (ROOT / "locks" / "cpu.txt").read_text(encoding="utf-8"), re.MULTILINE)
    versions = sorted(tuple(map(int, version.split("."))) for version in line.split())
    first, last = (".".join(map(str, version)) for version in (versions[0], versions[-1]))
    named = f"Python {first} to {last}"
    assert named in README
    assert named in (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
