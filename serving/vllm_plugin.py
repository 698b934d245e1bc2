"""The corrections that vLLM's CPU build needs, loaded by vLLM itself in each of its processes.

Each stands in a file of its own, which says what goes wrong without it:

    vllm_lora_by_adapter    adapters without a copy for every row, and whoever asks for the base is not answered
                            through another request's adapter
    vllm_seeds              a seeded prompt that is read in several steps does not end the engine

What may not be done here: anything that is not about such a fault.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from serving import vllm_seeds

GROUP, NAME = "vllm.general_plugins", "alignloop"
THEIRS = "vllm.lora.punica_wrapper.punica_cpu.PunicaWrapperCPU"
OURS = "serving.vllm_lora_by_adapter.PunicaWrapperByAdapter"
"""Both by name: vLLM imports the one that it is told of in the process that computes, and in no other."""


def register() -> None:
    """Called by vLLM through the entry point; safe to call again."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        take_rows_by_adapter(type(current_platform))
        vllm_seeds.correct()


def take_rows_by_adapter(platform: Any) -> None:
    """Have this platform name our wrapper where it named vLLM's for CPUs; another one is left as it is."""
    if platform.get_punica_wrapper() == THEIRS:
        platform.get_punica_wrapper = classmethod(lambda cls: OURS)


def is_installed() -> bool:
    """Whether vLLM will find this."""
    return any(point.name == NAME for point in entry_points(group=GROUP))
