"""What a DPO run chooses by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignment.errors import StageError
from alignment.methods.dpo.settings import DpoSettings
from alignment.methods.shared_training.few_pairs import check_pairs
from alignment.methods.shared_training.scale import layers_for, threads_for


@given(st.integers(8, 5000))
def test_few_pairs_are_seen_up_to_twenty_times_and_many_once(rows: int) -> None:
    settings = DpoSettings()
    epochs = settings.epochs_for(rows)
    assert 1 <= epochs <= 20
    assert rows * epochs <= max(rows, 675)
    assert settings.steps_for(rows) >= rows * epochs / 8


def test_named_epochs_and_rate_are_taken_as_they_are() -> None:
    settings = DpoSettings.read({"epochs": 3, "rate": 0.01})
    assert settings.epochs_for(1000) == 3
    assert settings.rate_for(4096) == 0.01
    assert settings.steps_for(20) == 9


def test_a_loss_brings_what_it_needs_and_what_is_named_stays() -> None:
    assert (DpoSettings.read({}).loss, DpoSettings.read({}).beta) == ("sigmoid", 0.2)
    assert DpoSettings.read({"loss": "robust"}).flips == 0.1
    assert DpoSettings.read({"loss": "robust", "flips": 0.25}).flips == 0.25
    assert DpoSettings.read({"loss": "ipo"}).beta == 0.5
    assert DpoSettings.read({"loss": "length-normalised", "beta": 2}).beta == 2.0


def test_larger_models_learn_slower() -> None:
    rates = [DpoSettings().rate_for(hidden) for hidden in (64, 320, 512, 1024, 4096, 8192)]
    assert rates[0] == rates[1] == rates[2] == 1e-3
    assert rates[2] > rates[3] > rates[4] > rates[5] > 1e-5
    assert rates[4] == pytest.approx(4.4e-5, rel=0.01)


def test_one_missing_pair_is_one_comparison() -> None:
    with pytest.raises(StageError, match=r"has 7: collect 1 more comparison\."):
        check_pairs("dpo", 7, 8)
    check_pairs("dpo", 8, 8)


def test_a_small_model_trains_on_one_thread_and_a_large_one_on_all() -> None:
    assert threads_for(320, 0) == 1
    assert threads_for(2048, 0) is None
    assert threads_for(320, 4) == 4


def test_a_small_model_trains_its_last_quarter_and_a_large_one_every_layer() -> None:
    assert layers_for(256, 4, 0) == [3]
    assert layers_for(512, 12, 0) == [9, 10, 11]
    assert layers_for(256, 1, 0) is None
    assert layers_for(2048, 24, 0) is None
    assert layers_for(2048, 24, 0.5) == list(range(12, 24))
    assert layers_for(256, 4, 1) is None
    with pytest.raises(StageError, match=r"layers must be between 0 and 1, not 3"):
        DpoSettings.read({"layers": 3})
