"""How our own vLLM is started on a processor: number format, threads, KV cache, window, batch; one written rule.

What decides is the model's configuration and the machine, never which model it is. What is set explicitly wins, and
each choice says why, for `alignloop doctor` and the log. On a GPU vLLM's own choices are good, and none is made here.

**Number format.** bfloat16 where the processor multiplies it (AVX-512 BF16, AMX, Arm's BF16), else float32: without
such units a product in bfloat16 takes about 7 times as long as in float32 (15 against 116 GFLOP/s on two AVX2 cores).

**Threads.** Every core above a hidden size of 512, where matrices are worth sharing: on two quiet AVX2 cores two
threads wrote 1.7 to 2.1 times as many tokens a second of SmolLM2-135M as one. Else one fewer than there are cores. A
thread that waits sleeps (`serving.launch`), or sharing would be slower than not, beside a training say: with much other
work on two cores, two spinning threads took 5 to 15 times as long as one for matrices of that size, and two sleeping
ones 0.8 to 1.2 times (`python -m tests.bench.threads`).

**KV cache.** Half a window for each of the answers that run at once (few conversations fill theirs), at least one
whole window, in whole GiB, and at most an eighth of the memory: training runs beside.

**Tokens a step.** Everybody's next token waits for the step, so a step reads no more of a long prompt than takes
about a second (at 50 GFLOP/s a core in float32, 200 in bfloat16), a power of two within 256 and 2,048, vLLM's own
number on CPUs. Measured: 58 on a core with AVX2; on one with AMX, 500 tokens of SmolLM2-135M in 0.3 s, some 450.

**Sequences a step.** 128, vLLM's own number on CPUs; how many answers the app lets in is `collect.capacity`'s to say.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from serving.errors import LaunchProblem
from serving.model_check import ModelFacts

GIB = 2**30
BF16_UNITS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As /proc/cpuinfo names them, the last one on Arm."""
SHARED_HIDDEN = 512
"""Above it, all cores share the work."""
FLOPS_A_CORE = {"float32": 50e9, "bfloat16": 200e9}
"""Rather less than was measured: not every processor with units for bfloat16 has AMX."""
FLOPS_WITHOUT_UNITS = 7e9
"""bfloat16 on a processor that has no units for it, where an operator wants it all the same."""
STEP_S = 1.0
FEWEST_TOKENS, MOST_TOKENS = 256, 2048
SEQUENCES = 128
MEMORY_SHARE = 8
"""The KV cache takes at most one part in so many of the memory."""
WIDTH = {"float32": 4}
"""Bytes of a number; 2 in the others."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What vLLM may use of a machine: `cores` of this process, `memory` in bytes, units for bfloat16."""

    cores: int
    memory: int
    bf16: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is set explicitly, None where nothing is; `arguments` are vLLM's own, as on its command line."""

    window: int
    answers: int
    kv_gib: int | None = None
    threads: int | None = None
    arguments: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """How vLLM is started. Lengths are in tokens, `kv_tokens` what the KV cache holds (0: not known).

    `why` has a sentence for each choice.
    """

    dtype: str
    threads: int
    kv_gib: int
    kv_tokens: int
    max_model_len: int
    max_num_batched_tokens: int
    max_num_seqs: int
    why: tuple[str, ...]

    def arguments(self) -> list[str]:
        """For vLLM's command line, before those that an operator gives: of two the last wins."""
        return [
            *("--dtype", self.dtype),
            *("--max-num-batched-tokens", str(self.max_num_batched_tokens)),
            *("--max-num-seqs", str(self.max_num_seqs)),
        ]


def plan(facts: ModelFacts, machine: Machine, wanted: Wanted) -> ServingPlan:
    """Choose by the rule above. Raises `LaunchProblem` when a window does not fit into the KV cache."""
    dtype, why_dtype = _dtype(machine, wanted)
    threads, why_threads = _threads(facts, machine, wanted)
    window = min(wanted.window, facts.max_len)
    a_token = facts.kv_bytes // WIDTH.get(facts.dtype, 2) * WIDTH.get(dtype, 2)
    kv_gib, why_kv = _kv(a_token, window, machine, wanted)
    kv_tokens = kv_gib * GIB // a_token if a_token else 0
    batched, why_batched = _batched(facts, dtype, machine, wanted)
    sequences = int(value_of(wanted.arguments, "--max-num-seqs") or SEQUENCES)
    shorter = "as the model allows" if window < wanted.window else "as is set"
    why = (
        why_dtype,
        why_threads,
        f"{why_kv}{f', {kv_tokens:,} tokens' if kv_tokens else ''}",
        f"window of {window:,} tokens: {shorter}",
        why_batched,
        f"at most {sequences} sequences a step",
    )
    return ServingPlan(dtype, threads, kv_gib, kv_tokens, window, batched, sequences, why)


