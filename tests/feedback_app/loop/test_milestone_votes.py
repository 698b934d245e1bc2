"""A round whose training asks people on the way: what is loaded, what is judged, what is counted, what survives."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alignment.stage.people_channel import Asked, Asking, Votes, answer, asked, folder_of
from feedback_app.commands.rounds import watched as said_of
from feedback_app.errors import Conflict, RoundFailed, UsageError
from feedback_app.loop import milestone_votes as watching
from feedback_app.loop.milestone_votes import Watching, check_served
from feedback_app.loop.publish import promote
from feedback_app.loop.reconcile import Reconcile
from feedback_app.loop.report import round_report
from feedback_app.loop.rounds import start_round
from feedback_app.store.database import Store
from feedback_app.store.tables import Person, Round, Version
from feedback_app.ui.operate_panels import evidence
from serving.errors import VllmError
from tests.fakes import Clock, FakeVllm
from tests.feedback_app.loop.bench import Bench
from tests.feedback_app.loop.fake_stage import adapter
from tests.feedback_app.loop.parts import serve_base, vote

pytestmark = pytest.mark.slow

WATCH = {"watch": 4, "milestones": 0.5}


class Desk:
    """A watch of a running round, one look at a time; the stage's side is written by hand."""

    def __init__(self, store: Store, clock: Clock, tmp_path: Path, *, scripted_count: bool = True) -> None:
        self.store, self.clock, self.vllm = store, clock, FakeVllm()
        self.base = serve_base(store)
        self.turn = running(store)
        self.home, self.out = tmp_path / "versions", tmp_path / "ppo-1"
        self.reconcile = Reconcile(store, [self.vllm], home=self.home, clock=store.now)  # type: ignore[list-item]
        self.watching = Watching(store, self.reconcile, self.turn, self.base, self.home, scripted_count=scripted_count)
        self.ann = store.people.add("ann", "annotator", "")

    def ask(self, step: int, judgements: int, out: Path | None = None) -> None:
        folder = (out or self.out) / "milestones" / f"step-{step}"
        adapter(folder, step)
        Asking(out or self.out, 0.0)(step, str(folder), judgements)

    async def look(self, out: Path | None = None) -> None:
        await self.watching.look(out or self.out)

    def answered(self, step: int, judgements: int) -> Votes:
        """What the stage would have if it looked now."""
        folder = self.out / "milestones" / f"step-{step}"
        return Asking(self.out, 0.0)(step, str(folder), judgements)

    def shown(self) -> list[Version]:
        return self.store.versions.watched()

    async def unloaded(self) -> None:
        await self.reconcile.once()
        self.clock.pass_s(1000)
        await self.reconcile.once()


@pytest.fixture
def desk(sqlite_store: Store, clock: Clock, tmp_path: Path) -> Desk:
    return Desk(sqlite_store, clock, tmp_path)


def running(store: Store) -> Round:
    store.rounds.add("ppo", None, 0, {})
    turn = store.rounds.claim("w", 60.0)
    assert turn is not None
    return turn


async def test_a_milestone_is_loaded_judged_against_the_start_and_let_go(desk: Desk) -> None:
    await desk.look()
    assert desk.vllm.loaded == {}
    desk.ask(12, 4)
    await desk.look()
    (milestone,) = desk.shown()
    assert milestone.name.startswith("milestone-0001-12-")
    assert (milestone.kind, milestone.parent, milestone.round_id) == ("milestone", "base", desk.turn.id)
    assert desk.vllm.versions == {milestone.name: str(desk.home / milestone.name)}
    assert desk.store.versions.published().version == "base"  # type: ignore[union-attr]
    for outcome in ("win", "tie", "none", "loss"):
        vote(desk.store, desk.ann, milestone.name, outcome)
    await desk.look()
    assert desk.answered(12, 4) == Votes(1.5, 3)
    vote(desk.store, desk.ann, milestone.name, "win")
    vote(desk.store, desk.ann, milestone.name, "win")
    await desk.look()
    assert desk.answered(12, 4) == Votes(2.5, 4), "no more than were asked for"
    shutil.rmtree(folder_of(desk.out))
    await desk.look()
    assert desk.shown() == []
    assert milestone.name in desk.vllm.versions, "somebody's request may still need it"
    await desk.unloaded()
    assert desk.vllm.loaded == {}


async def test_the_next_question_takes_the_place_of_the_last(desk: Desk) -> None:
    desk.ask(12, 4)
    await desk.look()
    desk.ask(16, 4)
    await desk.look()
    assert [milestone.name[:17] for milestone in desk.shown()] == ["milestone-0001-16"]


