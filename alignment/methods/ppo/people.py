"""The watch that a setting asks for: people judge milestones, over the files of `alignment.stage.people_channel`."""

from __future__ import annotations

from collections.abc import Callable

from alignment.methods.ppo.overoptimization import Milestone, Watch
from alignment.methods.ppo.settings import PpoSettings
from alignment.stage.people_channel import PeopleChannel, VoteRequest, Votes
from alignment.stage.spec import StageSpec

Waiting = Callable[[str], None]
"""Hears in words what the run waits for, whenever that changes; empty when it goes on."""


def watched_by_people(spec: StageSpec, settings: PpoSettings, waiting: Waiting) -> Watch | None:
    """A watch over `settings.watch` blind judgements; None when the setting is 0."""
    if not settings.watch:
        return None

    def tell(question: VoteRequest, votes: Votes) -> None:
        all_votes = watch.spent - milestone_of(question).judged + votes.judged
        waiting(
            f"step {question.step}: {votes.judged} of {question.judgements} blind judgements, "
            f"{all_votes} of at most {watch.budget} in all"
        )

    def milestone_of(question: VoteRequest) -> Milestone:
        return next(each for each in watch.milestones if each.step == question.step)

    asking = PeopleChannel(spec.out, 60.0 * settings.patience_minutes, tell)

    def judge(milestone: Milestone, judgements: int) -> Votes:
        return asking(milestone.step, milestone.adapter, judgements)

    def done() -> None:
        asking.withdraw()
        waiting("")

    asking.withdraw()  # what an attempt left that died
    watch = Watch(judge, budget=settings.watch, done=done)
    return watch
