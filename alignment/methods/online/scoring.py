"""What the models say of a step's rollouts: everything that is needed before the first gradient.

Answers are handled in parts of similar length, so that little is padding, and only their own tokens pass
the language head. What may not be done here: gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from alignment.methods.online.model import OneBase, rectangle
from alignment.methods.online.rollouts import Rollout
from alignment.methods.shared_training.adapters import POLICY

PART = 64  # answers that go through a model at once, at most


@dataclass(frozen=True, slots=True)
class Scored:
    """B rollouts in tensors; (B, T) ones hold an answer's token t in column t, and 0 after its end.

    `old` and `reference` are log-probabilities of the drawn tokens, recomputed in training precision;
    `states` (B, T, H) what the value head reads before each token; `scores` (B,) the reward model's, raw.
    `gap` is the mean |old − the sampler's own| in nats per token, None when it gave none.
    """

    old: torch.Tensor
    reference: torch.Tensor
    mask: torch.Tensor
    states: torch.Tensor
    scores: torch.Tensor
    finished: torch.Tensor
    entropy: float
    gap: float | None


def by_length(rollouts: Sequence[Rollout], rows: Sequence[int], part: int) -> list[list[int]]:
    """Rows in parts of at most `part`, similar lengths together."""
    ordered = sorted(rows, key=lambda row: (len(rollouts[row].prompt) + len(rollouts[row].answer), row))
    return [ordered[start : start + part] for start in range(0, len(ordered), part)]


def batch_of(model: OneBase, rollouts: Sequence[Rollout], rows: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """(ids, mask, answer) of some rollouts; see `rectangle`."""
    chosen = [rollouts[row] for row in rows]
    return rectangle([[*r.prompt, *r.answer] for r in chosen], [len(r.prompt) for r in chosen], model.pad, model.device)


def score(model: OneBase, rollouts: Sequence[Rollout], part: int = PART) -> Scored:
    """Ask the policy, the reference and the reward model about every rollout, `part` answers at once."""
    count, longest = len(rollouts), max(len(r.answer) for r in rollouts)
    lengths = torch.tensor([len(r.answer) for r in rollouts], device=model.device)
    mask = torch.arange(longest, device=model.device) < lengths[:, None]
    old = torch.zeros(count, longest, device=model.device)
    reference = torch.zeros_like(old)
    scores = torch.zeros(count, device=model.device)
    states: torch.Tensor | None = None
    entropies, tokens = 0.0, 0
    for rows in by_length(rollouts, range(count), part):
        ids, attention, answer = batch_of(model, rollouts, rows)
        at = torch.tensor(rows, device=model.device)
        with model.frozen(POLICY):
            mine, entropy = model.token_logps(ids, attention, answer)
        with model.reference():
            theirs = model.answer_logps(ids, attention, answer)
        judged = model.judge(ids, attention, answer)
        scores[at] = judged.scores
        if states is None:
            states = torch.zeros(count, longest, judged.hidden[0].shape[-1], device=model.device)
        where = mask[at]
        old[at] = old[at].masked_scatter(where, mine)
        reference[at] = reference[at].masked_scatter(where, theirs)
        for row, hidden in zip(rows, judged.hidden, strict=True):
            states[row, : len(hidden)] = hidden.float()
        entropies += float(entropy.sum())
        tokens += len(entropy)
    assert states is not None
    finished = torch.tensor([r.finished for r in rollouts], device=model.device)
    gap = sampler_gap(old, [r.logged for r in rollouts])
    return Scored(old, reference, mask, states, scores, finished, entropies / max(1, tokens), gap)


def sampler_gap(old: torch.Tensor, logged: Sequence[Sequence[float]]) -> float | None:
    """The mean |old − the sampler's own| in nats per token; None when it gave none. `old` is (B, T), padded."""
    told = [(row, theirs) for row, theirs in enumerate(logged) if theirs]
    if not told:
        return None
    differences = [
        (old[row, : len(theirs)] - torch.tensor(theirs, device=old.device)).abs().sum() for row, theirs in told
    ]
    return float(torch.stack(differences).sum()) / sum(len(theirs) for _, theirs in told)
