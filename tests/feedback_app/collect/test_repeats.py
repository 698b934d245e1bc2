"""Earlier pairs of one's own among the others: now and then, unmarked, each at most once, never a training row."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from feedback_app.collect import hidden_checks
from feedback_app.collect.answer import Answers
from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.collect.tasks import Comparing, PairReady, PairStarted
from feedback_app.exchange import export
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Task
from tests.alignment.compiled import compile_rows
from tests.fakes import FakeVllm, collected
from tests.feedback_app.builders import add_version
from tests.feedback_app.collect.conftest import PROMPTS

pytestmark = pytest.mark.slow

AFTER = 3


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair may come again after three others."""
    monkeypatch.setattr(hidden_checks, "REPEAT_AFTER", AFTER)


def repeating(answers: Answers, share: float) -> Comparing:
    """Comparing with this share of repeats."""
    answers.settings = Settings(**{**answers.settings.model_dump(), "repeat_share": share})
    return Comparing(answers, PROMPTS, random.Random(3))


async def compared(comparing: Comparing, store: Store, person: Person) -> Task:
    """One pair, judged for the left answer."""
    events = await collected(comparing.next_pair(person))
    started, ready = events[0], events[-1]
    assert isinstance(started, PairStarted)
    assert isinstance(ready, PairReady)
    found = store.tasks.ticket(ready.ticket_id)
    assert found is not None
    ticket, task = found
    messages = store.conversations.messages([*ticket.order, task.context_id or ""])
    assert [messages[id].content for id in ticket.order] == [ready.a_text, ready.b_text]
    assert messages[task.context_id or ""].content == started.prompt
    judge(store, person, ticket.id, compare_verdict(ticket.order, "a_clearly"))
    return task


async def test_a_person_sees_their_own_earlier_pairs_again_each_once_and_not_at_once(
    answers: Answers, served_store: Store, ada: Person
) -> None:
    comparing = repeating(answers, 0.5)
    tasks = [await compared(comparing, served_store, ada) for _ in range(30)]
    repeats = [task.repeat_of for task in tasks if task.repeat_of]
    assert repeats
    assert len(set(repeats)) == len(repeats)
    place = {task.id: number for number, task in enumerate(tasks)}
    assert all(number - place[task.repeat_of] > AFTER for number, task in enumerate(tasks) if task.repeat_of)
    eve = served_store.people.add("eve", "annotator", "")
    assert (await compared(comparing, served_store, eve)).repeat_of is None


async def test_a_repeat_weighs_its_person_and_changes_no_row(
    answers: Answers, served_store: Store, ada: Person, tmp_path: Path
) -> None:
    comparing = repeating(answers, 0.5)
    for _ in range(30):
        await compared(comparing, served_store, ada)
    everything = list(served_store.judgements.export())
    firsts = [each for each in everything if not each.repeat]
    assert len(firsts) < len(everything)
    with_repeats, without = compile_rows(everything), compile_rows(firsts)
    assert [row.judgements for row in with_repeats.pairs] == [row.judgements for row in without.pairs]
    assert with_repeats.counts["skipped"]["repeat"] == len(everything) - len(firsts)
    assert served_store.judgements.counts()["total"] == len(firsts)
    export(served_store, "fastchat", tmp_path / "votes")
    votes = "".join(path.read_text() for path in (tmp_path / "votes").iterdir())
    assert votes.count("\n") == len(firsts)


@pytest.mark.parametrize("case", ["off", "challenged", "scripted"])
async def test_no_repeat_where_it_is_off_or_every_vote_is_needed_or_nobody_real_judges(
    answers: Answers, served_store: Store, vllm: FakeVllm, ada: Person, case: str
) -> None:
    comparing = repeating(answers, 0.0 if case == "off" else 0.5)
    person = served_store.people.add("bot", "annotator", "", scripted=True) if case == "scripted" else ada
    if case == "challenged":
        version = add_version(served_store, "policy-0001", form="adapter", state="challenger")
        await vllm.load(version.served_name, "/x")
    assert [(await compared(comparing, served_store, person)).repeat_of for _ in range(15)] == [None] * 15


async def test_by_default_nothing_comes_again_within_the_hour_or_thirty_others(
    answers: Answers, served_store: Store, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    comparing = repeating(answers, 0.5)
    assert [(await compared(comparing, served_store, ada)).repeat_of for _ in range(15)] == [None] * 15
