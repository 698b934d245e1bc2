"""The corrections that vLLM's CPU build needs, loaded by vLLM itself in each of its processes.

Each stands in a file of its own, which says what goes wrong without it:

    vllm_adapters    whoever asks for the base is not answered through another request's adapter
    vllm_seeds       a seeded prompt that is read in several steps does not end the engine

What may not be done here: anything that is not about such a fault.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from serving import vllm_adapters, vllm_seeds

GROUP, NAME = "vllm.general_plugins", "alignloop"


def register() -> None:
    """Called by vLLM through the entry point; safe to call again."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        vllm_adapters.correct()
        vllm_seeds.correct()


def is_installed() -> bool:
    """Whether vLLM will find this."""
    return any(point.name == NAME for point in entry_points(group=GROUP))
