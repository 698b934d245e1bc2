"""How many answers run at once: settings first, else a written rule.

On CPU with a vLLM of our own: 32 answers a core, at most 128, vLLM's own default there. Tokens per second no longer
grow from about 8 a core on (measured with the embedded model); more than that only shares them out more finely,
so that a request for the largest n is a quarter of two cores' places and not all of them. On a GPU, and where vLLM
runs elsewhere: 256, the least of vLLM's defaults on GPUs. `--max-num-seqs` in ALIGNLOOP_VLLM_ARGS bounds both,
because more would wait inside vLLM.

How many tokens the KV cache of our own vLLM on CPU holds is in `serving.plan`; elsewhere vLLM sizes it to the memory
that is left, which is not known here, and only answers are counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from feedback_app.settings import Settings

PER_CORE = 32
CPU_MOST = 128
GPU_MOST = 256


def answers_at_once(settings: Settings, cores: int | None) -> int:
    """Answers that run at once. `cores` are those of our own vLLM on CPU; None on a GPU and elsewhere."""
    if settings.answers_at_once is not None:
        return settings.answers_at_once
    most = GPU_MOST if cores is None else min(CPU_MOST, PER_CORE * cores)
    asked = re.search(r"--max-num-seqs[= ]+(\d+)", settings.vllm_args)
    return max(1, min(most, int(asked[1]))) if asked else most
