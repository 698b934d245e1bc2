"""How a suite is measured, on the embedded model, and that the suite's page says what was measured."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.long import suite_accuracy
from tests.long.lines import read_lines
from tests.long.suite_accuracy import FORMS, LEAD, LINES, SUITE, Item, Scorer

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "data" / "model"
SMOLLM2 = "16d12dc7ea19"  # the weights that the page speaks of


def plain_logprobs(question: str, continuation: str) -> list[float]:
    """The same in one reading, without a cache."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    turn = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) + LEAD
    before, whole = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt, f"{prompt} {continuation}")
    )
    with torch.inference_mode():
        logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return [float(logits[at - 1, whole[at]]) for at in range(len(before), len(whole))]


def test_padded_rows_after_a_shared_opening_score_as_one_plain_reading_does() -> None:
    asked = [
        ("What is the capital of France?", ["Paris", "a much longer answer, which is wrong", "Rome"]),
        ("Hi, could you tell me what colour the sky has on a day without any clouds?", ["blue", "green and red"]),
    ]
    found = Scorer(TINY).logprobs(asked)
    assert len(found[0][1]) > len(found[0][0])
    for (question, texts), scored in zip(asked, found, strict=True):
        for text, tokens in zip(texts, scored, strict=True):
            assert tokens == pytest.approx(plain_logprobs(question, text), abs=1e-4)


def test_a_tie_is_not_an_answer() -> None:
    assert suite_accuracy.wins([-1.0, -2.0], 0)
    assert not suite_accuracy.wins([-1.0, -1.0], 0)
    assert not suite_accuracy.wins([-1.0, -2.0], 1)


def test_letters_stand_before_the_choices_in_their_order() -> None:
    item = Item("a-001", "a", "Which?", ("one", "two"), 0)
    assert item.listed == "Which?\nA. one\nB. two\nAnswer with the letter."


def test_a_category_is_measured_once_and_again_when_its_wording_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, out = tmp_path / "suite.jsonl", tmp_path / "lines.jsonl"
    words = ["--model", str(TINY), "--suite", str(suite), "--out", str(out)]
    line = {"id": "a-001", "category": "a", "question": "How much is 1 + 1?", "choices": ["2", "frog"], "answer": 0}
    for question, lines in (("How much is 1 + 1?", 2), ("How much is 1 + 1?", 2), ("1 + 1 is ...", 4)):
        suite.write_text(json.dumps({**line, "question": question}) + "\n")
        assert suite_accuracy.main(words) == 0
        assert len(read_lines(out)) == lines
        assert "| all | 1 | 50 |" in capsys.readouterr().out
    suite.write_text(json.dumps({**line, "question": "One and one?"}) + "\n")
    assert suite_accuracy.main([*words, "--seconds", "-1"]) == 1
    assert len(read_lines(out)) == 4


def test_the_suites_page_says_what_was_measured_and_every_category_is_above_chance() -> None:
    current = {suite_accuracy.identity(items): name for name, items in suite_accuracy.read_suite(SUITE).items()}
    lines = [line for line in read_lines(LINES) if line["hash"] in current and line["model"] == SMOLLM2]
    there = {(line["category"], line["form"]) for line in lines}
    assert there == set(product(current.values(), FORMS)), "run: python -m tests.long.suite_accuracy"
    page = (ROOT / "data" / "suites" / "README.md").read_text(encoding="utf-8")
    assert "\n".join(suite_accuracy.summary(lines)) in page
    for line in (line for line in lines if line["form"] == "alone"):
        assert suite_accuracy.above_chance(line, "first"), line["category"]
        assert suite_accuracy.above_chance(line, "sum"), line["category"]


def test_above_chance_is_what_the_lower_bound_says() -> None:
    half = {"items": 80, "chance": 20.0}
    assert not suite_accuracy.above_chance({**half, "sum": 27}, "sum")  # 34 %, and its bound 24 %
    assert suite_accuracy.above_chance({**half, "sum": 30}, "sum")  # 38 %, and its bound 28 %
