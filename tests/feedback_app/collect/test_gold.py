"""Gold tasks among the others: now and then, unmarked, each person each of them at most once, never a training row."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from alignment.errors import ReadingProblem
from feedback_app.collect.answer import Answers
from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.collect.tasks import Comparing, PairReady, PairStarted
from feedback_app.exchange import add_gold, export
from feedback_app.exchange.importing import CONTRADICTS
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.alignment.compiled import compile_rows
from tests.fakes import FakeVllm, collected
from tests.feedback_app.builders import add_version
from tests.feedback_app.collect.conftest import PROMPTS

pytestmark = pytest.mark.slow

GOLD = 4


@pytest.fixture
def gold(served_store: Store, tmp_path: Path) -> Path:
    """A file of four known answers, brought."""
    path = tmp_path / "gold.jsonl"
    records = [{"prompt": f"{n} + 1?", "chosen": f"{n + 1}.", "rejected": f"{n + 7}."} for n in range(GOLD)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert add_gold(served_store, path)["added"] == GOLD
    return path


def mixing(answers: Answers, share: float) -> Comparing:
    """Comparing with this share of gold."""
    answers.settings = Settings(**{**answers.settings.model_dump(), "gold_share": share})
    return Comparing(answers, PROMPTS, random.Random(3))


async def compared(comparing: Comparing, store: Store, person: Person) -> str | None:
    """One pair, judged for the longer answer; the prompt where it was gold."""
    events = await collected(comparing.next_pair(person))
    started, ready = events[0], events[-1]
    assert isinstance(started, PairStarted)
    assert isinstance(ready, PairReady)
    found = store.tasks.ticket(ready.ticket_id)
    assert found is not None
    ticket, task = found
    messages = store.conversations.messages(ticket.order)
    assert [messages[id].content for id in ticket.order] == [ready.a_text, ready.b_text]
    judge(store, person, ticket.id, compare_verdict(ticket.order, "a_clearly"))
    return started.prompt if task.gold else None


@pytest.mark.slow
async def test_everybody_is_shown_every_gold_task_once(
    answers: Answers, served_store: Store, ada: Person, gold: Path
) -> None:
    comparing = mixing(answers, 0.5)
    eve = served_store.people.add("eve", "annotator", "")
    for person in (ada, eve):
        shown = [await compared(comparing, served_store, person) for _ in range(30)]
        assert sorted(prompt for prompt in shown if prompt) == [f"{n} + 1?" for n in range(GOLD)]
        assert shown.count(None) == 30 - GOLD


@pytest.mark.slow
async def test_verdicts_on_gold_say_right_or_wrong_and_never_train(
    answers: Answers, served_store: Store, ada: Person, gold: Path, tmp_path: Path
) -> None:
    comparing = mixing(answers, 0.5)
    for _ in range(30):
        await compared(comparing, served_store, ada)
    judged = [each for each in served_store.judgements.export() if each.gold is not None]
    right = {each.candidates[[c.rank for c in each.candidates].index(1)].text for each in judged if each.gold}
    wrong = {each.candidates[[c.rank for c in each.candidates].index(1)].text for each in judged if not each.gold}
    assert len(judged) == GOLD
    assert right | wrong <= {f"{n + 1}." for n in range(GOLD)} | {f"{n + 7}." for n in range(GOLD)}
    assert right <= {f"{n + 1}." for n in range(GOLD)}
    assert right
    assert wrong
    assert {each.candidates[0].version for each in judged} == {""}
    compiled = compile_rows(served_store.judgements.export())
    used = {id for row in compiled.pairs for id in row.judgements}
    assert used
    assert not used & {each.id for each in judged}
    for format in ("ranked", "fastchat", "trl"):
        export(served_store, format, tmp_path / format)
        written = "".join(path.read_text() for path in (tmp_path / format).iterdir())
        assert written
        assert " + 1?" not in written


@pytest.mark.parametrize("case", ["off", "challenged", "scripted"])
async def test_no_gold_where_it_is_off_or_every_vote_is_needed_or_nobody_real_judges(
    answers: Answers, served_store: Store, vllm: FakeVllm, ada: Person, gold: Path, case: str
) -> None:
    comparing = mixing(answers, 0.0 if case == "off" else 0.5)
    person = served_store.people.add("bot", "annotator", "", scripted=True) if case == "scripted" else ada
    if case == "challenged":
        version = add_version(served_store, "policy-0001", form="adapter", state="challenger")
        await vllm.load(version.served_name, "/x")
    assert [await compared(comparing, served_store, person) for _ in range(20)] == [None] * 20


async def test_gold_is_made_ahead_like_any_other_pair(
    answers: Answers, served_store: Store, ada: Person, gold: Path
) -> None:
    comparing = mixing(answers, 0.5)
    prepared = []
    for _ in range(20):
        await comparing.prepare(ada)
        await comparing.idle()
        prepared.append(await compared(comparing, served_store, ada))
    assert len([prompt for prompt in prepared if prompt]) == GOLD


def test_a_file_is_brought_once_and_what_is_no_known_answer_is_counted(served_store: Store, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}, {"role": "user", "content": "C"}]
    records = [
        {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Green."},
        {"prompt": "Sky?", "chosen": "Green.", "rejected": "Blue."},  # the same two answers: what was known first stays
        {"prompt": "Sky?", "chosen": "Blue.", "rejected": "Blue. "},
        {"prompt": turns, "chosen": [{"role": "assistant", "content": "D"}],
         "rejected": [{"role": "assistant", "content": "E"}]},
    ]  # fmt: skip
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + "{\n")
    found = add_gold(served_store, path)
    assert (found["format"], found["read"], found["added"]) == ("trl", 5, 1)
    assert found["skipped"][CONTRADICTS] == 1
    assert found["skipped"]["both answers are the same"] == 1
    assert found["skipped"]["more than one message before the answers: Compare shows one"] == 1
    assert sum(found["skipped"].values()) == 4
    assert add_gold(served_store, path)["added"] == 0
    ranked = tmp_path / "ranked.jsonl"
    answers = [{"text": "One.", "rank": 1}, {"text": "Two.", "rank": 1}]
    ranked.write_text(json.dumps({"prompt": "Which?", "responses": answers}) + "\n")
    assert add_gold(served_store, ranked)["skipped"] == {"not two answers of which one is better": 1}
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(ReadingProblem, match="is empty"):
        add_gold(served_store, tmp_path / "empty.jsonl")
