"""One card a method: everything that commands, pages, rounds and documentation know about it.

A card imports no training library: the function that trains is named and imported only when it runs, because
those libraries take seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alignment.stage.spec import Setting

Lacking = Callable[[Mapping[str, Any], Mapping[str, Setting]], str | None]
"""What a compiled dataset's counts lack for a stage with these settings, in a sentence; None when it can train."""

COMMON = ("step", "steps", "loss", "seconds_left")
PREFERENCES = ("margin", "accuracy")
ANSWERS = ("reward", "kl", "entropy", "length")


@dataclass(frozen=True, slots=True)
class Card:
    """A stage, and with `chain` a method that a round may name.

    `title` is its name as people read it, `learns_from` says in words what it needs; `train` is `module:function`,
    called with a spec and a listener for progress; `settings` is its settings' class. `chain` are the stages of a
    round by this method, the last one its own; empty for what is a stage only. `live` is what every progress record
    after the one of step 0 holds, beside what only this method knows: `margin` and `accuracy` are those of rewards
    within a preference, `reward` is in spreads of the starting model's (in the reward stage itself raw), `kl` to the
    reference in nats per answer, `entropy` in nats per token, `length` in tokens.
    `samples` says that it samples answers while it trains, `needs_model` that it starts from one, `continues` that
    it may go on from an adapter, `lacking` looks at a compiled dataset's counts before anything starts,
    `asks_address` that it may ask a model at an address, whose key its function is handed as `key`.
    """

    name: str
    title: str
    learns_from: str
    train: str
    settings: type[Any]
    live: tuple[str, ...] = COMMON
    chain: tuple[str, ...] = ()
    samples: bool = False
    needs_model: bool = True
    continues: bool = True
    lacking: Lacking | None = None
    asks_address: bool = False

    @property
    def needs_reward(self) -> bool:
        """Whether it learns from a reward model, made by the stage before it."""
        return "reward" in self.chain
