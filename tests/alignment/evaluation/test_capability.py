"""Question files are read strictly, and a check holds only when each of its conditions holds."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from alignment.evaluation.capability import (
    Question,
    QuestionFileError,
    check,
    load_questions,
    score,
    sentences,
)

QUESTIONS = Path(__file__).resolve().parents[3] / "data" / "questions"


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def row(**changes: object) -> dict[str, object]:
    return {"id": "a1", "category": "sums", "source": "unseen", "prompt": "1+1", "check": {"any": ["2"]}, **changes}


def test_any_all_and_none_are_searched_without_regard_to_case() -> None:
    assert check("It is PARIS.", {"any": [r"\bparis\b", "rome"]})
    assert not check("It is Rome.", {"any": [r"\bparis\b"]})
    assert check("Could you please wait?", {"all": ["please", "could"]})
    assert not check("Please wait.", {"all": ["please", "could"]})
    assert not check("It is Paris, not Rome.", {"any": ["paris"], "none": ["rome"]})


def test_items_are_whole_words_and_are_counted_once() -> None:
    wanted = {"items": ["red", "blue", "green"], "at_least": 2}
    assert check("Red and blue.", wanted)
    assert not check("Red, red and red.", wanted)
    assert not check("Redder and blueish.", wanted)


def test_sentences_need_words_and_an_end() -> None:
    assert sentences("One. Two! Three?") == 3
    assert sentences("One... two") == 1
    assert sentences("") == 0
    assert not check("A cat. It slept.", {"min_sentences": 3})


@pytest.mark.parametrize(
    "broken",
    [row(check={}), row(check={"same": ["2"]}), row(check={"any": ["("]}), row(check={"items": ["a"]}), {"id": "a1"}],
)
def test_a_broken_question_names_its_line(tmp_path: Path, broken: dict[str, object]) -> None:
    with pytest.raises(QuestionFileError, match=r"q\.jsonl, line 2"):
        load_questions(write(tmp_path / "q.jsonl", row(id="a0"), broken))


def test_an_id_used_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(QuestionFileError, match="twice"):
        load_questions(write(tmp_path / "q.jsonl", row(), row()))


def test_a_score_counts_by_category() -> None:
    questions = [
        Question("a", "sums", "unseen", "1+1", {"any": ["2"]}),
        Question("b", "sums", "unseen", "1+2", {"any": ["3"]}),
        Question("c", "capitals", "unseen", "France?", {"any": ["paris"]}),
    ]
    result = score(questions, ["2", "4", "Paris"])
    assert (result.right, result.total, result.by_category) == (2, 3, {"sums": (1, 2), "capitals": (1, 1)})
    with pytest.raises(ValueError, match="3 questions but 1"):
        score(questions, ["2"])


def test_the_shipped_questions_are_the_frozen_ones() -> None:
    for line in (QUESTIONS / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((QUESTIONS / name).read_bytes()).hexdigest() == digest, name


def test_the_shipped_questions_cover_every_category() -> None:
    unseen, blind = (load_questions(QUESTIONS / name) for name in ("unseen.jsonl", "blind.jsonl"))
    assert (len(unseen), len(blind)) == (400, 200)
    for questions in (unseen, blind):
        counts = Counter(question.category for question in questions)
        assert len(counts) == 12
        assert min(counts.values()) >= 16
