"""The documentation is true: generated parts are fresh, links lead somewhere, what it names exists."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from docs import code_paths, generate, site
from docs.commands import commands
from tests.pages import ROOT, dead_links, named_files

PAGES = [pytest.param(page, id=str(page.relative_to(generate.DOCS))) for page in generate.pages()]
SETTINGS = (generate.DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
COMMANDS = (generate.DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
CONFIG = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_generated_parts_say_what_the_code_says() -> None:
    assert [page.name for page, _ in generate.stale()] == [], "run: python -m docs.generate --write"


def test_every_part_stands_on_a_page_and_every_method_has_one() -> None:
    assert generate.unplaced() == []


def test_a_method_without_a_page_is_named_with_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generate, "PARTS", {**generate.PARTS, "method new": lambda: ""})
    sentence = generate.unplaced()[-1]
    assert "docs/methods/new.md" in sentence
    assert "<!-- generated method new -->" in sentence


@pytest.mark.parametrize("name", list(generate.CARDS))
def test_a_methods_page_says_more_than_its_table(name: str) -> None:
    text = (generate.DOCS / "methods" / f"{name}.md").read_text(encoding="utf-8")
    prose = re.sub(r"<!-- generated .*?<!-- end -->", "", text, flags=re.DOTALL)
    assert len(prose.split()) >= 40, f"docs/methods/{name}.md: say what it does, when to take it, and its source"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: Path) -> None:
    assert [name for name in named_files(page) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "data/README.md", "data/DOMAIN.md"])
def test_links_of_the_other_pages_lead_somewhere(name: str) -> None:
    assert dead_links(ROOT / name) == []


@pytest.mark.parametrize("page", PAGES)
def test_every_page_is_in_the_navigation(page: Path) -> None:
    assert f"- {page.relative_to(generate.DOCS)}\n" in CONFIG


def test_every_setting_stands_there_with_its_default() -> None:
    from feedback_app.settings import Settings

    rows = dict(re.findall(r"^\| `([A-Z_]+)` \|(.*)$", SETTINGS, re.MULTILINE))
    expected = {
        field.validation_alias if isinstance(field.validation_alias, str) else f"ALIGNLOOP_{name.upper()}": field
        for name, field in Settings.model_fields.items()
    }
    assert set(rows) == set(expected)
    for variable, field in expected.items():
        default = getattr(field.default, "value", field.default)
        text = f"{default:g}" if isinstance(default, float) else str(default)
        assert rows[variable].split("|")[0].strip() == ("" if default in (None, "") else f"`{text}`"), variable
        assert str(field.description) in rows[variable]


@pytest.mark.parametrize(("words", "command"), [pytest.param(*pair, id=pair[0]) for pair in commands()])
def test_every_command_stands_there_with_its_options_and_takes_json(words: str, command: Any) -> None:
    section = COMMANDS.split(f"\n### {words}\n")[1].split("\n### ")[0]
    options = {name for parameter in command.params for name in parameter.opts if name.startswith("--")}
    assert "--json" in options
    assert [name for name in options - {"--json", "--help"} if f"{name}" not in section] == []
    assert (command.help or "").splitlines()[0] in section


def test_every_make_target_stands_there() -> None:
    targets = re.findall(r"^([a-z-]+):.*  ## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert targets
    assert [target for target in targets if f"| `make {target}` |" not in COMMANDS] == []


@pytest.mark.parametrize("walk", code_paths.NAMES)
def test_every_step_of_a_walk_is_a_function_of_its_file(walk: str) -> None:
    for step in code_paths.WALKS[walk]:
        assert code_paths.line_of(step.file, step.name) > 0
        assert step.value


def test_a_function_that_is_gone_is_named() -> None:
    gone = replace(code_paths.DISLIKE[0], name="gone")
    with pytest.raises(code_paths.NoSuchName, match=r"gone in feedback_app/ui/chat_ratings\.py"):
        code_paths.place(gone)


def test_changes_of_shape_are_counted() -> None:
    one, two = (replace(code_paths.DISLIKE[0], value=value) for value in ("Row", "tensor"))
    assert code_paths.changes([one, one, two, two, one]) == 2


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        (lambda text: text, False),
        (lambda text: text.replace(".py:38", ".py:60"), False),
        (lambda text: text.replace(".py:38", ".py:90"), True),
        (lambda text: text.replace("labels", "marks"), True),
    ],
)
def test_a_line_may_drift_a_little_and_words_may_not(change: Callable[[str], str], stale: bool) -> None:
    text = "`alignment/dataset/compile/labels.py:38`"
    assert generate.differs(text, change(text)) is stale


def test_what_stands_around_a_generated_part_stays() -> None:
    made = generate.filled("before\n<!-- generated targets -->\nold\n<!-- end -->\nafter\n")
    assert made.startswith("before\n<!-- generated targets -->\n\n| target |")
    assert made.endswith("\n\n<!-- end -->\nafter\n")
    assert "old" not in made


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(generate.MissingPart, match="settings"):
        generate.filled("<!-- generated nothing -->\n<!-- end -->\n")


def test_a_warning_ends_the_build() -> None:
    """With `--quiet`, MkDocs counts no warnings, and `--strict` finds none."""
    (line,) = re.findall(r"mkdocs build.*", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert line == "mkdocs build --strict"
    assert {"nav", "links"} <= set(re.findall(r"^  (\w+): \{.*: warn", CONFIG, re.MULTILINE))


def test_the_site_is_told_to_load_nothing_from_elsewhere() -> None:
    assert re.search(r"^  font: false\b", CONFIG, re.MULTILINE)
    assert "hooks: [docs/site.py]" in CONFIG  # which refuses a page that would, when the site is built


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script src="https://host/a.js"></script>', True),
        ('<link href="//host/a.css" rel="stylesheet">', True),
        ("<style>@import 'https://host/a.css'; p { background: url(https://host/b.png) }</style>", True),
        ('<img alt="" src=https://host/a.png>', True),
        ('<a href="https://arxiv.org/abs/2305.18290">a paper</a>', False),
        ('<link rel="canonical" href="https://host/"><img src="pictures/a.png"><script src="a.js"></script>', False),
    ],
)
def test_what_a_page_would_load_from_another_host_is_found(html: str, loads: bool) -> None:
    assert bool(site.loaded_from_elsewhere(html)) is loads
