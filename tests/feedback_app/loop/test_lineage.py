"""Which clicks made a version, where a person's went, and what withdrawal and erasure leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from alignment.dataset.erasure import erase_judgements
from alignment.dataset.snapshot import verify_snapshot
from feedback_app.domain.lineage import PersonLineage, UsedIn, VersionLineage
from feedback_app.domain.verdicts import WITHDRAWN
from feedback_app.errors import Conflict, NotFound, UsageError
from feedback_app.loop.erasure import erase
from feedback_app.loop.lineage import check_start, flag_of, lineage, nearest_clean, person_lineage
from feedback_app.loop.rounds import start_round
from feedback_app.loop.rules import promotions_since, rules_of
from feedback_app.loop.snapshot_round import freeze
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Round, Snapshot, Version
from tests.feedback_app.builders import completion, show
from tests.feedback_app.loop.parts import compared, made_by, serve_base

Named = dict[str, Person]


@pytest.fixture
def people(store: Store) -> Named:
    """Two annotators and an operator; `base` is served."""
    serve_base(store)
    store.people.add("boss", "operator", "")
    return {name: store.people.add(name, "annotator", "") for name in ("ann", "bob")}


def turned(store: Store, home: Path) -> tuple[Round, Snapshot]:
    """A round up to its dataset, ended."""
    turn = store.rounds.add("dpo", None, 0, {"min_pairs": 1})
    assert turn.id is not None
    snapshot = freeze(store, turn, home)
    return store.rounds.update(turn.id, status="passed"), snapshot


def version_of(store: Store, turn: Round, name: str, parent: str = "base") -> Version:
    version = made_by(store, name, turn)
    with store.database.write() as session:
        row = session.get(Version, version.name)
        assert row is not None
        row.parent = parent
    return row


def bytes_of(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def ranked(ids: list[str]) -> dict[str, Any]:
    return {"ranks": {id: place for place, id in enumerate(ids, 1)}}


def hers(snapshot: Snapshot, person: Person) -> dict[str, tuple[float, str]]:
    """Weight and side of every pair that rests on this person's judgements alone, by judgement."""
    folder = Path(snapshot.folder)
    own = {
        record["id"]
        for record in map(json.loads, (folder / "judgements.jsonl").read_text().splitlines())
        if record["person"] == person.id
    }
    return {
        row["judgements"][0]: (row["weight"], row["split"])
        for row in map(json.loads, (folder / "pairs.jsonl").read_text().splitlines())
        if set(row["judgements"]) <= own
    }


def test_a_version_names_the_clicks_and_the_people_behind_it(store: Store, people: Named, tmp_path: Path) -> None:
    for number in range(6):
        compared(store, people["ann" if number % 3 else "bob"], number)
    turn, snapshot = turned(store, tmp_path)
    version_of(store, turn, "policy-0001")
    found = lineage(store, "policy-0001")
    assert isinstance(found, VersionLineage)
    assert found.snapshot is not None
    assert (found.version, found.ancestors, found.round) == ("policy-0001", ["base"], turn.id)
    assert [(each.name, each.judgements) for each in found.people] == [("ann", 4), ("bob", 2)]
    training = {
        id
        for line in (Path(snapshot.folder) / "pairs.jsonl").read_text().splitlines()
        if json.loads(line)["split"] == "train"
        for id in json.loads(line)["judgements"]
    }
    assert {click.judgement for click in found.clicks} == training
    assert {click.rows["pairs"] for click in found.clicks} == {1}
    assert (found.flag, found.snapshot.hash) == ("", snapshot.hash)


def test_a_person_sees_where_theirs_went(store: Store, people: Named, tmp_path: Path) -> None:
    for number in range(4):
        compared(store, people["ann"], number)
    turn, snapshot = turned(store, tmp_path)
    version_of(store, turn, "policy-0001")
    later, _ = turned(store, tmp_path)
    version_of(store, later, "policy-0002", parent="policy-0001")
    found = lineage(store, "ann")
    assert isinstance(found, PersonLineage)
    assert (found.person, found.judgements) == ("ann", 4)
    assert found.snapshots[0] == UsedIn(snapshot.id, 4, [turn.id])
    assert [(each.version, each.judgements) for each in found.versions] == [
        ("policy-0001", 4),
        ("policy-0002", 8),
    ]
    assert person_lineage(store, people["bob"]).versions == []


def test_a_base_has_no_clicks_and_an_unknown_name_is_a_sentence(store: Store, people: Named) -> None:
    base = lineage(store, "base")
    assert isinstance(base, VersionLineage)
    assert base.clicks == []
    with pytest.raises(NotFound, match="neither a version nor a person called nobody"):
        lineage(store, "nobody")


