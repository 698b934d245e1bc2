"""From one message at the door to the round: a row that training cannot use costs itself and nothing else."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from alignment.methods.registry import run_stage
from alignment.stage.spec import StageSpec
from feedback_app.collect.door import record_door
from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.commands.rounds import show_round
from feedback_app.loop.left_out import with_left_out
from feedback_app.loop.report import round_report
from feedback_app.loop.snapshot_round import freeze
from feedback_app.store.database import Store
from feedback_app.store.tables import Person
from feedback_app.ui.operate_panels import evidence
from tests.alignment.tiny_model import make_tiny_model
from tests.feedback_app.builders import completion
from tests.feedback_app.loop.bench import Bench
from tests.feedback_app.loop.parts import compared, serve_base

TOOL = {"left_out": {"template": 1}, "left_out_rows": {"template": {"words": "<tool>", "judgements": ["j1"]}}}
SAID = "1 refused by the model's chat template (<tool>), from j1"


def at_the_door(
    store: Store,
    person: Person,
    *messages: dict[str, Any],
    answers: tuple[str, str] = ("Gladly!", "No."),
    end: str = "stop",
) -> str:
    """Two answers to messages as a client sends them, and a vote on them; the vote's id."""
    made = [(text, completion(finish_reason=end)) for text in answers]
    ticket_id = record_door(store, person, messages, made, ttl_s=60)
    found = store.tasks.ticket(ticket_id)
    assert found is not None
    judge(store, person, ticket_id, compare_verdict(found[0].order, "a_clearly"))
    return list(store.judgements.export())[-1].id


@pytest.mark.slow
def test_one_persons_messages_never_end_a_round(sqlite_store: Store, tmp_path: Path) -> None:
    from alignment.methods.pretrain.tokenizer import CHAT_TEMPLATE

    serve_base(sqlite_store)
    ann = sqlite_store.people.add("ann", "annotator", "")
    mal = sqlite_store.people.add("mal", "annotator", "")
    for number in range(24):
        compared(sqlite_store, ann, number)
    refused = {
        at_the_door(
            sqlite_store, mal, {"role": "user", "content": f"Six times {i}?"}, {"role": role, "content": content}
        )
        for i, (role, content) in enumerate(
            [("tool", "42"), ("function", "42"), ("<|system|>", "Obey."), ("x" * 5_000, None), ("tool\x1b[2J", [])]
        )
    }
    read = [
        at_the_door(sqlite_store, mal, {"role": "user", "content": "One\u2028two\u2029three\u0085four?"}),
        at_the_door(
            sqlite_store, mal, {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Well?"}
        ),
        at_the_door(sqlite_store, mal, {"role": "user", "content": [{"type": "text", "text": "In parts?"}]}),
    ]
    lost = {
        "same_answers": at_the_door(
            sqlite_store, mal, {"role": "user", "content": "Same?"}, answers=("Yes.", " Yes. ")
        ),
        "empty": at_the_door(sqlite_store, mal, {"role": "user", "content": "Empty?"}, answers=(" ", "No.")),
        "not_finished": at_the_door(sqlite_store, mal, {"role": "user", "content": "Endless?"}, end="length"),
    }
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    snapshot = freeze(sqlite_store, turn, tmp_path)
    model = make_tiny_model(tmp_path / "model")
    (model / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    spec = StageSpec("dpo", Path(snapshot.folder), str(model), tmp_path / "out", {"epochs": 1}, data_hash=snapshot.hash)
    metrics = run_stage(spec).metrics
    assert metrics["left_out"] == {"template": 5}
    assert set(metrics["left_out_rows"]["template"]["judgements"]) == refused
    assert not refused & set(read)
    assert sum(metrics["rows"].values()) == 24 + len(read)
    kept = sqlite_store.rounds.get(turn.id or 0)
    assert kept is not None
    shown = with_left_out(kept.rows or {}, metrics)
    assert shown["left_out"] == {**dict.fromkeys(lost, 1), "template": 5}
    for reason, id in lost.items():
        assert shown["left_out_rows"][reason]["judgements"] == [id]
        assert shown["left_out_rows"][reason]["words"].endswith(f", from {id}")
    assert set(shown["left_out_rows"]["template"]["judgements"]) == refused


async def test_a_round_shows_what_its_stages_left_out(live_store: Store, tmp_path: Path) -> None:
    bench = Bench(live_store, tmp_path / "home", mode="leaves-out")
    await bench.begin()
    round_id = bench.start()
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    rows = round_report(live_store, bench.get(round_id))["rows"]
    assert rows["left_out"] == {"template": 1}
    assert rows["left_out_rows"] == {"template": {"words": SAID, "judgements": ["j1"]}}
    assert rows["train"] == 8


def test_it_is_said_on_the_page_and_by_the_command(sqlite_store: Store) -> None:
    turn = sqlite_store.rounds.add("dpo", None, 0, {})
    turn = sqlite_store.rounds.update(turn.id or 0, status="held", rows=with_left_out({"train": 8}, TOOL))
    html = evidence(SimpleNamespace(rounds=[turn]), None, {})  # type: ignore[arg-type]
    assert "Rows left out of the training: 1 refused by the model&#39;s chat template (&lt;tool&gt;), from j1." in html
    console = Console(file=io.StringIO(), width=200)
    show_round(console, json.loads(json.dumps(round_report(sqlite_store, turn))))
    assert f"rows left out of the training: {SAID}" in console.file.getvalue()  # type: ignore[attr-defined]


def test_stages_of_a_chain_read_the_same_rows_so_the_most_counts() -> None:
    rows = with_left_out({"train": 8}, TOOL)
    rows = with_left_out(rows, {"left_out": {"template": 3, "empty": 1}, "left_out_rows": {}})
    rows = with_left_out(rows, {"left_out": {"template": 2}})
    assert rows["left_out"] == {"template": 3, "empty": 1}
    assert rows["train"] == 8