async def test_the_same_weights_asked_about_again_have_their_votes_and_need_not_be_loaded(desk: Desk) -> None:
    desk.ask(12, 2)
    await desk.look()
    (milestone,) = desk.shown()
    for _ in range(2):
        vote(desk.store, desk.ann, milestone.name, "win")
    desk.watching.let_go()
    await desk.unloaded()
    again = desk.out.with_name("ppo-2")
    desk.ask(12, 2, again)
    await desk.look(again)
    answered = Asking(again, 0.0)(12, str(again / "milestones" / "step-12"), 2)
    assert answered == Votes(2.0, 2)
    assert (desk.shown(), desk.vllm.loaded) == ([], {})


async def test_other_weights_of_the_same_step_are_another_milestone(desk: Desk) -> None:
    desk.ask(12, 2)
    await desk.look()
    again = desk.out.with_name("ppo-2")
    adapter(again / "milestones" / "step-12", 50)
    Asking(again, 0.0)(12, str(again / "milestones" / "step-12"), 2)
    await desk.look(again)
    known = desk.store.versions.listing(milestones=True)
    assert len([version for version in known if version.kind == "milestone"]) == 2


async def test_scripted_votes_are_marked_and_count_only_where_they_do_for_a_challenger(
    sqlite_store: Store, clock: Clock, tmp_path: Path
) -> None:
    desk = Desk(sqlite_store, clock, tmp_path)
    desk.ask(12, 4)
    await desk.look()
    (milestone,) = desk.shown()
    robot = sqlite_store.people.add("robot", "annotator", "", scripted=True)
    vote(sqlite_store, robot, milestone.name, "win")
    vote(sqlite_store, desk.ann, milestone.name, "loss")
    await desk.look()
    assert desk.answered(12, 4) == Votes(1.0, 2, scripted=1)
    strict = Watching(sqlite_store, desk.reconcile, desk.turn, desk.base, desk.home, scripted_count=False)
    await strict.look(desk.out)
    assert desk.answered(12, 4) == Votes(0.0, 1)


async def test_a_milestone_that_vllm_refuses_is_not_waited_for(desk: Desk) -> None:
    async def refuse(name: str, path: str) -> None:
        raise VllmError(400, f"{name} has rank 64, at most 16")

    desk.vllm.load = refuse  # type: ignore[method-assign]
    desk.ask(12, 4)
    await desk.look()
    patient = Asking(desk.out, 60.0, sleep=lambda seconds: pytest.fail("it waits"))
    assert patient(12, str(desk.out / "milestones" / "step-12"), 4) == Votes()
    assert desk.shown() == []


async def test_while_vllm_is_away_the_stage_waits_and_is_answered_when_it_is_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOAD_TIMEOUT_S", 0.0)
    desk.vllm.down = True
    desk.ask(12, 4)
    await desk.look()
    assert desk.shown() == []
    desk.vllm.down = False
    await desk.look()
    assert len(desk.shown()) == 1


async def test_an_error_is_no_end_and_being_cancelled_lets_the_milestone_go(desk: Desk) -> None:
    folder_of(desk.out).mkdir(parents=True)
    Asking(desk.out, 0.0)(12, str(desk.out / "gone"), 4)
    desk.watching.poll_s = 0.01
    following = asyncio.create_task(desk.watching.follow(desk.out))
    await asyncio.sleep(0.1)
    desk.ask(12, 4)
    async with asyncio.timeout(10):
        while not desk.shown():  # noqa: ASYNC110  # a row in the database has no event to wait for
            await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert desk.shown() == []
    assert not folder_of(desk.out).exists(), "the stage's process is gone"


async def test_the_milestone_of_a_worker_that_died_is_not_shown_after_the_round(desk: Desk) -> None:
    desk.ask(12, 4)
    await desk.look()
    desk.store.rounds.update(desk.turn.id or 0, status="cancelled")
    assert desk.shown() == []


async def test_a_milestone_is_never_served(desk: Desk) -> None:
    desk.ask(12, 4)
    await desk.look()
    (milestone,) = desk.shown()
    assert [version.name for version in desk.store.versions.listing()] == ["base"]
    with pytest.raises(Conflict, match=r"milestone of round 1.*version list"):
        promote(desk.store, milestone.name, None, "why not")
    with pytest.raises(Conflict, match="never served"):
        desk.store.versions.publish(milestone.name, "operator")


def test_a_watch_without_milestones_is_refused_before_the_round(sqlite_store: Store) -> None:
    with pytest.raises(UsageError, match=r"watch needs milestones.*milestones=0.5"):
        start_round(sqlite_store, "ppo", settings={"watch": 100})
    with pytest.raises(UsageError, match="watch needs milestones"):
        start_round(sqlite_store, "ppo", settings={"ppo.watch": 100})
    assert start_round(sqlite_store, "ppo", settings=WATCH).status == "queued"


def test_a_watch_while_vllm_is_stopped_is_refused_with_the_way_out() -> None:
    with pytest.raises(RoundFailed, match="ALIGNLOOP_TRAIN_ON=beside"):
        check_served(WATCH, "ppo", paused=True)
    check_served(WATCH, "ppo", paused=False)
    check_served({}, "ppo", paused=True)
    check_served({}, "dpo", paused=True)


