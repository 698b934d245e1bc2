"""How far along an annotator is, from their own pace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feedback_app.collect.judge import compare_verdict, judge
from feedback_app.ui.sitting import WINDOW_S, confirmation, progress_line
from tests.feedback_app.builders import show

if TYPE_CHECKING:
    from feedback_app.store.database import Store
    from tests.fakes import Clock


def test_a_fresh_sitting_promises_nothing(sqlite_store: Store) -> None:
    ada = sqlite_store.people.add("ada", "annotator", "")
    line = progress_line(sqlite_store, ada, "compare")
    assert "<strong>0</strong> of 50" in line
    assert "left" not in line


def test_the_time_left_follows_the_persons_pace(sqlite_store: Store, clock: Clock) -> None:
    ada = sqlite_store.people.add("ada", "annotator", "")
    for _ in range(5):
        shown = show(sqlite_store, ada)
        clock.pass_s(12)
        judge(sqlite_store, ada, shown.id, compare_verdict(shown.answer_ids, "a_clearly"))
    assert "<strong>5</strong> of 50, about 9 minutes left" in progress_line(sqlite_store, ada, "compare")
    assert "<strong>0</strong> of 20" in progress_line(sqlite_store, ada, "rank")
    clock.pass_s(WINDOW_S + 1)
    assert "<strong>0</strong> of 50" in progress_line(sqlite_store, ada, "compare")


def test_a_confirmation_can_be_undone() -> None:
    html = confirmation("a <tie>", "j1")
    assert "Saved: a &lt;tie&gt;" in html
    assert 'data-act="undo"' in html
    assert 'data-judgement="j1"' in html
