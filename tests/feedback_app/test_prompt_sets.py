"""Which prompts a home uses: the shipped ones that fit its model, or its own, which never change once kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from feedback_app.errors import Conflict, NotFound, Unavailable, UsageError
from feedback_app.prompt_sets import add_prompts, all_sets, choose, kept_sets, prompt_set
from feedback_app.settings import Settings, shipped_data

TEXT = "".join(f"Question {number}?\n" for number in range(40))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "My questions.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_the_embedded_model_keeps_its_own_prompts_as_they_are(home: Path) -> None:
    used = prompt_set(Settings(home=home, model="tiny"))
    assert used.name == "tiny"
    assert (used.train, used.held_out) == tuple(
        shipped_data() / "prompts" / name for name in ("compare.jsonl", "eval.jsonl")
    )
    lines = used.held_out.read_text(encoding="utf-8").splitlines()
    assert len(used.evaluation()) == len(lines)
    assert used.evaluation()[0].asked in lines[0]


@pytest.mark.parametrize("model", ["smollm2", "/models/mine", "someone/chat"])
def test_every_other_model_has_the_general_ones(home: Path, model: str) -> None:
    used = prompt_set(Settings(home=home, model=model))
    assert used.record() == {"set": "starter", "hash": used.record()["hash"], "train": 490, "held_out": 82}
    assert {prompt.messages for prompt in used.training()}.isdisjoint(prompt.messages for prompt in used.evaluation())
    assert len({prompt.category for prompt in used.evaluation()[:10]}) == 10  # an evaluation may ask few of them


def test_a_file_is_kept_split_and_used(home: Path, mine: Path) -> None:
    settings = Settings(home=home, model="tiny")
    added = add_prompts(home, mine)
    assert (added.set.name, added.new, [*added.bad]) == ("my-questions", True, [])
    assert prompt_set(settings).name == "tiny"
    choose(settings, "my-questions")
    used = prompt_set(settings)
    mine.unlink()  # the home has a copy
    texts = {prompt.asked for prompt in (*used.training(), *used.evaluation())}
    assert texts == {*TEXT.splitlines()}
    assert 0 < len(used.evaluation()) < len(used.training())
    assert [*all_sets(settings)] == ["tiny", "starter", "my-questions"]


def test_a_kept_set_never_changes(home: Path, mine: Path) -> None:
    before = add_prompts(home, mine).set.record()
    assert add_prompts(home, mine).new is False
    mine.write_text(TEXT + "One more?\n", encoding="utf-8")
    with pytest.raises(Conflict, match="--name"):
        add_prompts(home, mine)
    assert kept_sets(home)["my-questions"].record() == before
    assert add_prompts(home, mine, "newer").set.record()["hash"] != before["hash"]


def test_the_variable_decides_and_follows_its_file(home: Path, mine: Path) -> None:
    settings = Settings(home=home, model="tiny", prompts=mine)
    first = prompt_set(settings)
    assert first.name.startswith("my-questions-")
    assert prompt_set(settings) == first
    mine.write_text(TEXT + "One more?\n", encoding="utf-8")
    second = prompt_set(settings)
    assert len(second.training()) + len(second.evaluation()) == 41
    assert len(first.training()) + len(first.evaluation()) == 40  # a round that began with them still has them
    with pytest.raises(Conflict, match="ALIGNLOOP_PROMPTS"):
        choose(settings, "starter")


def test_a_folder_keeps_its_own_split_or_is_read_whole(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n[1]\n', encoding="utf-8")
    (folder / "held_out.jsonl").write_text('{"prompt": "c"}\n{"prompt": "b"}\n', encoding="utf-8")
    added = add_prompts(home, folder)
    assert [prompt.asked for prompt in added.set.training()] == ["a"]
    assert {prompt.asked for prompt in added.set.evaluation()} == {"c", "b"}
    assert [row.line for row in added.bad] == [3]
    (folder / "held_out.jsonl").rename(folder / "more.jsonl")
    whole = add_prompts(home, folder, "whole").set
    assert {prompt.asked for prompt in (*whole.training(), *whole.evaluation())} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        ("Only one?\n", "", "two at least"),
        ("\n", "", "no prompts"),
        (TEXT, "tiny", "cannot be called"),
        (TEXT, "../up", "cannot be called"),
    ],
)
def test_what_makes_no_set_is_refused_and_leaves_nothing(
    home: Path, mine: Path, content: str, name: str, sentence: str
) -> None:
    mine.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=sentence):
        add_prompts(home, mine, name)
    assert kept_sets(home) == {}
    with pytest.raises(UsageError, match="cannot be read"):
        add_prompts(home, mine.with_name("missing.txt"))


def test_a_set_that_is_gone_is_named(home: Path, mine: Path) -> None:
    settings = Settings(home=home, model="tiny")
    with pytest.raises(NotFound, match="starter"):
        choose(settings, "mine")
    kept = add_prompts(home, mine).set
    choose(settings, kept.name)
    kept.held_out.unlink()
    with pytest.raises(NotFound, match="my-questions"):
        prompt_set(settings)


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path, mine: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file", encoding="utf-8")
    with pytest.raises(Unavailable, match="cannot be written"):
        add_prompts(blocked, mine)
