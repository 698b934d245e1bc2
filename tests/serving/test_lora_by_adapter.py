"""Adapters by rows: vLLM's own operations are what every result is compared with, on any mixture of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow  # importing vLLM takes seconds, and so it is imported by the tests alone
SLOTS, RANK, INPUTS, VOCABULARY = 3, 4, 24, 40
LONG = 40  # rows of a prompt: more than are computed in float32 whatever the type
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 0.05}


@dataclass(frozen=True)
class Batch:
    """`slots`: which adapter each row has, −1 for none."""

    slots: tuple[int, ...]
    dtype: torch.dtype
    seed: int

    @property
    def has_adapter(self) -> torch.Tensor:
        return torch.tensor(self.slots) >= 0

    def random(self, *shape: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(self.seed + sum(shape))
        return torch.randn(*shape, generator=generator).to(self.dtype)

    def wrapper(self, *, ours: bool) -> Any:
        """One that was told of these rows as vLLM's runner tells it: by the adapters' ids, 0 for none."""
        from vllm.lora.layers.utils import LoRAMapping
        from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

        from serving.vllm_lora_by_adapter import PunicaWrapperByAdapter

        made = (PunicaWrapperByAdapter if ours else PunicaWrapperCPU)(256, 256, "cpu")
        ids = tuple(slot + 1 for slot in self.slots)
        made.update_metadata(LoRAMapping(ids, ids, is_prefill=True), list(range(1, SLOTS + 1)), SLOTS, VOCABULARY)
        return made

    def check(self, name: str, y: Any, *rest: Any, **named: Any) -> None:
        """What the method leaves in `y`: vLLM's result where a row has an adapter, what was there where it has none."""
        before = y.clone()
        theirs = y.clone()
        getattr(self.wrapper(ours=True), name)(y, *rest, **named)
        getattr(self.wrapper(ours=False), name)(theirs, *rest, **named)
        has = self.has_adapter
        assert torch.equal(y[~has], before[~has])
        tolerance = TOLERANCE[self.dtype]
        torch.testing.assert_close(y[has], theirs[has], atol=4 * tolerance, rtol=tolerance)
        if has.any():
            assert not torch.equal(y[has], before[has])