@pytest.mark.slow
def test_after_a_withdrawal_the_snapshot_is_that_of_a_database_without_the_person(
    store: Store, people: Named, tmp_path: Path
) -> None:
    """Frozen without Bob, who comes, compares, chats, changes his mind and withdraws: the same bytes again."""
    cid = store.people.add("cid", "annotator", "")
    for number in range(60):  # too few alone for anything to be held out
        compared(store, people["ann"], number)
    tasks = [show(store, people["ann"], prompt=f"Which of {number} is it?") for number in range(15)]
    for shown in tasks:
        store.judgements.record(shown.id, people["ann"].id, ranked(shown.answer_ids))
        agrees = store.tasks.issue(shown.task.id, cid.id, shown.answer_ids, 1e12)
        store.judgements.record(agrees.id, cid.id, ranked(shown.answer_ids))
    _, before = turned(store, tmp_path)
    for number in range(40):
        compared(store, people["bob"], number if number % 2 else 1000 + number)
    for shown in tasks:  # Bob contradicts both, which makes others rely on them more
        also = store.tasks.issue(shown.task.id, people["bob"].id, shown.answer_ids, 1e12)
        store.judgements.record(also.id, people["bob"].id, ranked(shown.answer_ids[::-1]))
    shared = show(store, people["ann"], prompt="Which number is 7?")
    theirs = store.tasks.issue(shared.task.id, people["bob"].id, shared.answer_ids, 1e12)
    row = store.judgements.record(theirs.id, people["bob"].id, {"ranks": dict.fromkeys(shared.answer_ids, 1)})
    store.judgements.record(
        theirs.id, people["bob"].id, {"ranks": {id: i for i, id in enumerate(shared.answer_ids)}}, supersedes=row.id
    )
    _, with_bob = turned(store, tmp_path)
    alone, together = hers(before, people["ann"]), hers(with_bob, people["ann"])
    assert {side for _, side in alone.values()} == {"train"}
    assert {side for _, side in together.values()} == {"train", "held_out"}
    assert {weight for weight, _ in alone.values()} != {weight for weight, _ in together.values()}
    assert store.withdrawals.withdraw(people["bob"].id) == 56
    _, after = turned(store, tmp_path)
    assert bytes_of(after.folder) == bytes_of(before.folder)
    assert after.hash == before.hash
    assert people["bob"].id.encode() not in b"".join(bytes_of(after.folder).values())


def test_what_others_said_of_ones_own_words_goes_with_them(store: Store, people: Named, tmp_path: Path) -> None:
    ann, bob = people["ann"], people["bob"]
    context, answers = store.conversations.add_candidates(
        bob.id, "typed", "I live at 7 Elm Road", [("Noted.", completion()), ("How nice!", completion())]
    )
    drawn = show(store, bob, prompt="Name a fruit.")
    task = store.tasks.add("compare", context.id, [answer.id for answer in answers], wanted=2)
    for task_id, ids in ((task.id, [answer.id for answer in answers]), (drawn.task.id, drawn.answer_ids)):
        ticket = store.tasks.issue(task_id, ann.id, ids, 1e12)
        store.judgements.record(ticket.id, ann.id, {"ranks": {ids[0]: 1, ids[1]: 2}})
    store.withdrawals.withdraw(bob.id)
    (left,) = store.judgements.export()
    assert left.context[0].content == "Name a fruit."  # drawn by the server, judged by Ann: it stays hers


def copied(store: Store, person: Person, number: int, *, marked: bool, good: bool = True) -> None:
    """A chat answer that was copied, and marked where `marked`."""
    shown = show(store, person, f"{number + 1}.", prompt=f"What follows {number}?")
    if marked:
        store.judgements.record(shown.id, person.id, {"marks": {shown.answer_ids[0]: "good" if good else "bad"}})
    assert store.signals.keep(person.id, shown.answer_ids[0], "copy")


