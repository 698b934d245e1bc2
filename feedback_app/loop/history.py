"""The loop over its rounds: what each version gained by people's votes, and what it paid for that.

Paid: capability and held-out language-model loss against the base (the alignment tax), distance (KL), and how its
answers look. Beside the votes stands what a reward model that a round trained on thought it gained: while that
proxy rises and the votes do not, the round over-optimises (Gao et al. 2022, arXiv:2210.10760, who plot both over
√KL, as the operator's page does). Numbers as they were kept; nothing is measured or judged here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from alignment.records import PairedLossRecord, StageMetrics
from feedback_app.domain.reports import Evaluation, Points, Proxy, RoundFigures, VoteFigures
from feedback_app.domain.rounds import VOTED
from feedback_app.domain.votes import Tally, tally
from feedback_app.loop.start_version import start_of
from feedback_app.store.database import Store
from feedback_app.store.tables import Round

LAST = 24  # rounds that the page draws


def over_rounds(store: Store, *, needed: int, scripted_count: bool, last: int = LAST) -> list[RoundFigures]:
    """`figures` of the newest rounds whose version was evaluated, oldest first; votes also while they come in."""
    found: list[RoundFigures] = []
    for round_ in store.rounds.listing():
        known = figures(round_)
        if known is None or len(found) == last:
            continue
        if known["votes"] is None and round_.version and round_.status in VOTED:
            counted = tally(store.judgements.votes(round_.version), needed, scripted_count=scripted_count)
            known["votes"] = _votes(counted)
        found.append(known)
    return found[::-1]


def figures(round_: Round) -> RoundFigures | None:
    """One round's numbers; None where no version of it was evaluated, and None for each that was not measured.

    `capability`: shares right and `lost` points against base and incumbent, each with its one-sided 95 % bound.
    `language`: nats per token of version and base on held-out texts. `kl`: nats per answer `to_incumbent` and
    `to_base`. `distance`: √KL to the version that training started from. `votes`: blind ones against the
    incumbent, `win_rate` with ties as half and Wilson's interval. `proxy`: mean reward by the round's reward model
    before and after, as the stage reports it. `answers`: words, and shares that repeat, refuse or do not end.
    """
    evaluation = cast(Evaluation, round_.evaluation or {})
    capability = evaluation.get("capability")
    if round_.version is None or not capability:
        return None
    started, after = evaluation.get("started_from"), evaluation.get("after") or {}
    votes = evaluation.get("votes")
    return {
        "round": round_.id,
        "version": round_.version,
        "method": round_.method,
        "status": round_.status,
        "incumbent": round_.incumbent,
        "start_from": start_of(round_.settings),
        "started_from": started["version"] if started else None,
        "capability": {
            "n": capability["n"],
            "share": capability["challenger"],
            "base": capability["base"],
            "incumbent": capability["incumbent"],
            "lost_to_base": _loss(capability["vs_base"]),
            "lost_to_incumbent": _loss(capability["vs_incumbent"]),
        },
        "language": evaluation.get("language"),
        "kl": {"to_incumbent": evaluation.get("kl"), "to_base": evaluation.get("kl_base")},
        "distance": _distance(evaluation, round_),
        "votes": None if votes is None else _votes(Tally(votes["wins"], votes["losses"], votes["ties"])),
        "proxy": _proxy(evaluation.get("chain") or {}),
        "answers": {
            "words": after.get("words"),
            "repetition": after.get("repetition"),
            "refusals": after.get("refusals"),
            "endless": after.get("endless"),
        },
        "length_ratio": evaluation.get("length_ratio"),
    }


def _loss(paired: PairedLossRecord) -> Points:
    return {"points": paired["points"], "upper": paired["upper"]}


def _distance(evaluation: Evaluation, round_: Round) -> float | None:
    started = evaluation.get("started_from")
    from_incumbent = started is None or started["version"] == round_.incumbent
    kl = evaluation.get("kl") if from_incumbent else evaluation.get("kl_base")
    return None if kl is None else math.sqrt(max(0.0, float(kl)))  # the estimate may be a little below zero


def _votes(counted: Tally) -> VoteFigures | None:
    if not counted.n:
        return None
    return {
        "n": counted.n,
        "wins": counted.wins,
        "losses": counted.losses,
        "ties": counted.ties,
        "win_rate": counted.win_rate,
        "interval": list(counted.interval),
    }


def _proxy(chain: Mapping[str, StageMetrics]) -> Proxy | None:
    for made in reversed(list(chain.values())):
        first, last = made.get("first") or {}, made.get("last") or {}
        if "reward" in first and "reward" in last:
            before, after = float(first["reward"]), float(last["reward"])
            return {"before": before, "after": after, "gain": after - before}
    return None
