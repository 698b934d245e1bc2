"""Nothing is drawn for a sample that is discarded: the correction alone, on a runner of four rows."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from serving.vllm_seeds import drawing_only_what_is_kept

SEEDED = {0: "first", 1: "second", 3: "fourth"}  # the third row has no seed


def runner(*discarded: bool) -> Any:
    batch = SimpleNamespace(num_reqs=4, generators=dict(SEEDED))
    # Longer than the batch: what lies behind it is of an earlier step.
    return SimpleNamespace(input_batch=batch, discard_request_mask=SimpleNamespace(np=np.array([*discarded, True])))


def test_rows_whose_sample_is_discarded_have_no_generator_while_it_is_drawn_and_booked() -> None:
    seen: list[dict[int, str]] = []

    def sample_tokens(runner: Any, grammar: object) -> object:
        seen.append(dict(runner.input_batch.generators))
        return grammar

    wrapped = drawing_only_what_is_kept(sample_tokens)
    reading = runner(False, True, True, False)
    assert wrapped(reading, "grammar") == "grammar"
    assert seen == [{0: "first", 3: "fourth"}]
    assert reading.input_batch.generators == SEEDED
    everything = runner(True, True, True, True)
    wrapped(everything, None)
    assert seen[-1] == {}
    assert everything.input_batch.generators == SEEDED
    wrapped(runner(False, False, False, False), None)
    assert seen[-1] == SEEDED


def test_they_are_put_back_when_sampling_fails() -> None:
    def sample_tokens(runner: Any, grammar: object) -> object:
        raise MemoryError

    reading = runner(True, False, False, True)
    with pytest.raises(MemoryError):
        drawing_only_what_is_kept(sample_tokens)(reading, None)
    assert reading.input_batch.generators == SEEDED
