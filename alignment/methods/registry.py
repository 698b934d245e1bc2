"""Every method and stage there is, one card each. Adding one touches its folder and one line here.

What may not be done here: knowing anything about a method that does not stand on its card.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from alignment.dataset.counts import Counts
from alignment.errors import StageError
from alignment.methods.card import Card
from alignment.methods.constitution.card import CONSTITUTION
from alignment.methods.dpo.card import DPO
from alignment.methods.grpo.card import GRPO
from alignment.methods.kto.card import KTO
from alignment.methods.online_dpo.card import ONLINE_DPO
from alignment.methods.ppo.card import PPO
from alignment.methods.pretrain.card import PRETRAIN
from alignment.methods.reward.card import REWARD
from alignment.methods.rloo.card import RLOO
from alignment.methods.sft.card import SFT
from alignment.stage import runner
from alignment.stage.artifact import Manifest
from alignment.stage.runner import Outside, Train
from alignment.stage.spec import Progress, Setting, StageSpec

CARDS: Mapping[str, Card] = MappingProxyType(
    {card.name: card for card in (PRETRAIN, SFT, DPO, KTO, REWARD, PPO, RLOO, GRPO, ONLINE_DPO, CONSTITUTION)}
)
"""By name, in the order in which documentation lists them."""

METHODS = tuple(card.name for card in CARDS.values() if card.chain)
"""What a round may name; the first is the default."""


def card_of(stage: str) -> Card:
    """The card of a stage. Raises `StageError` naming the stages that exist."""
    if stage not in CARDS:
        raise StageError(f"There is no stage called {stage!r}; the stages are {', '.join(CARDS)}.")
    return CARDS[stage]


def chain_of(method: str) -> tuple[str, ...]:
    """The stages of a method that a round may name."""
    return CARDS[method].chain


def stage_settings(settings: Mapping[str, Setting], method: str, stage: str) -> dict[str, Setting]:
    """The part of a round's settings that is for one stage of its chain.

    `reward.epochs` is for the stage called reward; a name without a stage is for the chain's last one.
    Raises `StageError` naming a stage that is not in the chain.
    """
    chain = chain_of(method)
    own: dict[str, Setting] = {}
    for name, value in settings.items():
        target, dot, rest = name.partition(".")
        if dot and target not in chain:
            raise StageError(f"{method} has no stage {target}, so nothing can be set in it; it has {', '.join(chain)}.")
        if (target if dot else chain[-1]) == stage:
            own[rest if dot else name] = value
    return own


def lacking(method: str, counts: Counts, settings: Mapping[str, Setting]) -> str | None:
    """What is missing for a round by this method, in a sentence; None when its first stage can train.

    `counts` are a compiled dataset's, `settings` the round's. The stages refuse by themselves too, as they also run
    alone; here the sentence is for people who collect, before anything starts.
    """
    first = chain_of(method)[0]
    look = CARDS[first].lacking
    return look(counts, stage_settings(settings, method, first)) if look else None


def stage_function(stage: str) -> Train:
    """The function that trains. Raises `StageError` naming the stages that exist."""
    module, function = card_of(stage).train.split(":")
    found: Train = getattr(importlib.import_module(module), function)
    return found


def run_stage(
    spec: StageSpec, progress: Progress | None = None, *, outside: Outside | None = None, key: str = ""
) -> Manifest:
    """Run the stage that the spec names: `runner.run_stage` with its function.

    `key` is for the address that a stage may ask; a spec, which is written down, never holds one.
    """
    run = stage_function(spec.stage)
    if card_of(spec.stage).asks_address:
        run = partial(run, key=key)
    return runner.run_stage(run, spec, progress, outside=outside)
