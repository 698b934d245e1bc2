"""One live judgement per ticket; undo and change are new rows; a watermark skips nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from feedback_app.domain.verdicts import WITHDRAWN
from feedback_app.errors import Conflict, NotFound
from feedback_app.store.database import Store
from feedback_app.store.judgements import outcome_for
from feedback_app.store.tables import JudgementRow, Person
from tests.fakes import Clock
from tests.feedback_app.builders import add_version, show

LEFT = {"ranks": {"a": 1, "b": 2}}
RIGHT = {"ranks": {"a": 2, "b": 1}}


def rows_of(store: Store, ticket_id: str) -> list[JudgementRow]:
    with store.database.read() as session:
        statement = select(JudgementRow).where(JudgementRow.ticket_id == ticket_id).order_by(col(JudgementRow.serial))
        return list(session.exec(statement))


def test_the_same_verdict_twice_is_the_same_judgement(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = show(store, ada)
    first = store.judgements.record(ticket.id, ada.id, LEFT)
    again = store.judgements.record(ticket.id, ada.id, {"ranks": {"b": 2, "a": 1}})
    assert again.id == first.id
    assert len(rows_of(store, ticket.id)) == 1


def test_a_different_verdict_must_name_the_live_one(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = show(store, ada)
    first = store.judgements.record(ticket.id, ada.id, LEFT)
    with pytest.raises(Conflict, match=first.id):
        store.judgements.record(ticket.id, ada.id, RIGHT)
    with pytest.raises(Conflict):
        store.judgements.record(ticket.id, ada.id, RIGHT, supersedes="something else")
    second = store.judgements.record(ticket.id, ada.id, RIGHT, supersedes=first.id)
    assert [row.live for row in rows_of(store, ticket.id)] == [False, True]
    with pytest.raises(Conflict):
        store.judgements.record(ticket.id, ada.id, {"ranks": {"a": 1, "b": 1}}, supersedes=first.id)
    assert store.judgements.live(ticket.id) == second


def test_undo_leaves_no_live_judgement_and_twice_is_the_same_undo(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = show(store, ada)
    first = store.judgements.record(ticket.id, ada.id, LEFT)
    undone = store.judgements.record(ticket.id, ada.id, WITHDRAWN, supersedes=first.id)
    assert store.judgements.record(ticket.id, ada.id, WITHDRAWN, supersedes=first.id) == undone
    assert store.judgements.live(ticket.id) is None
    assert list(store.judgements.export()) == []
    anew = store.judgements.record(ticket.id, ada.id, LEFT)
    assert store.judgements.live(ticket.id) == anew
    assert anew.id != first.id
    with pytest.raises(Conflict):
        store.judgements.record(ticket.id, ada.id, WITHDRAWN, supersedes=first.id)


def test_there_is_nothing_to_undo_on_a_fresh_ticket(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = show(store, ada)
    with pytest.raises(Conflict):
        store.judgements.record(ticket.id, ada.id, WITHDRAWN)
    with pytest.raises(Conflict):
        store.judgements.record(ticket.id, ada.id, LEFT, supersedes="never existed")


def test_another_persons_ticket_is_not_found(store: Store, person: Callable[..., Person]) -> None:
    ada, ben = person("ada"), person("ben")
    ticket = show(store, ada)
    with pytest.raises(NotFound):
        store.judgements.record(ticket.id, ben.id, LEFT)
    with pytest.raises(NotFound):
        store.judgements.record("no such ticket", ada.id, LEFT)
    assert store.judgements.watermark() == 0


def test_the_database_itself_refuses_a_second_live_judgement(store: Store, person: Callable[..., Person]) -> None:
    ada = person()
    ticket = show(store, ada)
    row = store.judgements.record(ticket.id, ada.id, LEFT)
    values = row.model_dump() | {"id": "forged", "serial": 99, "supersedes": None}
    with pytest.raises(Conflict), store.database.write() as session:
        session.add(JudgementRow(**values))
    assert len(rows_of(store, ticket.id)) == 1


class Ticket:
    """What the laws are checked against: a plain model of one ticket."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.live: tuple[str, dict[str, Any]] | None = None


verdicts = st.sampled_from([LEFT, RIGHT, {"ranks": {"a": 1, "b": 1}}, {"cannot_judge": True}])
steps = st.tuples(st.integers(0, 2), st.one_of(st.just(WITHDRAWN), verdicts), st.booleans())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, max_size=25))
def test_any_sequence_keeps_the_laws(store: Store, sequence: list[tuple[int, dict[str, Any], bool]]) -> None:
    """At most one live judgement per ticket, a watermark that only grows, an export that is the live set."""
    person = store.people.by_name("ada") or store.people.add("ada", "annotator", "")
    tickets = [Ticket(show(store, person).id) for _ in range(3)]
    before = {judgement.id for judgement in store.judgements.export()}
    watermark = store.judgements.watermark()
    for index, verdict, names_the_live_one in sequence:
        ticket = tickets[index]
        supersedes = ticket.live[0] if ticket.live and names_the_live_one else None
        same = ticket.live is not None and ticket.live[1] == verdict
        allowed = same or (supersedes is not None) == (ticket.live is not None)
        if verdict == WITHDRAWN and ticket.live is None:
            allowed = False
        if allowed:
            row = store.judgements.record(ticket.id, person.id, verdict, supersedes)
            if same:
                assert ticket.live is not None
                assert row.id == ticket.live[0]
            else:
                assert row.serial == watermark + 1
                ticket.live = None if verdict == WITHDRAWN else (row.id, dict(verdict))
        else:
            with pytest.raises(Conflict):
                store.judgements.record(ticket.id, person.id, verdict, supersedes)
        assert store.judgements.watermark() >= watermark
        watermark = store.judgements.watermark()
    for ticket in tickets:
        live = [row for row in rows_of(store, ticket.id) if row.live]
        assert [row.id for row in live] == ([ticket.live[0]] if ticket.live else [])
    exported = [judgement.id for judgement in store.judgements.export()]
    assert set(exported) - before == {ticket.live[0] for ticket in tickets if ticket.live}
    assert len(exported) == len(set(exported))