@pytest.mark.slow
def test_signals_enter_a_snapshot_where_they_are_on_and_votes_bear_them_out_and_leave_with_their_person(
    store: Store, people: Named, tmp_path: Path
) -> None:
    ann, bob = people["ann"], people["bob"]
    for number in range(110):
        copied(store, ann, number, marked=True, good=number > 5)
    for number in range(200, 205):
        copied(store, ann, number, marked=False)
    compared(store, ann, 1)

    def frozen(*signals: str) -> Snapshot:
        turn = store.rounds.add("dpo", None, 0, {"min_pairs": 1})
        snapshot = freeze(store, turn, tmp_path, signals=signals)
        store.rounds.update(turn.id, status="passed")  # type: ignore[arg-type]
        return snapshot

    off, before = frozen(), frozen("copy")
    assert off.manifest["counts"]["implicit"] == 0
    assert before.manifest["counts"]["implicit"] > 0
    assert frozen("retry").manifest["counts"]["implicit"] == 0
    for number in range(300, 340):
        copied(store, bob, number, marked=number % 2 == 0, good=False)
    with_bob = frozen("copy")
    assert bob.id in {person.id for person, _ in store.rounds.people_in(with_bob.id)}
    turn = next(turn for turn in store.rounds.listing() if turn.snapshot_id == with_bob.id)
    version_of(store, turn, "policy-0001")
    found = lineage(store, "policy-0001")
    assert isinstance(found, VersionLineage)
    clicks = [click for click in found.clicks if click.kind == "copy"]
    assert {click.person for click in clicks} == {"ann", "bob"}
    assert {tuple(click.rows.items()) for click in clicks} == {(("marks", 1),)}
    theirs = [click.judgement.encode() for click in clicks if click.person == "bob"]
    assert any(id in (Path(with_bob.folder) / "marks.jsonl").read_bytes() for id in theirs)
    erase(store, bob)
    assert not any(id in b"".join(bytes_of(with_bob.folder).values()) for id in theirs)
    after = frozen("copy")
    rows = [
        {name: data for name, data in bytes_of(each.folder).items() if name != "manifest.json"}
        for each in (before, after)
    ]  # the manifest also counts the version that was made meanwhile
    assert rows[0] == rows[1]
    assert after.manifest["counts"] == before.manifest["counts"]


def test_who_withdrew_gives_no_new_verdicts(store: Store, people: Named) -> None:
    ticket = show(store, people["bob"])
    store.withdrawals.withdraw(people["bob"].id)
    with pytest.raises(Conflict, match="withdrawn your judgements"):
        store.judgements.record(ticket.id, people["bob"].id, {"marks": {ticket.answer_ids[0]: "good"}})
    assert store.withdrawals.withdraw(people["bob"].id) == 0


def test_a_round_continues_from_a_clean_version_or_names_the_nearest(
    store: Store, people: Named, tmp_path: Path
) -> None:
    compared(store, people["ann"], 1)
    first, _ = turned(store, tmp_path)
    clean = version_of(store, first, "policy-0001")
    compared(store, people["bob"], 2)
    second, _ = turned(store, tmp_path)
    tainted = version_of(store, second, "policy-0002", parent="policy-0001")
    child = version_of(store, second, "policy-0003", parent="policy-0002")
    store.versions.publish("policy-0003", "promoted")
    check_start(store, child)
    store.withdrawals.withdraw(people["bob"].id)
    assert nearest_clean(store, child) == clean
    assert flag_of(store, tainted) == "trained on judgements of one person who withdrew"
    with pytest.raises(UsageError, match=r"policy-0003 was trained .* nearest version without them is policy-0001"):
        start_round(store, "dpo", settings={"start": "incumbent"})
    store.versions.publish("policy-0001", "operator")
    turn = start_round(store, "dpo", settings={"start": "incumbent"})
    store.rounds.request_cancel(turn.id)  # type: ignore[arg-type]
    store.versions.publish("policy-0003", "operator")
    assert start_round(store, "dpo").status == "queued"  # from the base, which rests on nobody


def chat(store: Store, person: Person, said: str) -> None:
    """One chat turn, liked with a comment."""
    conversation = store.conversations.add_conversation(person.id, "chat", said[:80])
    message = store.conversations.add_message(conversation.id, None, "user", said)
    reply = store.conversations.add_reply(
        conversation.id, message.id, f"You said {said}.", completion(sent=[message.id])
    )
    task = store.tasks.add("like", message.id, [reply.id])
    ticket = store.tasks.issue(task.id, person.id, [reply.id], 1e12)
    store.judgements.record(ticket.id, person.id, {"marks": {reply.id: "good"}, "comment": f"{said}, indeed"})


def rows_of(store: Store) -> bytes:
    """Everything that the database says in its tables; on SQLite its file is looked at besides."""
    with store.database.read() as session:
        rows = [session.execute(table.select()).all() for table in SQLModel.metadata.sorted_tables]
    return str(rows).encode()