def machine() -> Machine:
    """This machine, as this process may use it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(cores, memory(), bool(BF16_UNITS & processor_flags()))


def memory(root: Path = Path("/")) -> int:
    """Bytes of memory: the machine's, or less where a container is limited to less. 0 where neither says."""
    sizes = []
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            sizes.append(1024 * int(line.split()[1]))
    for limit in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        words = _text(root / limit).strip()
        if words.isdigit():
            sizes.append(int(words))
    return min(sizes, default=0)


def processor_flags(root: Path = Path("/")) -> frozenset[str]:
    """What the first processor can do, in the kernel's words; empty where it does not say."""
    for line in _text(root / "proc/cpuinfo").splitlines():
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(words.split())
    return frozenset()


def value_of(arguments: Sequence[str], flag: str) -> str:
    """The value of the last such flag of a command line, `--flag value` or `--flag=value`; empty without one."""
    value = ""
    for word, following in pairwise([*arguments, ""]):
        if word == flag:
            value = following
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    return value


def _dtype(machine: Machine, wanted: Wanted) -> tuple[str, str]:
    asked = value_of(wanted.arguments, "--dtype")
    if asked and asked != "auto":
        return {"half": "float16", "float": "float32"}.get(asked, asked), f"{asked}: as ALIGNLOOP_VLLM_ARGS says"
    if machine.bf16:
        return "bfloat16", "bfloat16: this processor has units for it"
    return "float32", f"float32: this processor ({platform.machine()}) has no units for bfloat16, which would be slower"


def _threads(facts: ModelFacts, machine: Machine, wanted: Wanted) -> tuple[int, str]:
    if wanted.threads is not None:
        return wanted.threads, f"{wanted.threads} threads: as ALIGNLOOP_VLLM_THREADS says"
    if facts.hidden > SHARED_HIDDEN:
        return machine.cores, f"{machine.cores} threads: matrices of {facts.hidden} are worth sharing"
    threads = max(1, machine.cores - 1)
    return threads, f"{threads} of {machine.cores} threads: matrices of {facts.hidden} are too small to share"


def _kv(a_token: int, window: int, machine: Machine, wanted: Wanted) -> tuple[int, str]:
    """GiB of KV cache; `a_token` is what a token takes in bytes, 0 where that is not known."""
    if wanted.kv_gib is not None:
        kv_gib, why = wanted.kv_gib, f"{wanted.kv_gib} GiB of KV cache: as ALIGNLOOP_VLLM_KV_GIB says"
    else:
        wish = -(-a_token * window * wanted.answers // (2 * GIB))
        most = machine.memory // (MEMORY_SHARE * GIB)
        kv_gib = max(1, -(-a_token * window // GIB), min(wish, most))
        why = f"{kv_gib} GiB of KV cache: half a window for each of {wanted.answers} answers"
        if kv_gib < wish:
            why += f" would be {wish}, and an eighth of the memory is {most}"
    if a_token * window > kv_gib * GIB:
        raise LaunchProblem(
            f"{kv_gib} GiB of KV cache hold {kv_gib * GIB // a_token:,} tokens of this model, and the window has "
            f"{window:,}. Raise ALIGNLOOP_VLLM_KV_GIB, or lower ALIGNLOOP_CONTEXT_TOKENS."
        )
    return kv_gib, why


def _batched(facts: ModelFacts, dtype: str, machine: Machine, wanted: Wanted) -> tuple[int, str]:
    if asked := value_of(wanted.arguments, "--max-num-batched-tokens"):
        return int(asked), f"{asked} tokens a step: as ALIGNLOOP_VLLM_ARGS says"
    if not facts.parameters:
        return MOST_TOKENS, f"{MOST_TOKENS:,} tokens a step: vLLM's own number"
    rate = FLOPS_A_CORE.get(dtype, FLOPS_A_CORE["float32"])
    if dtype == "bfloat16" and not machine.bf16:
        rate = FLOPS_WITHOUT_UNITS
    in_time = int(rate * machine.cores * STEP_S / (2 * facts.parameters))
    tokens = max(FEWEST_TOKENS, min(MOST_TOKENS, 1 << max(0, in_time.bit_length() - 1)))
    takes = "less than a second" if tokens < in_time else "a second or more"
    return tokens, f"{tokens:,} tokens a step, which {facts.parameters / 1e6:,.1f} M parameters read in {takes}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
