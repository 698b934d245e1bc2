"""The README is true: every command, option, setting and make target stands in it, and its links lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, as `alignloop round start`."""
    import typer.main

    from feedback_app.commands.app import app

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield words, command
            return
        for name, sub in below.items():
            yield from walk(sub, f"{words} {name}")

    yield from walk(typer.main.get_command(app), "alignloop")


@pytest.mark.parametrize(("words", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands()])
def test_every_command_and_option_stands_in_the_readme(words: str, command: Any) -> None:
    rows = [line for line in README.splitlines() if line.startswith("|") and f"`{words}" in line]
    assert rows, f"{words} is not in the README's table of commands"
    for parameter in command.params:
        names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")]
        if not names or "--json" in names or "--help" in names:
            continue
        assert any(name in rows[0] for name in names), f"{words} {names[0]} is not in the README"


@pytest.mark.parametrize("command", [pytest.param(command, id=words) for words, command in commands()])
def test_every_command_takes_json(command: Any) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)


def test_every_setting_stands_in_the_readme_with_its_default() -> None:
    from feedback_app.settings import Settings

    rows = {
        match[1]: line for line in README.splitlines() if (match := re.match(r"\| `([A-Z_]+)` \|", line)) is not None
    }
    expected = {}
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        expected[alias if isinstance(alias, str) else f"ALIGNLOOP_{name.upper()}"] = field
    assert set(rows) == set(expected)
    for variable, field in expected.items():
        default = getattr(field.default, "value", field.default)
        text = f"{default:g}" if isinstance(default, float) else str(default)
        shown = rows[variable].split("|")[2].strip()
        assert shown == ("" if default in (None, "") else f"`{text}`"), variable
        assert str(field.description) in rows[variable]


def test_every_make_target_stands_in_the_readme() -> None:
    targets = re.findall(r"^([a-z-]+):.*  ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    for target in targets:
        assert f"`{target}`" in README or f"make {target}" in README, target


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_walk_says_how_many_votes_it_takes() -> None:
    walk = README.split("## A walk")[1].split("\n## ")[0]
    votes = [int(number) for number in re.findall(r"--judgements (\d+)", walk)]
    assert sum(votes) == int(re.search(r"\*\*(\d+) votes\*\*", walk)[1])  # type: ignore[index]
    from feedback_app.settings import Settings

    assert votes[-1] >= Settings.model_fields["votes"].default