def test_erasure_leaves_no_text_in_database_or_snapshots_and_flags_versions(
    store: Store, people: Named, tmp_path: Path
) -> None:
    for number in range(4):
        compared(store, people["ann"], number)
    secret = "the heron nests at number 4711"
    chat(store, people["bob"], secret)
    compared(store, people["bob"], 77)
    turn, snapshot = turned(store, tmp_path)
    version = version_of(store, turn, "policy-0001")
    store.versions.publish("policy-0001", "promoted")
    assert secret.encode() in b"".join(bytes_of(snapshot.folder).values())
    found = erase(store, people["bob"])
    assert found["flagged"] == ["policy-0001"]
    assert (found["judgements"], found["snapshots"]) == (2, 1)
    kept = store.rounds.snapshot(snapshot.id)
    assert kept is not None
    verify_snapshot(Path(kept.folder), kept.hash)
    assert kept.hash != snapshot.hash
    files = bytes_of(kept.folder)
    assert json.loads(files["manifest.json"])["erased"] == 2
    assert len(files["judgements.jsonl"].splitlines()) == 4
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()) + rows_of(store)
    assert b"heron" not in everything
    assert b"Gladly: 77" not in everything
    assert b"Gladly: 1" in everything
    assert b"Gladly: 1" in rows_of(store)
    gone = store.people.by_id(people["bob"].id)
    assert gone is not None
    assert (gone.name.startswith("erased-"), gone.disabled, gone.password_hash) == (True, True, "")
    assert flag_of(store, version) == "trained on judgements of one person whose texts were erased"
    assert person_lineage(store, gone).versions[0].serving
    assert erase(store, gone)["snapshots"] == 0  # again changes nothing more


def test_erasure_is_refused_for_the_last_operator_and_during_a_round(
    store: Store, people: Named, tmp_path: Path
) -> None:
    boss = store.people.by_name("boss")
    assert boss is not None
    with pytest.raises(Conflict, match="last operator"):
        store.withdrawals.erase(boss.id)
    store.rounds.add("dpo", None, 0, {})
    with pytest.raises(Conflict, match="may be reading"):
        erase(store, people["bob"])
    with pytest.raises(Conflict, match="may be reading"):
        store.withdrawals.erase(people["bob"].id)


def test_an_erasure_that_was_cut_off_is_finished_by_the_next(
    store: Store, people: Named, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        compared(store, people["ann" if number else "bob"], number)
    _, snapshot = turned(store, tmp_path)
    gone = set(store.withdrawals.resting_on(people["bob"].id))
    folder = Path(snapshot.folder)
    with monkeypatch.context() as patch:
        patch.setattr("alignment.dataset.erasure.TableWriter.add", _broken)
        with pytest.raises(RuntimeError):
            erase_judgements(folder, gone)
    manifest = erase_judgements(folder, gone)
    assert verify_snapshot(folder, manifest.hash).files["judgements.parquet"]["rows"] == 3
    assert json.loads((folder / "manifest.json").read_text())["erased"] == 1


def _broken(*_: Any) -> None:
    raise RuntimeError("the machine went away")


def test_the_rules_name_who_is_trusted_and_how_often_a_version_was_replaced(store: Store, people: Named) -> None:
    ann, boss = people["ann"], store.people.by_name("boss")
    assert boss is not None
    assert rules_of(store).trusted == {boss.id}
    store.people.set_trusted(ann.id, True)
    assert rules_of(store).trusted == {boss.id, ann.id}
    store.withdrawals.withdraw(ann.id)
    assert rules_of(store).trusted == {boss.id}
    turn = store.rounds.add("dpo", None, 0, {})
    for number in (1, 2, 3):
        made_by(store, f"policy-000{number}", turn)
    store.versions.publish("policy-0001", "promoted")
    store.versions.publish("policy-0002", "operator")
    assert promotions_since(store) == {"base": 2, "policy-0001": 1, "policy-0002": 0, "policy-0003": 0}
    store.versions.publish("policy-0001", "rollback")
    assert promotions_since(store)["policy-0001"] == 0
    with pytest.raises(UsageError, match="contradictions to one of: weights, majority, drop"):
        rules_of(store, {"contradictions": "loudest"})


def test_superseded_and_undone_judgements_are_in_no_snapshot(store: Store, people: Named, tmp_path: Path) -> None:
    compared(store, people["ann"], 1)
    ticket = show(store, people["ann"], prompt="Name a fruit.")
    row = store.judgements.record(ticket.id, people["ann"].id, {"ranks": dict.fromkeys(ticket.answer_ids, 1)})
    ranks = {id: place for place, id in enumerate(ticket.answer_ids, 1)}
    other = store.judgements.record(ticket.id, people["ann"].id, {"ranks": ranks}, supersedes=row.id)
    _, snapshot = turned(store, tmp_path)
    text = (Path(snapshot.folder) / "judgements.jsonl").read_text()
    assert (row.id in text, other.id in text) == (False, True)
    store.judgements.record(ticket.id, people["ann"].id, WITHDRAWN, supersedes=other.id)
    _, without = turned(store, tmp_path)
    assert other.id not in (Path(without.folder) / "judgements.jsonl").read_text()