# Whole rounds: a real worker and a real child; vLLM and the training are fakes


@pytest.fixture
def make(live_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """Makes a bench with settings."""
    monkeypatch.setattr(watching, "POLL_S", 0.05)
    return lambda **settings: Bench(live_store, tmp_path / "home", **settings)


async def people_vote(bench: Bench, person: Person, outcomes: dict[int, list[str]]) -> list[str]:
    """Vote on each milestone that is shown, as often as there are outcomes for its step; what each round says."""
    said, done = [], 0
    while done < sum(map(len, outcomes.values())):
        await bench.until(lambda: bench.store.versions.watched() and report_of(bench)["waiting"])
        (milestone,) = bench.store.versions.watched()
        said.append(report_of(bench)["waiting"])
        step = int(milestone.name.split("-")[2])
        for outcome in outcomes[step]:
            vote(bench.store, person, milestone.name, outcome)
            done += 1
        await bench.until(lambda name=milestone.name: name not in [each.name for each in shown(bench)])  # type: ignore[misc]
    return said


def shown(bench: Bench) -> list[Version]:
    return bench.store.versions.watched()


def report_of(bench: Bench) -> dict[str, Any]:
    return round_report(bench.store, bench.store.rounds.listing()[0])


async def turned(bench: Bench, outcomes: dict[int, list[str]]) -> tuple[Round, list[str]]:
    await bench.begin()
    start_round(bench.store, "ppo", settings=WATCH)
    ann = bench.store.people.by_name("ann")
    assert ann is not None
    turning = asyncio.create_task(bench.worker.run_next_round())
    said = await people_vote(bench, ann, outcomes)
    turn = await asyncio.wait_for(turning, 60)
    assert turn is not None
    return turn, said


async def test_a_round_asks_people_on_the_way_and_keeps_what_they_said(make: Callable[..., Bench]) -> None:
    bench = make(mode="asks")
    turn, said = await turned(bench, {2: ["win", "tie"], 4: ["win", "win"]})
    assert turn.status == "held", turn.reasons
    assert said == ["step 2: 0 of 2 blind judgements", "step 4: 0 of 2 blind judgements"]
    report = report_of(bench)
    assert report["waiting"] == ""
    assert "On the way" in evidence(SimpleNamespace(rounds=[turn]), None, {})  # type: ignore[arg-type]
    seen = report["evaluation"]["training"]["watch"]["milestones"]
    assert [(each["step"], each["wins"], each["judged"]) for each in seen] == [(2, 1.5, 2), (4, 2.0, 2)]
    assert said_of(report["evaluation"]["training"]["watch"])[-1].endswith("2 of 2 blind judgements for it, handed on")
    assert turn.reasons[0] == "It needs 8 more blind votes between policy-0001 and base.", "those votes decide nothing"
    assert bench.store.judgements.votes("policy-0001") == []
    assert [version.name for version in bench.store.versions.listing()] == ["base", "policy-0001"]
    attempt = next(iter((bench.home / "rounds" / "0001").glob("ppo-1")))
    assert not folder_of(attempt).exists()


async def test_a_stage_killed_while_people_are_asked_keeps_their_votes_and_asks_for_the_rest(
    make: Callable[..., Bench],
) -> None:
    bench = make(mode="asks-falls")
    await bench.begin()
    turn_id = start_round(bench.store, "ppo", settings=WATCH).id
    ann = bench.store.people.by_name("ann")
    assert ann is not None
    turning = asyncio.create_task(bench.worker.run_next_round())
    await bench.until(lambda: shown(bench))
    (first,) = shown(bench)
    vote(bench.store, ann, first.name, "win")
    await bench.until(lambda: (bench.home / "rounds" / "0001" / "ppo-2" / "spec.json").exists())
    await bench.until(lambda: "1 of 2" in report_of(bench)["waiting"])
    await bench.until(lambda: shown(bench))
    assert [version.name for version in shown(bench)] == [first.name]
    vote(bench.store, ann, first.name, "loss")
    await people_vote(bench, ann, {2: [], 4: ["win", "win"]})
    turn = await asyncio.wait_for(turning, 60)
    assert turn is not None
    assert (turn.id, turn.status) == (turn_id, "held"), turn.reasons
    seen = turn.evaluation["training"]["watch"]["milestones"]
    assert [(each["wins"], each["judged"]) for each in seen] == [(1.0, 2), (2.0, 2)]


def test_answers_are_written_only_while_they_are_asked_for(tmp_path: Path) -> None:
    answer(tmp_path / "out", Asked(1, "a", 4), Votes(1.0, 1))
    assert asked(tmp_path / "out") is None
    assert list(tmp_path.iterdir()) == []
