"""The plan: what is set wins, and what is not follows from the model and the machine by the written rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import LaunchProblem
from serving.model_check import ModelFacts
from serving.plan import GIB, Machine, Wanted, memory, plan, processor_flags, value_of

CHAT = ModelFacts("t", "w", 8192, 0.7, "X", dtype="bfloat16", kv_bytes=23_040, hidden=576, parameters=134_515_008)
SMALL = replace(CHAT, max_len=1024, kv_bytes=4_096, hidden=256, parameters=5_600_000)
OLD = Machine(cores=2, memory=24 * GIB, bf16=False)
NEW = replace(OLD, bf16=True)
BF16 = ("--dtype", "bfloat16")
WANTED = Wanted(window=1024, answers=64)


def test_bfloat16_is_computed_only_where_the_processor_has_units_for_it() -> None:
    assert plan(CHAT, NEW, WANTED).dtype == "bfloat16"
    assert plan(CHAT, OLD, WANTED).dtype == "float32"
    assert plan(replace(CHAT, dtype="float32"), NEW, WANTED).dtype == "bfloat16"


def test_all_cores_share_matrices_that_are_worth_it_and_one_is_left_alone_for_smaller_ones() -> None:
    assert plan(CHAT, OLD, WANTED).threads == 2
    assert plan(SMALL, OLD, WANTED).threads == 1
    assert plan(SMALL, replace(OLD, cores=1), WANTED).threads == 1


def test_the_cache_holds_twice_as_few_tokens_in_float32_and_half_a_window_for_each_answer() -> None:
    new, old = plan(CHAT, NEW, WANTED), plan(CHAT, OLD, WANTED)
    assert (new.kv_gib, new.kv_tokens) == (1, GIB // 23_040)
    assert (old.kv_gib, old.kv_tokens) == (2, 2 * GIB // 46_080)
    assert plan(replace(CHAT, dtype="float32", kv_bytes=46_080), NEW, WANTED).kv_tokens == GIB // 23_040
    assert plan(replace(CHAT, kv_bytes=0), OLD, WANTED).kv_tokens == 0


def test_a_cache_that_does_not_hold_one_window_is_a_sentence_with_both_numbers() -> None:
    wide = replace(CHAT, kv_bytes=2**21)
    with pytest.raises(LaunchProblem, match=r"hold 512 tokens .* window has 1,024\. Raise ALIGNLOOP_VLLM_KV_GIB"):
        plan(wide, NEW, replace(WANTED, kv_gib=1))
    assert plan(wide, NEW, WANTED).kv_gib == 3, "an eighth of the memory"
    assert plan(wide, replace(NEW, memory=0), WANTED).kv_gib == 2, "one window at the least"


def test_the_window_is_at_most_the_models() -> None:
    assert plan(SMALL, NEW, replace(WANTED, window=4096)).max_model_len == 1024
    assert plan(CHAT, NEW, replace(WANTED, window=4096)).max_model_len == 4096


def test_a_step_reads_what_takes_about_a_second() -> None:
    assert plan(CHAT, OLD, WANTED).max_num_batched_tokens == 256
    assert plan(CHAT, replace(OLD, cores=8), WANTED).max_num_batched_tokens == 1024
    assert plan(CHAT, NEW, WANTED).max_num_batched_tokens == 1024
    assert plan(CHAT, replace(OLD, cores=8), replace(WANTED, arguments=BF16)).max_num_batched_tokens == 256
    assert plan(SMALL, OLD, WANTED).max_num_batched_tokens == 2048
    assert plan(replace(CHAT, parameters=0), OLD, WANTED).max_num_batched_tokens == 2048


def test_what_is_set_wins_and_is_said_to_be_set() -> None:
    words = ("--dtype=float32", "--max-num-seqs", "7", "--max-num-batched-tokens", "99")
    made = plan(CHAT, NEW, Wanted(window=512, answers=4, kv_gib=5, threads=9, arguments=words))
    assert (made.dtype, made.threads, made.kv_gib) == ("float32", 9, 5)
    assert (made.max_model_len, made.max_num_seqs, made.max_num_batched_tokens) == (512, 7, 99)
    assert made.kv_tokens == 5 * GIB // 46_080
    said = "; ".join(made.why)
    for setting in ("ALIGNLOOP_VLLM_ARGS", "ALIGNLOOP_VLLM_THREADS", "ALIGNLOOP_VLLM_KV_GIB"):
        assert setting in said
    assert plan(CHAT, NEW, replace(WANTED, arguments=("--dtype", "auto"))).dtype == "bfloat16"
    assert plan(CHAT, OLD, replace(WANTED, arguments=("--dtype", "half"))).dtype == "float16"


@pytest.mark.parametrize(
    ("words", "value"),
    [(["--a", "1", "--a=2"], "2"), (["--a=2", "--a", "1"], "1"), (["--ab", "1"], ""), (["--a"], ""), ([], "")],
)
def test_of_two_flags_the_last_counts_as_on_vllms_command_line(words: list[str], value: str) -> None:
    assert value_of(words, "--a") == value


@settings(deadline=None)
@given(
    facts=st.builds(
        ModelFacts,
        st.just("t"),
        st.just("w"),
        st.integers(64, 131_072),
        st.none(),
        st.just("X"),
        dtype=st.sampled_from(["bfloat16", "float16", "float32", ""]),
        kv_bytes=st.integers(0, 500_000),
        hidden=st.integers(0, 8192),
        parameters=st.integers(0, 10**11),
    ),
    machine=st.builds(Machine, st.integers(1, 256), st.integers(0, 2**42), st.booleans()),
    wanted=st.builds(Wanted, st.integers(64, 32_768), st.integers(1, 256)),
)
def test_every_plan_can_be_started_whatever_the_model_and_the_machine(
    facts: ModelFacts, machine: Machine, wanted: Wanted
) -> None:
    made = plan(facts, machine, wanted)
    assert 1 <= made.threads <= machine.cores
    assert made.max_model_len <= min(facts.max_len, wanted.window)
    assert not made.kv_tokens or made.kv_tokens >= made.max_model_len
    assert made.max_num_seqs <= made.max_num_batched_tokens
    assert made.dtype in ("bfloat16", "float32")
    assert all(sentence and len(sentence) < 160 for sentence in made.why)


def test_the_machine_is_read_from_the_kernel_and_a_containers_limit_is_kept(tmp_path: Path) -> None:
    assert (memory(tmp_path), processor_flags(tmp_path)) == (0, frozenset())
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  1000 kB\nMemFree: 10 kB\n")
    assert memory(tmp_path) == 1_024_000
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    for words, found in (("max", 1_024_000), ("4096", 4096), ("9999999999", 1_024_000)):
        (tmp_path / "sys/fs/cgroup/memory.max").write_text(f"{words}\n")
        assert memory(tmp_path) == found
    for words in ("flags\t\t: fpu avx512_bf16\nflags: other", "processor: 0\nFeatures\t: fp bf16"):
        (tmp_path / "proc/cpuinfo").write_text(words)
        assert len(processor_flags(tmp_path) & {"avx512_bf16", "bf16"}) == 1
