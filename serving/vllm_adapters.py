"""Requests with and without an adapter in one batch of vLLM's CPU build.

In a batch that mixes requests with and without an adapter, a row without one carries the adapter index −1.
vLLM's GPU kernels pass such rows by. Its CPU functions use the index as it is, and in PyTorch −1 is the last
slot: as soon as `--max-loras` adapters have been loaded, ever, whoever asks for the base in company gets the
answers of the adapter in the last slot (seen in 0.32.0: in blind votes the incumbent spoke like a challenger).
Here such rows get nothing from any adapter.
"""

from __future__ import annotations

from typing import Any


def correct() -> None:
    """Put the corrected function in the place of vLLM's; safe to call again."""
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    if lora_ops.bgmv_shrink.__module__ == __name__:  # ours already
        return
    shrink = passing_by_base_rows(lora_ops.bgmv_shrink)
    for module in (lora_ops, torch_ops, punica_cpu):  # each holds the function under its own name
        module.bgmv_shrink = shrink


def passing_by_base_rows(shrink: Any) -> Any:
    """`shrink` with rows of a negative adapter index set to 0: the expansion that follows then adds nothing to them."""

    def wrapped(inputs: Any, weights: Any, output: Any, indices: Any, *rest: Any, **named: Any) -> None:
        shrink(inputs, weights, output, indices, *rest, **named)
        output.masked_fill_((indices < 0).unsqueeze(1), 0)

    return wrapped
