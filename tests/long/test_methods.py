"""The study of methods: what it counts as done, whose a setting is, and one real seed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from alignment.stages import stage_settings
from tests.long import methods


def test_a_seed_whose_line_is_whole_is_done(tmp_path: Path) -> None:
    out = tmp_path / "lines.jsonl"
    assert methods.done(out) == set()
    out.write_text('{"method": "ppo", "seed": 3, "win_rate": 0.8}\n{"method": "ppo", "se')
    assert methods.done(out) == {("ppo", 3)}


def test_a_setting_belongs_to_the_stage_it_names_or_to_the_last() -> None:
    assert stage_settings({"reward.epochs": "2"}, "ppo", "reward") == {"epochs": "2"}
    assert stage_settings({"reward.epochs": "2"}, "ppo", "ppo") == {}
    assert stage_settings({"beta": "0.1"}, "ppo", "ppo") == {"beta": "0.1"}
    assert stage_settings({"beta": "0.1"}, "ppo", "reward") == {}
    assert methods.setting("beta=0.2") == ("beta", "0.2")
    with pytest.raises(argparse.ArgumentTypeError, match="beta is not KEY=VALUE"):
        methods.setting("beta")


@pytest.mark.long
def test_ppo_pleases_the_taste_and_keeps_what_it_knew(tmp_path: Path) -> None:
    out = tmp_path / "lines.jsonl"
    assert methods.main(["--method", "ppo", "--seeds", "1", "--out", str(out)]) == 0
    line = json.loads(out.read_text())
    assert line["win_rate"] >= 0.7
    assert line["capability"]["points"] <= 3
