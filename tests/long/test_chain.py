"""The study of chained rounds: whose answers age, what counts as done, what its lines say, and one real short chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.long import chain


def line(seed: int, first: float, last: float, upper: float, start: str = "incumbent") -> dict[str, Any]:
    """A finished chain of two rounds."""
    loss = {"n": 600, "lost": 3, "gained": 3, "points": upper - 1, "upper": upper}
    row = {"capability": loss, "kl": 2.0, "loss_added": 0.01}
    return {"start": start, "seed": seed, "rounds": [{**row, "win_rate": first}, {**row, "win_rate": last}]}


def test_the_incumbents_answers_are_fresh_and_older_ones_age_by_a_promotion_each() -> None:
    assert chain.promotions(1) == {"base": 0}
    assert chain.promotions(3) == {"base": 2, "policy-0001": 1, "policy-0002": 0}


def test_a_chain_whose_line_is_whole_is_done(tmp_path: Path) -> None:
    out = tmp_path / "chain.jsonl"
    out.write_text(json.dumps(line(3, 0.7, 0.8, 1.0)) + '\n{"start": "base", "se')
    assert chain.done(out) == {("incumbent", 3)}


def test_the_claim_is_read_from_the_lines_and_names_its_interval_from_two_seeds_on(tmp_path: Path) -> None:
    out = tmp_path / "chain.jsonl"
    lines = [line(1, 0.70, 0.80, 1.0), line(2, 0.70, 0.84, 5.0), line(1, 0.7, 0.6, 1.0, start="base")]
    out.write_text("".join(json.dumps(each) + "\n" for each in lines))
    found = chain.summary(out)
    assert found["incumbent"]["gain"] == pytest.approx(12.0)
    low, high = found["incumbent"]["gain_interval"]
    assert low == pytest.approx(12 - 25.41, abs=0.01)  # t with one degree of freedom, 12.706, times 2 of standard error
    assert high == pytest.approx(12 + 25.41, abs=0.01)
    assert (found["incumbent"]["non_inferior"], found["incumbent"]["seeds"]) == (1, 2)
    assert (found["base"]["gain"], found["base"]["gain_interval"]) == (pytest.approx(-10.0), None)


def test_a_version_that_the_gate_would_stop_says_by_which_limit() -> None:
    row = {"capability": {"points": 2.5, "upper": 3.0}, "kl_incumbent": 1.0, "length_ratio": 3.0}
    assert chain.broken(row) == ["capability", "length"]


@pytest.mark.long
def test_two_short_rounds_end_with_the_second_on_top_of_the_first(tmp_path: Path) -> None:
    out = tmp_path / "chain.jsonl"
    assert chain.main(["--seeds", "1", "--rounds", "2", "--labels", "60", "--out", str(out)]) == 0
    first, second = json.loads(out.read_text())["rounds"]
    assert (first["started_from"], second["started_from"]) == ("model", "adapter")
    assert first["kl"] == first["kl_incumbent"]
    assert second["kl"] != second["kl_incumbent"]
    assert second["win_rate"] > 0.6
