"""Adapters in vLLM's CPU build, with each adapter's rows taken together.

What vLLM does (0.32.0, `vllm.lora.ops.torch_ops`): for every row of a batch it copies that row's whole adapter out of
the stack of adapters (`weights[indices]`, converted to float32 for A) and multiplies each copy with its one row. A
prompt of 512 tokens is 512 copies of the same two matrices in every module, and an answer of a single stream still
pays a copy for each. GPUs have kernels that never copy; the CPU build has this.

What is done here: once a step, when vLLM says which row belongs to which adapter (`update_metadata`), the rows are
grouped by adapter. A module then needs two ordinary matrix products for each adapter in the batch (for each slice of a
packed module), on the adapter's weights where they lie:

    y[rows] += x[rows] @ A[slot].T @ B[slot].T · scale

The numbers are vLLM's up to rounding.

It also settles what index −1 means, a row without an adapter. The gather reads it as PyTorch does, as the last slot:
once `--max-loras` adapters have ever been loaded, whoever asks for the base in company of requests for adapters gets
the answers of the adapter in the last slot. Here such a row belongs to no group and is left alone.

The class takes the place of `vllm.lora.punica_wrapper.punica_cpu.PunicaWrapperCPU` and keeps to its interface, so that
it could stand in vLLM as it is; `serving.vllm_plugin` has vLLM make this one. How much it is worth:
`python -m tests.bench.serving` and `tests.bench.adapters`, and the tables in docs/results.md.

What is not done here: adapters that differ in kind (DoRA, trained biases), which vLLM does not take either.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

Rows = slice | torch.Tensor
"""Rows of one adapter: a slice where they follow each other (then nothing is copied), else their numbers."""

ALL = slice(None)

FEW = 32
"""Up to so many rows, half precision is computed in float32, converted on the way: oneDNN's products in bfloat16 cost
about 30 µs each before they begin (measured with AVX-512 and AMX), several times what such a product takes."""

Group = tuple[int, Rows]
"""The slot of an adapter in the stacked weights, and its rows."""


class PunicaWrapperByAdapter(PunicaWrapperCPU):  # type: ignore[misc]
    """What every layer with adapters asks for, in vLLM's CPU worker.

    Shapes: T rows of tokens, S rows that are sampled, K inputs, N outputs, r the largest rank.
    x: (T, K) or (…, K); y: (T, N) or (…, N), changed in place; A: (slots, 1, r, K); B: (slots, 1, N, r).
    """

    def __init__(self, max_num_batched_tokens: int, max_batches: int, device: torch.device | str, **kwargs: Any):
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self._token_groups: list[Group] = []
        self._sampled_groups: list[Group] = []

    def update_metadata(self, mapping: Any, lora_index_to_id: Any, max_loras: int, vocab_size: int, **kwargs: Any):  # type: ignore[no-untyped-def]
        """Group this step's rows; called once a step, before the layers."""
        super().update_metadata(mapping, lora_index_to_id, max_loras, vocab_size, **kwargs)
        self._token_groups = grouped(self.token_lora_indices)
        self._sampled_groups = grouped(self.sampler_indices)

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        """`y[:, slice] += x @ A.T @ B.T · scale` for each slice of a linear layer. `buffer` is not needed."""
        if not self._token_groups:
            return
        x, y = flat(x), flat(y)
        for slot, rows in self._token_groups:
            taken = widened(x[rows])
            start = 0
            for a, b, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
                add_product(y, rows, start, shrunk(taken, a, slot), matrix(b, slot)[:width], scale)
                start += width

    def add_shrink(
        self,
        y: tuple[torch.Tensor, ...] | torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        scale: float,
        **kwargs: Any,
    ) -> None:
        """`y[i] = x @ A[i].T · scale`, 0 for rows without an adapter; y: (slices, T, r), or as many of (T, r).

        Asked for alone only where A and B are split over several workers.
        """
        x = flat(x)
        for i, a in enumerate(lora_a_stacked):
            out = flat(y[i])[:, : matrix(a, 0).shape[0]]
            out.zero_()
            for slot, rows in self._token_groups:
                out[rows] = (shrunk(x[rows], a, slot) * scale).to(out.dtype)

    def add_expand(
        self,
        y: torch.Tensor,
        x: tuple[torch.Tensor, ...] | torch.Tensor,
        lora_b_stacked: tuple[torch.Tensor, ...],
        output_slices: tuple[int, ...],
        offset_start: int = 0,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """`y[:, slice] += x[i] @ B[i].T`, beginning at column `offset_start`; x: (slices, T, r).

        With `add_inputs` false the slices are replaced: 0 for rows without an adapter.
        """
        y = flat(y)
        start = offset_start
        for i, (b, width) in enumerate(zip(lora_b_stacked, output_slices, strict=True)):
            if not add_inputs:
                y[:, start : start + width] = 0
            for slot, rows in self._token_groups:
                add_product(y, rows, start, flat(x[i])[rows], matrix(b, slot)[:width])
            start += width

    def add_lora_embedding(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """`y += x @ B.T` for an embedding, whose A was looked up by the layer; x: (T, r)."""
        self.add_expand(y, (x,), (lora_b_stacked,), (y.shape[-1],), add_inputs=add_inputs)

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        *,
        buffer: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """`y += x @ A.T @ B.T · scale` for the output head; x: (S, K), y: (S, vocabulary, padded or not).

        Raises `ValueError` where the rows are not those that are sampled and belong to several adapters: vLLM asks
        so for `prompt_logprobs`, without saying whose they are.
        """
        x, y = flat(x), flat(y)
        asked = self.sampler_indices.shape[0]
        for slot, rows in self._sampled_groups:
            if rows is not ALL and x.shape[0] != asked:
                raise ValueError(f"{x.shape[0]} rows of logits for {asked} requests of which some have adapters")
            add_product(y, rows, 0, shrunk(widened(x[rows]), lora_a_stacked, slot), matrix(lora_b_stacked, slot), scale)

    def apply_lora_full_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        weight_stacked: torch.Tensor,
        bias_stacked: torch.Tensor,
        module_enabled: torch.Tensor,
    ) -> None:
        """A head that an adapter brings whole, in place of the base's where the adapter has one; x: (S, K)."""
        full = torch.zeros((x.size(0), weight_stacked.size(-2)), dtype=torch.float32, device=x.device)
        for slot, rows in self._sampled_groups:
            full[rows] = shrunk(x[rows], weight_stacked, slot).to(full.dtype)
        y.copy_(self._select_full_linear_output(y, full, bias_stacked, module_enabled))


def grouped(indices: torch.Tensor) -> list[Group]:
    """The rows of each adapter, by slot; `indices` (rows,) holds slots, negative for rows without an adapter.

    Where all rows are one adapter's, they are `ALL`, so that a layer may bring more rows (padding).
    """
    slots = sorted(set(indices.tolist()))
    if len(slots) == 1:
        return [(slots[0], ALL)] if slots[0] >= 0 else []
    groups: list[Group] = []
    for slot in slots:
        if slot < 0:
            continue
        rows = (indices == slot).nonzero().squeeze(1)
        first, last = int(rows[0]), int(rows[-1])
        groups.append((slot, slice(first, last + 1) if last - first + 1 == len(rows) else rows))
    return groups


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """(…, columns) as (rows, columns), on the same memory."""
    return tensor.view(-1, tensor.shape[-1])


def matrix(stacked: torch.Tensor, slot: int) -> torch.Tensor:
    """One adapter's matrix of a stack (slots, 1, out, in) or (slots, out, in)."""
    return stacked[slot].view(stacked.shape[-2], stacked.shape[-1])


def widened(x: torch.Tensor) -> torch.Tensor:
    """A few rows in float32, many as they are (see `FEW`)."""
    return x.float() if x.shape[0] <= FEW else x


def shrunk(x: torch.Tensor, stacked: torch.Tensor, slot: int) -> torch.Tensor:
    """`x @ A.T`, (rows, r), in the wider of the two types."""
    return product(x, matrix(stacked, slot))


def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`x @ weight.T` in the wider of the two types."""
    if x.dtype != weight.dtype:
        wider = torch.promote_types(x.dtype, weight.dtype)
        x, weight = x.to(wider), weight.to(wider)
    return x @ weight.t()


def add_product(y: torch.Tensor, rows: Rows, start: int, x: torch.Tensor, b: torch.Tensor, scale: float = 1.0) -> None:
    """`y[rows, start : start + N] += x @ b.T · scale`; b: (N, r), cut where y has fewer columns."""
    width = min(b.shape[0], y.shape[1] - start)
    out, b = y[:, start : start + width], b[:width]
    if isinstance(rows, torch.Tensor):
        out[rows] = out[rows].add_(product(x, b), alpha=scale)  # each row once; index_add_ goes row by row
    elif x.dtype == b.dtype == y.dtype:
        out[rows].addmm_(x, b.t(), alpha=scale)
    else:
        out[rows].add_(product(x, b), alpha=scale)
