"""Suites put to several versions, a part at a time, as many items as a time allows.

Every part is put to all versions before the next, so that at any moment the same items were asked of all of them; and
the suites take turns. What is known of a version is not asked again. Nothing here decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field

from alignment.dataset.judgement import Message
from alignment.evaluation.suites.choosing import Choosing, Continued, choose
from alignment.evaluation.suites.items import Asked, Choice, Item, Suite
from alignment.stage.sampler import Sampling

PART = 32  # items between two looks at the clock

Rights = dict[str, bool | None]
"""Whether a version answered an item right, by the item's id; None where it cannot be asked of this model."""

Step = Callable[[int, int, float], None]
"""Hears answers that are there, answers that there will be at most, and the seconds left."""


@dataclass
class Answered:
    """What is known of one suite: rights by version, and the tokens of its choices."""

    rights: dict[str, Rights] = field(default_factory=dict)
    tokens: dict[str, Continued | None] = field(default_factory=dict)

    def of_all(self, items: Sequence[Item], versions: Sequence[str]) -> list[Item]:
        """The items that every version answered, right or wrong."""
        return [item for item in items if all(self.rights.get(v, {}).get(item.id) is not None for v in versions)]


def ask_items(
    sampler: Choosing,
    version: str,
    items: Sequence[Item],
    tokens: MutableMapping[str, Continued | None],
    max_tokens: int,
) -> Rights:
    """Whether a version answers these items right: choices by log-probability, others greedily.

    A sampler that gives no sample for a prompt, or no log-probability for a token, cannot ask that item. Raises what
    the sampler raises.
    """
    choices = [item for item in items if isinstance(item, Choice)]
    asked = [item for item in items if isinstance(item, Asked)]
    found: Rights = {}
    if choices:
        rights = choose(sampler, version, choices, tokens)
        found |= {item.id: right for item, right in zip(choices, rights, strict=True)}
    if asked:
        prompts = [(Message("user", item.prompt),) for item in asked]
        answers = sampler.sample(version, prompts, Sampling(0.0, max_tokens, seed=0))
        found |= {
            item.id: item.check.holds(samples[0].text) if samples else None
            for item, samples in zip(asked, answers, strict=True)
        }
    return found


def ask_suites(
    sampler: Choosing,
    versions: Sequence[str],
    suites: Sequence[Suite],
    known: Mapping[str, Answered],
    *,
    max_tokens: int,
    seconds: float,
    step: Step = lambda done, of, left: None,
    keep: Callable[[str, Answered], None] = lambda name, answered: None,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask until everything is answered or the time would be exceeded, and at least one part of every suite.

    What is found goes into `known`, which has an entry for every suite's name, and `keep` hears of it after each part.
    The pace of a suite is that of its parts so far. Raises what the sampler raises; what was found until then is kept.
    """
    began = clock()
    waiting = {suite.name: [suite.items[at : at + PART] for at in range(0, len(suite.items), PART)] for suite in suites}
    paces: dict[str, tuple[float, int]] = {}  # seconds, answers
    while any(waiting.values()):
        for suite in suites:
            if not waiting[suite.name]:
                continue
            part, answered = waiting[suite.name].pop(0), known[suite.name]
            missing = {name: _missing(answered, name, part) for name in versions}
            count = sum(map(len, missing.values()))
            if not count:
                continue
            took, answers = paces.get(suite.name, (0.0, 0))
            if answers and clock() - began + count * took / answers > seconds:
                waiting[suite.name] = []
                _say(suites, versions, known, waiting, paces, seconds - (clock() - began), step)
                continue
            started = clock()
            for name in versions:
                if missing[name]:
                    rights = ask_items(sampler, name, missing[name], answered.tokens, max_tokens)
                    answered.rights.setdefault(name, {}).update(rights)
            paces[suite.name] = (took + clock() - started, answers + count)
            keep(suite.name, answered)
            _say(suites, versions, known, waiting, paces, seconds - (clock() - began), step)


def _missing(answered: Answered, version: str, part: Sequence[Item]) -> list[Item]:
    return [item for item in part if item.id not in answered.rights.get(version, {})]


def _say(
    suites: Sequence[Suite],
    versions: Sequence[str],
    known: Mapping[str, Answered],
    waiting: Mapping[str, Sequence[Sequence[Item]]],
    paces: Mapping[str, tuple[float, int]],
    left: float,
    step: Step,
) -> None:
    """What is done, what is still to come, and how long that takes: by the paces so far, at most the time left."""
    done = sum(
        len(suite.items) - len(_missing(known[suite.name], name, suite.items)) for suite in suites for name in versions
    )
    still, cost = 0, 0.0
    for suite in suites:
        more = sum(len(_missing(known[suite.name], name, part)) for part in waiting[suite.name] for name in versions)
        took, answers = paces.get(suite.name, (0.0, 0))
        still += more
        cost += more * took / answers if answers else 0.0
    step(done, done + still, max(0.0, min(cost, left)))
