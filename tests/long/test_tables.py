"""The tables and plots of docs/results.md say what the studies' lines say."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.long import tables


def test_every_table_of_the_results_is_made_from_its_studys_lines() -> None:
    text = tables.PAGE.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run: python -m tests.long.tables --write"
    assert {found for found in tables.TABLES if f"<!-- table {found} -->" in text} == set(tables.TABLES)


def test_every_plot_is_drawn_from_its_studys_lines_and_stands_on_the_page() -> None:
    page = tables.PAGE.read_text(encoding="utf-8")
    for path, drawn in tables.plots().items():
        assert path.read_text(encoding="utf-8") == drawn, "run: python -m tests.long.tables --write"
        assert f"](plots/{path.name})" in page
        ElementTree.fromstring(drawn)  # what a browser refuses is no picture


def test_a_share_over_seeds_has_an_interval_and_a_single_one_has_none() -> None:
    assert tables.percent([0.8]) == "80.0 %"
    assert tables.percent([0.79, 0.8, 0.81]) == "80.0 % (±2.5)"


def test_what_stands_between_marks_is_replaced_and_nothing_else() -> None:
    made = tables.filled("before\n<!-- table methods -->\nold\n<!-- end -->\nafter\n")
    assert made.startswith("before\n<!-- table methods -->\n| method |")
    assert made.endswith("\n<!-- end -->\nafter\n")
    assert "old" not in made
