"""KL to another version, from fresh answers of the challenger.

The challenger's log-probabilities are those that came with its answers; the other version scores the same tokens.
Scoring them under both would cancel what rounding differs between sampling token by token and scoring at once, for
twice the requests. Measured with vLLM on 200 answers of 25 tokens of the embedded model with a small adapter: an
answer's two log-probabilities differ by −0.0002 nats in the mean (standard deviation 0.003, 0.04 at most), so the
estimates are 0.0139 and 0.0141, each ± 0.006 by the choice of answers; scoring the challenger too took 7 s more. In
PyTorch with bfloat16 the difference is 0.006 and −0.0015 for two policies, each ± 0.0026 (standard deviation 0.036).
The gate's limits are in whole nats.

Who scores is injected, as with `Sampler`: vLLM over HTTP, or a model in this process (`local_sampler`). What may not
be done here: importing torch.
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
    """A KL estimate that asks `scorer` for the other version; for the challenger too where samples came without."""

    def kl(challenger: str, other: str, prompts: Sequence[Prompt], samples: Sequence[Sample]) -> float:
        theirs = scorer.score(other, prompts, samples)
        ours: Sequence[Sequence[float]] = [sample.logprobs for sample in samples]
        if any(sample.tokens and not sample.logprobs for sample in samples):
            ours = scorer.score(challenger, prompts, samples)
        return mean_kl([sum(logps) for logps in ours], [sum(logps) for logps in theirs])

    return kl