def test_counts_keep_scripted_people_apart(store: Store, person: Callable[..., Person]) -> None:
    ada, bot = person("ada"), person("warm-bot", scripted=True)
    like = show(store, ada, "Paris.")
    store.judgements.record(like.id, ada.id, {"marks": {like.answer_ids[0]: "good"}})
    since = store.judgements.watermark()
    for who, versions in ((ada, ["base", "policy-0001"]), (bot, ["base", "base"]), (bot, ["policy-0001", "base"])):
        ticket = show(store, who, "one", "two", versions=versions)
        store.judgements.record(ticket.id, who.id, LEFT)
    counts = store.judgements.counts()
    assert counts["total"] == 4
    assert counts["scripted"] == 2
    assert counts["by_kind"] == {"compare": 3, "like": 1}
    assert counts["scripted_by_kind"] == {"compare": 2}
    assert counts["by_version"] == {"base": 4, "policy-0001": 2}
    assert counts["scripted_by_version"] == {"base": 2, "policy-0001": 1}
    assert {row["name"]: (row["scripted"], row["count"]) for row in counts["by_person"]} == {
        "ada": (False, 2),
        "warm-bot": (True, 2),
    }
    assert store.judgements.counts(since)["by_kind"] == {"compare": 3}
    assert store.judgements.counts(store.judgements.watermark())["total"] == 0


def test_seconds_taken_are_those_of_one_kind_since_a_time(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada = person()
    for seconds in (9.0, 2.0, 4.0):
        ticket = show(store, ada)
        store.judgements.record(ticket.id, ada.id, LEFT, seconds=seconds)
        clock.pass_s(10)
    assert sorted(store.judgements.seconds_taken(ada.id, "compare", clock.now - 25)) == [2.0, 4.0]
    assert store.judgements.seconds_taken(ada.id, "rank", 0) == []


def test_votes_say_how_the_challenger_fared(store: Store, person: Callable[..., Person]) -> None:
    ada, bot = person("ada"), person("bot", scripted=True)
    add_version(store, "policy-0002", form="adapter", state="challenger")

    def vote(who: Person, **verdict: Any) -> str:
        ticket = show(store, who, "old", "new", versions=["base", "policy-0002"], challenger="policy-0002")
        old, new = ticket.answer_ids
        named = {
            key: {old: value[0], new: value[1]} if isinstance(value, tuple) else value for key, value in verdict.items()
        }
        return store.judgements.record(ticket.id, who.id, named).id

    vote(ada, ranks=(2, 1))
    vote(bot, ranks=(1, 2))
    vote(ada, ranks=(1, 1))
    vote(ada, marks=("bad", "bad"))
    vote(ada, cannot_judge=True)
    withdrawn = vote(ada, ranks=(2, 1))
    row = store.judgements.get(withdrawn)
    assert row is not None
    store.judgements.record(row.ticket_id, ada.id, WITHDRAWN, supersedes=withdrawn)
    expected = [("win", False), ("loss", True), ("tie", False), ("tie", False), ("none", False)]
    assert store.judgements.votes("policy-0002") == expected
    assert store.judgements.votes("policy-0001") == []


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        ({"ranks": {"x": 1, "y": 2}}, "win"),
        ({"ranks": {"x": 2, "y": 1}}, "loss"),
        ({"ranks": {"x": 1, "y": 1}}, "tie"),
        ({"marks": {"x": "bad", "y": "bad"}, "ranks": {}}, "tie"),
        ({"cannot_judge": True, "ranks": {}}, "none"),
    ],
)
def test_an_outcome_follows_from_the_ranks(verdict: dict[str, Any], outcome: str) -> None:
    assert outcome_for("new", verdict, {"x": "new", "y": "old"}) == outcome


def test_seconds_taken_are_of_one_person_one_kind_and_recent_judgements_that_stand(
    store: Store, person: Callable[..., Person], clock: Clock
) -> None:
    ada, eve = person("ada"), person("eve")
    verdicts = []
    for seconds in (5.0, 7.0, 9.0):
        shown = show(store, ada)
        verdicts.append(store.judgements.record(shown.id, ada.id, {"cannot_judge": True}, seconds=seconds))
        clock.pass_s(100)
    store.judgements.record(show(store, eve).id, eve.id, {"cannot_judge": True}, seconds=1.0)
    store.judgements.record(verdicts[2].ticket_id, ada.id, {"kind": "withdrawn"}, supersedes=verdicts[2].id)
    assert store.judgements.seconds_taken(ada.id, "compare", verdicts[1].at) == [7.0]
    assert sorted(store.judgements.seconds_taken(ada.id, "compare", 0)) == [5.0, 7.0]
    assert store.judgements.seconds_taken(ada.id, "rank", 0) == []
