"""KL to the incumbent, from two scorings of the same fresh answers.

Who scores is injected, as with `Sampler`: vLLM over HTTP, which has both versions loaded anyway, or a model
in this process (`local_model`). What may not be done here: importing torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from alignment.evaluation.evaluate import LogRatio, Prompt
from alignment.evaluation.guards import mean_kl
from alignment.stage.sampler import Sample


class AnswerScorer(Protocol):
    """Anything that knows how likely a version finds an answer."""

    def score(self, version: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> Sequence[Sequence[float]]:
        """Per sample, the natural-log probability of each of its tokens after its prompt, at temperature 1."""
        ...


def kl_by(scorer: AnswerScorer) -> LogRatio:
    """A KL estimate that asks `scorer` for both versions.

    The same tokens are scored in the same way twice, so that rounding mostly cancels; the log-probabilities
    that came with the samples were computed token by token, which rounds otherwise.
    """

    def kl(challenger: str, incumbent: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> float:
        after = scorer.score(challenger, prompts, samples)
        before = scorer.score(incumbent, prompts, samples)
        return mean_kl([sum(logps) for logps in after], [sum(logps) for logps in before])

    return kl
