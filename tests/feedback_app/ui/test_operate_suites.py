"""The evidence page says of each suite what was asked, how sure it is, and where a version lost."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from feedback_app.domain.reports import Evaluation
from feedback_app.ui import loop_strip
from feedback_app.ui.loop_strip import LoopState
from feedback_app.ui.operate_evidence import guards
from feedback_app.ui.operate_suites import suite_tables


def category(lost: int, gained: int, *, base: float = 0.8, chance: float = 0.25) -> dict[str, float]:
    return {
        "n": 100, "chance": chance, "challenger": 0.5, "incumbent": 0.6, "base": base, "lost": lost, "gained": gained
    }  # fmt: skip


def evaluation(**changes: Any) -> Evaluation:
    loss = {"n": 300, "lost": 12, "gained": 3, "points": 3.0, "upper": 5.2}
    capability = {
        "n": 300, "challenger": 0.62, "incumbent": 0.65, "base": 0.66, "vs_incumbent": loss, "vs_base": loss,
        "categories": {"<b>birds": category(2, 2), "fish": category(9, 0), "bees": category(1, 1, base=0.2)},
    }  # fmt: skip
    suite = {
        "name": "pets<", "hash": "0123456789abcdef", "chosen": True, "margin": 2.5, "items": 1272, "n": 300,
        "needed": 320, "left_out": 7, "chance": 0.25, "interval": [0.564, 0.673], "base_low": 0.6,
        "capability": capability, **changes,
    }  # fmt: skip
    return cast(Evaluation, {"suites": [suite], "headline": "pets<", "capability": capability})


def test_a_suite_has_its_interval_its_margin_and_what_was_not_asked() -> None:
    page = suite_tables(evaluation())
    assert "62.0% of 300 questions right (95 % interval 56.4% to 67.3%), 65.0% before, 66.0% for the base." in page
    assert "margin 2.5 points, 320 questions needed for it" in page
    assert "lost 3.0 points to the version before, at worst 5.2" in page
    assert "965 more were not asked: the time was up; 7 cannot be asked of this model" in page
    assert "file 0123456789ab" in page
    assert "Suite pets&lt;" in page


def test_the_category_that_lost_most_comes_first_and_one_at_chance_is_marked() -> None:
    page = suite_tables(evaluation())
    assert page.index("fish</th>") < page.index("bees†</th>")
    assert "By category: it lost most in fish" in page
    assert "&lt;b&gt;birds" in page
    assert "† the base does no better than a blind answer" in page


def test_a_suite_that_cannot_show_a_loss_and_what_was_not_measured_are_said() -> None:
    assert "does no better than a blind answer (25%): no loss can be seen" in suite_tables(evaluation(base_low=0.2))
    assert "None of its 1,272 questions can be asked of this model." in suite_tables(evaluation(n=0))
    assert "Not measured &lt;" in suite_tables(cast(Evaluation, {"unmeasured": ["Not measured <"]}))


def test_a_suites_figures_are_not_shown_as_the_frozen_questions_too() -> None:
    found = evaluation()
    limits = {"capability_loss": 2.0, "capability_upper": 4.0}
    assert guards(found, limits) == []
    found["headline"] = ""
    assert [guard.kind for guard in guards(found, limits)] == ["bad", "bad"]
    assert "The frozen questions: it lost most in fish" in suite_tables(found)


def test_rounds_from_before_suites_have_no_table() -> None:
    assert suite_tables(cast(Evaluation, {"capability": {"n": 600, "challenger": 0.9}})) == ""


def test_the_strip_shows_how_far_the_asking_is_and_the_time_left() -> None:
    running = cast("Any", SimpleNamespace(name="evaluate", status="running", started_at=0.0, finished_at=None))
    counts: Any = {"total": 0, "scripted": 0}
    loop = LoopState(60.0, counts, counts, [], None, [running])
    assert "asking questions" in loop_strip.evaluate(loop)
    assert "left" not in loop_strip.evaluate(loop)
    asking = replace(loop, progress=[{"step": 30, "steps": 120, "seconds_left": 40.0}])
    assert "asking questions, 40 s left" in loop_strip.evaluate(asking)
    assert 'aria-valuenow="25"' in loop_strip.evaluate(asking)