ROWS = st.one_of(
    st.lists(st.integers(-1, SLOTS - 1), min_size=1, max_size=2 * LONG),  # answers: any order
    st.lists(st.integers(-1, SLOTS - 1), min_size=1, max_size=4).map(  # prompts: long runs
        lambda runs: [slot for slot in runs for _ in range(LONG)]
    ),
)
BATCHES = st.builds(
    Batch,
    slots=ROWS.map(tuple),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
law = settings(max_examples=60, deadline=None)


@law
@given(BATCHES, st.sampled_from([(16,), (16, 8, 8), (12, 12)]))
def test_linear_layers_packed_or_not(batch: Batch, widths: tuple[int, ...]) -> None:
    rows = len(batch.slots)
    batch.check(
        "add_lora_linear",
        batch.random(rows, sum(widths)),
        batch.random(rows, INPUTS),
        tuple(batch.random(SLOTS, 1, RANK, INPUTS) for _ in widths),
        tuple(batch.random(SLOTS, 1, width, RANK) for width in widths),
        1.0,
        widths,
    )


@law
@given(BATCHES)
def test_the_output_head_also_where_its_columns_are_padded(batch: Batch) -> None:
    rows = len(batch.slots)
    a, b = batch.random(SLOTS, 1, RANK, INPUTS), batch.random(SLOTS, 1, VOCABULARY, RANK)
    for columns in (VOCABULARY, VOCABULARY + 24, VOCABULARY - 8):
        batch.check("add_lora_logits", batch.random(rows, columns), batch.random(rows, INPUTS), a, b, 0.5)


@law
@given(BATCHES)
def test_embeddings(batch: Batch) -> None:
    rows = len(batch.slots)
    batch.check(
        "add_lora_embedding", batch.random(rows, 16), batch.random(rows, RANK), batch.random(SLOTS, 1, 16, RANK)
    )


@law
@given(BATCHES, st.booleans())
def test_the_two_halves_alone_as_layers_split_over_workers_ask_for_them(batch: Batch, add_inputs: bool) -> None:
    rows, widths, first = len(batch.slots), (8, 16), 4
    has = batch.has_adapter
    ours, theirs = batch.wrapper(ours=True), batch.wrapper(ours=False)
    x = batch.random(rows, INPUTS)
    a = tuple(batch.random(SLOTS, 1, RANK, INPUTS) for _ in widths)
    b = tuple(batch.random(SLOTS, 1, width, RANK) for width in widths)
    halves = torch.full((2, rows, RANK), 7.0), torch.full((2, rows, RANK), 7.0)
    for wrapper, half in zip((ours, theirs), halves, strict=True):
        wrapper.add_shrink(half, x, a, 0.5)
    assert torch.equal(halves[0][:, ~has], torch.zeros(2, int((~has).sum()), RANK))
    tolerance = TOLERANCE[batch.dtype]
    torch.testing.assert_close(halves[0][:, has], halves[1][:, has], atol=4 * tolerance, rtol=tolerance)
    before = batch.random(rows, 40)
    wholes = before.clone(), before.clone()
    for wrapper, whole in zip((ours, theirs), wholes, strict=True):
        wrapper.add_expand(whole, halves[0], b, widths, offset_start=first, add_inputs=add_inputs)
    torch.testing.assert_close(wholes[0][has], wholes[1][has], atol=4 * tolerance, rtol=tolerance)
    written = torch.zeros(40, dtype=torch.bool)
    written[first : first + sum(widths)] = True
    assert torch.equal(wholes[0][:, ~written], before[:, ~written])
    expected = before[~has] if add_inputs else torch.zeros_like(before[~has])
    assert torch.equal(wholes[0][~has][:, written], expected[:, written])


@law
@given(BATCHES)
def test_a_head_that_an_adapter_brings_whole(batch: Batch) -> None:
    rows, classes = len(batch.slots), 5
    before = batch.random(rows, classes)
    enabled = torch.tensor([True, False, True])
    results = before.clone(), before.clone()
    for ours, y in zip((True, False), results, strict=True):
        batch.wrapper(ours=ours).apply_lora_full_linear(
            y,
            batch.random(rows, INPUTS),
            batch.random(SLOTS, 1, classes, INPUTS),
            batch.random(SLOTS, classes),
            enabled,
        )
    tolerance = TOLERANCE[batch.dtype]
    torch.testing.assert_close(results[0], results[1], atol=4 * tolerance, rtol=tolerance)
    assert torch.equal(results[0][~batch.has_adapter], before[~batch.has_adapter])


@law
@given(ROWS)
def test_every_row_with_an_adapter_is_in_its_group_once_and_no_other_is(slots: list[int]) -> None:
    from serving.vllm_lora_by_adapter import grouped

    covered = torch.full((len(slots),), -1)
    for slot, rows in grouped(torch.tensor(slots)):
        assert (covered[rows] == -1).all()
        covered[rows] = slot
    assert covered.tolist() == slots


def test_a_batch_of_one_adapter_takes_padding_along_and_one_without_any_touches_nothing() -> None:
    from serving.vllm_lora_by_adapter import ALL, grouped

    assert grouped(torch.tensor([2, 2])) == [(2, ALL)]
    assert grouped(torch.tensor([-1, -1])) == []
    base = Batch((-1, -1), torch.float32, 0)
    base.check(
        "add_lora_linear",
        base.random(2, 8),
        base.random(2, INPUTS),
        (base.random(SLOTS, 1, RANK, INPUTS),),
        (base.random(SLOTS, 1, 8, RANK),),
        1.0,
        (8,),
    )


def test_rows_of_logits_that_cannot_be_told_apart_are_refused_and_those_of_one_adapter_are_not() -> None:
    a, b = torch.ones(SLOTS, 1, RANK, INPUTS), torch.ones(SLOTS, 1, VOCABULARY, RANK)
    x, y = torch.ones(7, INPUTS), torch.zeros(7, VOCABULARY)
    mixed, single = (Batch(slots, torch.float32, 0).wrapper(ours=True) for slots in ((0, 1), (1, 1)))
    with pytest.raises(ValueError, match="7 rows of logits for 2 requests"):
        mixed.add_lora_logits(y, x, a, b, 1.0)
    single.add_lora_logits(y, x, a, b, 1.0)
    assert torch.equal(y, torch.full((7, VOCABULARY), float(RANK * INPUTS)))
