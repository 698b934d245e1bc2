"""Who is set aside stays out of what is compiled, and who should be looked at is said by name and kept with a round."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from feedback_app.exchange.exporting import export
from feedback_app.loop.report import round_report
from feedback_app.loop.snapshot_round import freeze
from feedback_app.loop.suspects import QUICK, chance, kept_flags, suspects, words
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Round, Snapshot
from tests.feedback_app.builders import show
from tests.feedback_app.loop.parts import compared, serve_base

pytestmark = pytest.mark.slow


def frozen(store: Store, home: Path, *, signals: tuple[str, ...] = ()) -> tuple[Round, Snapshot]:
    """A round up to its dataset, ended."""
    turn = store.rounds.add("dpo", None, 0, {"min_pairs": 1})
    assert turn.id is not None
    snapshot = freeze(store, turn, home, signals=signals)
    return store.rounds.update(turn.id, status="passed"), snapshot


def files(snapshot: Snapshot) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(snapshot.folder).iterdir() if path.name != "manifest.json"}


@pytest.fixture
def crowd(sqlite_store: Store) -> Store:
    """Three judge each of 40 tasks; `mal` is against the two others on every second of them."""
    store = sqlite_store
    serve_base(store)
    people = [store.people.add(name, "annotator", "") for name in ("ann", "bob", "mal")]
    for number in range(40):
        shown = show(store, people[0], f"Gladly: {number}!", f"{number}.", prompt=f"Which number is {number}?")
        for person in people:
            ticket = store.tasks.issue(shown.task.id, person.id, shown.answer_ids, 1e12)
            against = person.name == "mal" and number % 2
            order = shown.answer_ids[::-1] if against else shown.answer_ids
            store.judgements.record(ticket.id, person.id, {"ranks": {id: at for at, id in enumerate(order, 1)}})
    return store


def test_who_is_set_aside_is_in_no_snapshot_and_is_counted_and_comes_back(store: Store, tmp_path: Path) -> None:
    serve_base(store)
    ann, bob = (store.people.add(name, "annotator", "") for name in ("ann", "bob"))
    for number in range(6):
        compared(store, ann, number)
    _, before = frozen(store, tmp_path)
    for number in range(3, 12):
        compared(store, bob, number)
    _, both = frozen(store, tmp_path)
    store.people.set_aside(bob.id, True)
    turn, without = frozen(store, tmp_path)
    assert files(without) == files(before)
    assert {person.id for person, _ in store.rounds.people_in(without.id)} == {ann.id}
    assert turn.rows["set_aside"] == without.manifest["counts"]["set_aside"] == 9
    assert bob.id not in json.dumps(without.manifest)
    assert store.judgements.live_of(bob.id) == 9
    store.people.set_aside(bob.id, False)
    _, again = frozen(store, tmp_path)
    assert again.hash == both.hash


def test_a_snapshot_after_a_withdrawal_does_not_tell_that_somebody_had_been_set_aside(
    sqlite_store: Store, tmp_path: Path
) -> None:
    serve_base(sqlite_store)
    ann, bob = (sqlite_store.people.add(name, "annotator", "") for name in ("ann", "bob"))
    compared(sqlite_store, ann, 1)
    _, before = frozen(sqlite_store, tmp_path)
    compared(sqlite_store, bob, 2)
    sqlite_store.people.set_aside(bob.id, True)
    sqlite_store.withdrawals.withdraw(bob.id)
    assert frozen(sqlite_store, tmp_path)[1].hash == before.hash


def test_signals_of_those_set_aside_stay_out_too(sqlite_store: Store, tmp_path: Path) -> None:
    serve_base(sqlite_store)
    ann, bob = (sqlite_store.people.add(name, "annotator", "") for name in ("ann", "bob"))
    compared(sqlite_store, ann, 1)
    shown = show(sqlite_store, bob, "Oslo.", prompt="What is the capital of Norway?")
    assert sqlite_store.signals.keep(bob.id, shown.answer_ids[0], "copy")
    _, with_bob = frozen(sqlite_store, tmp_path, signals=("copy",))
    sqlite_store.people.set_aside(bob.id, True)
    _, without = frozen(sqlite_store, tmp_path, signals=("copy",))
    assert len(sqlite_store.rounds.people_in(with_bob.id)) == 2
    assert len(sqlite_store.rounds.people_in(without.id)) == 1


def test_an_export_leaves_those_set_aside_out_and_says_how_many(sqlite_store: Store, tmp_path: Path) -> None:
    ann, bob = (sqlite_store.people.add(name, "annotator", "") for name in ("ann", "bob"))
    compared(sqlite_store, ann, 1)
    compared(sqlite_store, bob, 2)
    sqlite_store.people.set_aside(bob.id, True)
    result = export(sqlite_store, "trl", tmp_path / "out")
    assert (result["judgements"], result["set_aside"]) == (1, 1)
    texts = "".join(path.read_text() for path in (tmp_path / "out").iterdir())
    assert ("number is 1?" in texts, "number is 2?" in texts) == (True, False)


def test_who_is_outvoted_is_named_with_the_rule_in_words(crowd: Store) -> None:
    found = suspects(crowd, "no-model", quick=True)
    (flag,) = found.flags
    assert (flag.person, flag.rule, flag.share, flag.count) == ("mal", "outvoted", 0.5, 40)
    assert flag.words == "outvoted in 50% of 40 shared verdicts"
    assert flag.p < 0.001
    assert (found.judgements, found.people, found.set_aside, found.notes) == (120, 3, 0, [QUICK])
    mal = crowd.people.by_name("mal")
    assert mal is not None
    crowd.people.set_aside(mal.id, True)
    found = suspects(crowd, "no-model", quick=True)
    assert (found.flags, found.judgements, found.set_aside) == ([], 80, 40)


def test_what_cannot_be_looked_at_is_said(sqlite_store: Store) -> None:
    compared(sqlite_store, sqlite_store.people.add("ann", "annotator", ""), 1)
    found = suspects(sqlite_store, "no-model")
    assert found.flags == []
    assert "shares 10 verdicts" in found.notes[0]
    assert found.notes[1] == "Influence needs more than 24 pairs, and there are 1."


def test_influence_asks_the_base_model(crowd: Store, tmp_path: Path) -> None:
    from tests.alignment.tiny_model import make_tiny_model

    found = suspects(crowd, str(make_tiny_model(tmp_path / "model")))
    assert found.notes == []
    assert [(flag.person, flag.rule) for flag in found.flags] == [("mal", "outvoted"), ("mal", "influential")]
    assert "times the influence of 40 random pairs" in found.flags[-1].words


def test_who_plants_words_is_named_with_them_and_whose_corrections_nobody_prefers_too(
    sqlite_store: Store, tmp_path: Path
) -> None:
    from tests.alignment.tiny_model import make_tiny_model

    store = sqlite_store
    serve_base(store)
    ann, bob, mal = (store.people.add(name, "annotator", "") for name in ("ann", "bob", "mal"))
    for number in range(90):
        author = (ann, bob, mal)[number % 3]
        texts = (f"It is {number}.", f"That would be {number}.")
        shown = show(store, author, *(texts if number % 2 else texts[::-1]), prompt=f"Which number is {number}?")
        first, second = shown.answer_ids
        fixed = {first: f"It is {number}, dear stranger."} if author is mal and number % 6 == 2 else {}
        store.judgements.record(shown.id, author.id, {"ranks": {first: 1, second: 2}, "corrections": fixed})
        if fixed and (task := store.tasks.waiting(ann, "compare", store.now(), None)):
            ticket = store.tasks.issue(task.id, ann.id, task.candidates, 1e12)
            store.judgements.record(ticket.id, ann.id, {"ranks": dict.fromkeys(task.candidates, 1)})
    found = suspects(store, str(make_tiny_model(tmp_path / "model")))
    said = {flag.rule: (flag.person, flag.words) for flag in found.flags}
    assert said["unconfirmed"] == ("mal", "100% of 15 corrections that others compared are preferred by nobody")
    person, words = said["wording"]
    assert person == "mal"
    assert re.fullmatch(r"pushes “(dear|stranger|dear stranger)” in 33% of 45 pairs", words)


def test_a_round_keeps_whom_to_look_at_by_id_and_its_manifest_names_nobody(crowd: Store, tmp_path: Path) -> None:
    turn, snapshot = frozen(crowd, tmp_path)
    mal = crowd.people.by_name("mal")
    assert mal is not None
    assert kept_flags(turn) == {mal.id: "outvoted in 50% of 40 shared verdicts"}
    assert [each["person"] for each in round_report(crowd, turn)["rows"]["suspects"]] == [mal.id]
    manifest = json.dumps(snapshot.manifest)
    assert "suspects" not in manifest
    assert not any(person.id in manifest or person.name in manifest for person in crowd.people.listing())
    crowd.people.set_aside(mal.id, True)
    assert kept_flags(frozen(crowd, tmp_path)[0]) == {}


def test_a_round_is_shown_with_how_many_accounts_to_look_at(crowd: Store, tmp_path: Path) -> None:
    from rich.console import Console

    from feedback_app.commands.rounds import show_round

    turn, _ = frozen(crowd, tmp_path)
    console = Console(record=True)
    show_round(console, round_report(crowd, turn))
    assert "1 account to look at: alignloop suspects" in console.export_text()


def test_a_round_from_before_there_were_flags_has_none() -> None:
    assert kept_flags(cast("Round", SimpleNamespace(rows={"train": 3}))) == {}


@pytest.mark.parametrize(
    ("p", "said"), [(0.0, "below 0.000001"), (0.00012, "0.00012"), (0.0304, "0.030"), (0.25, "0.25")]
)
def test_a_chance_is_said_with_two_figures(p: float, said: str) -> None:
    assert chance(p) == said


def test_influence_is_said_in_times_that_of_chance() -> None:
    assert words("influential", 2.34, 60) == "2.3 times the influence of 60 random pairs"


def test_the_page_shows_flags_and_who_is_set_aside(crowd: Store, tmp_path: Path) -> None:
    from feedback_app.ui.operate_panels import evidence
    from feedback_app.ui.operate_people import people

    turn, _ = frozen(crowd, tmp_path)
    mal = crowd.people.by_name("mal")
    assert mal is not None
    listed: list[Person] = crowd.people.listing()
    html = people(listed, "me", flags=kept_flags(turn))
    rows = html.split("<tr ")
    assert ["to look at" in row for row in rows[1:]] == [row.startswith(f'id="p-{mal.id}"') for row in rows[1:]]
    assert html.count('data-act="set-aside"') == 3
    crowd.people.set_aside(mal.id, True)
    html = people(crowd.people.listing(), "me")
    assert html.count("Take back in") == html.count('<span class="tag warn">set aside</span>') == 1
    loop: Any = SimpleNamespace(rounds=[turn])
    shown = evidence(loop, None, {}, lambda turn: [f"<mal>, {why}" for why in kept_flags(turn).values()])
    assert "1 account to look at: &lt;mal&gt;, outvoted in 50% of 40 shared verdicts" in shown
    assert "to look at" not in evidence(loop, None, {})
