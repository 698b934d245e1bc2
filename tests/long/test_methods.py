"""The study of methods: what it counts as done, whose a setting is, and one real seed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from alignment.dataset.judgement import Message
from alignment.evaluation.tastes import TASTES
from alignment.methods.constitution.train import choice_prompt
from alignment.methods.online.openai_sampler import AddressSampler
from alignment.methods.registry import stage_settings
from alignment.stage.sampler import Sampling
from tests.long import methods
from tests.long.adviser import adviser


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


def test_the_adviser_chooses_by_its_taste_in_either_order() -> None:
    taste = TASTES["warm"]
    warm, cold = "What a lovely question! It is Paris. I hope that helps!", "Paris."
    principle, prompt = "Be kind.", (Message("user", "What is the capital of France?"),)
    with adviser(taste) as address:
        asked = [(Message("user", choice_prompt(prompt, *two, principle)),) for two in ((warm, cold), (cold, warm))]
        said = AddressSampler(address).sample("any", asked, Sampling(0.0, 8, seed=1))
    assert [samples[0].text for samples in said] == ["A", "B"]


@pytest.mark.long
def test_ppo_pleases_the_taste_and_keeps_what_it_knew(tmp_path: Path) -> None:
    out = tmp_path / "lines.jsonl"
    assert methods.main(["--method", "ppo", "--seeds", "1", "--out", str(out)]) == 0
    line = json.loads(out.read_text())
    assert line["win_rate"] >= 0.7
    assert line["capability"]["points"] <= 3
