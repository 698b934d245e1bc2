"""What one verdict is worth: a mark, and a preference in pair weight and in reward margin.

Weight says how much a row counts in the loss: 1 is one clear opinion about two answers. Margin says how
far apart the two rewards should lie (Touvron et al. 2023, "Llama 2", section 3.2.2 uses such a margin);
the reward model reads it, and DPO only where its setting `margin` says so.
"""

from __future__ import annotations

from alignment.dataset.judgement import Judgement, Mark, Strength

CLEAR_WEIGHT, SLIGHT_WEIGHT, BOTH_BAD_WEIGHT = 1.0, 0.5, 0.5
MARK_WEIGHT = 1.0  # of a like or a dislike; reliability, age and caps come after it (`shares`, `drafted_context`)
CLEAR_MARGIN, SLIGHT_MARGIN = 1.0, 1.0 / 3.0


def verdict_weight(judgement: Judgement) -> float:
    """1 for a clear (or unqualified) preference, ½ for a slight one, ½ at most where every answer is bad."""
    weight = SLIGHT_WEIGHT if judgement.strength is Strength.SLIGHTLY else CLEAR_WEIGHT
    all_bad = all(candidate.mark is Mark.BAD for candidate in judgement.candidates)
    return min(weight, BOTH_BAD_WEIGHT) if all_bad else weight


def verdict_margin(judgement: Judgement) -> float:
    """1 for a clear (or unqualified) preference, ⅓ for a slight one."""
    return SLIGHT_MARGIN if judgement.strength is Strength.SLIGHTLY else CLEAR_MARGIN
