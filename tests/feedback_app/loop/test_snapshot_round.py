"""A round's dataset: what is in it, and when there is too little for one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from alignment.dataset.compile.personal import Handling
from alignment.dataset.snapshot import verify_snapshot
from feedback_app.collect.judge import judge
from feedback_app.errors import RoundFailed
from feedback_app.loop.round_steps import WorkerSteps
from feedback_app.loop.snapshot_round import freeze
from feedback_app.settings import Settings
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from tests.feedback_app.builders import show
from tests.feedback_app.loop.parts import compared, serve_base


@pytest.fixture
def ann(sqlite_store: Store) -> Person:
    """An annotator; `base` is served."""
    serve_base(sqlite_store)
    return sqlite_store.people.add("ann", "annotator", "")


def test_too_few_pairs_fail_with_both_numbers_and_leave_a_watermark(
    sqlite_store: Store, ann: Person, tmp_path: Path
) -> None:
    for number in range(5):
        compared(sqlite_store, ann, number)
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    with pytest.raises(RoundFailed, match="5 pairs to train on and 8 are needed"):
        freeze(sqlite_store, turn, tmp_path)
    after = sqlite_store.rounds.get(turn.id)  # type: ignore[arg-type]
    assert after is not None
    assert (after.watermark, after.rows["train"]) == (5, 5)
    assert not (tmp_path / "snapshots").exists()


def test_a_snapshot_holds_what_was_there_and_is_found_again(sqlite_store: Store, ann: Person, tmp_path: Path) -> None:
    for number in range(9):
        compared(sqlite_store, ann, number)
    turn = sqlite_store.rounds.add("dpo", None, 3, {})
    snapshot = freeze(sqlite_store, turn, tmp_path)
    pairs = [json.loads(line) for line in (Path(snapshot.folder) / "pairs.jsonl").read_text().splitlines()]
    assert len(pairs) == 9
    assert pairs[0]["chosen"][0]["content"].startswith("Gladly")
    after = sqlite_store.rounds.get(turn.id)  # type: ignore[arg-type]
    assert after is not None
    assert after.rows == after.rows | {"train": 9, "held_out": 0, "by_kind": {"compare": 9}, "judgements": 9}
    compared(sqlite_store, ann, 99)  # a worker that takes the round over must not see more than the first one saw
    assert freeze(sqlite_store, after, tmp_path).id == snapshot.id
    assert len(list((tmp_path / "snapshots").iterdir())) == 1


def test_fewer_pairs_can_be_asked_for(sqlite_store: Store, ann: Person, tmp_path: Path) -> None:
    for number in range(3):
        compared(sqlite_store, ann, number)
    turn = sqlite_store.rounds.add("dpo", None, 0, {"min_pairs": 3})
    assert Path(freeze(sqlite_store, turn, tmp_path).folder).is_dir()


def test_a_disk_that_takes_nothing_is_a_reason(sqlite_store: Store, ann: Person, tmp_path: Path) -> None:
    for number in range(8):
        compared(sqlite_store, ann, number)
    (tmp_path / "snapshots").write_text("a file where the folder should be")
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    with pytest.raises(RoundFailed, match="could not be written"):
        freeze(sqlite_store, turn, tmp_path)


@pytest.mark.parametrize("personal", list(Handling))
def test_personal_data_is_counted_in_the_manifest_and_replaced_when_asked(
    sqlite_store: Store, ann: Person, tmp_path: Path, personal: Handling
) -> None:
    for number in range(8):
        compared(sqlite_store, ann, number)
    texts = ("Gladly: ann@example.org.", "Mail bob@example.org or ann@example.org.")
    shown = show(sqlite_store, ann, *texts, prompt="Where do I write to?")
    judge(sqlite_store, ann, shown.id, {"ranks": {shown.answer_ids[0]: 1, shown.answer_ids[1]: 2}})
    snapshot = freeze(sqlite_store, sqlite_store.rounds.add("dpo", None, 0, {}), tmp_path, personal=personal)
    found = {} if personal is Handling.OFF else {"EMAIL": 2}
    expected = {"handling": personal.value, "rows": len(found), "found": found}
    assert snapshot.manifest["counts"]["personal"] == expected
    for name in ("pairs.jsonl", "judgements.jsonl"):
        text = (Path(snapshot.folder) / name).read_text()
        assert ("example.org" in text) == (personal is not Handling.REPLACE), name
        assert ("<EMAIL_2> or <EMAIL_1>" in text) == (personal is Handling.REPLACE), name
    verify_snapshot(Path(snapshot.folder), snapshot.hash)


async def test_a_round_is_offered_the_signals_that_the_settings_keep(
    sqlite_store: Store, ann: Person, tmp_path: Path
) -> None:
    for number in range(9):
        compared(sqlite_store, ann, number)
    for signals, offered in (("", []), ("copy, edit", ["copy", "edit"])):
        turn = sqlite_store.rounds.add("dpo", None, 0, {})
        round_of = SimpleNamespace(store=sqlite_store, settings=Settings(signals=signals), home=tmp_path)
        snapshot = await WorkerSteps.snapshot(cast("WorkerSteps", round_of), turn)
        assert snapshot.manifest["filters"]["rules"]["implicit"] == offered
        sqlite_store.rounds.update(turn.id, status="passed")  # type: ignore[arg-type]
