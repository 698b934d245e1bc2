"""`python -m feedback_app.loop.stage_with_vllm SPEC.json`: `alignment.run` for a stage whose rollouts come from vLLM.

Training and serving know nothing of each other, so here, in the stage's own process, the one is handed the other.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from alignment.dataset.judgement import Message
from alignment.run import main
from alignment.stage.sampler import Sample, Sampling
from alignment.stage.spec import StageSpec
from serving.errors import ServingError
from serving.rollouts import VllmRollouts


class VllmOutside:
    """vLLM as the `Elsewhere` of a stage; what vLLM refuses is a `ConnectionError` too."""

    def __init__(self, spec: StageSpec) -> None:
        self._rollouts = VllmRollouts(str(spec.settings.get("vllm_url", "")), spec.out)

    def publish(self, adapter: Path, step: int) -> str:
        """See `VllmRollouts`."""
        try:
            return self._rollouts.publish(adapter, step)
        except ServingError as error:
            raise ConnectionError(str(error)) from error

    def sample(self, version: str, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[list[Sample]]:
        """See `VllmRollouts`."""
        try:
            found = self._rollouts.sample(version, prompts, sampling)
        except ServingError as error:
            raise ConnectionError(str(error)) from error
        return [[Sample(one.text, one.finish_reason, one.tokens, one.logprobs) for one in samples] for samples in found]

    def close(self) -> None:
        """See `VllmRollouts`. A vLLM that is away has forgotten by itself, and the training is done."""
        with contextlib.suppress(ServingError):
            self._rollouts.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], outside=VllmOutside))
