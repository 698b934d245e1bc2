"""What the arithmetic of adapters alone costs in a step of vLLM's CPU build: ours over vLLM's own.

    python -m tests.bench.adapters [--rounds N] [--json FILE]

No model and no server: the layers' adapters (rank 16 on every linear layer) of the embedded model's shapes and of
SmolLM2-135M's, applied to random rows by `serving.vllm_lora_by_adapter` and by vLLM's wrapper in turns, on one thread.
A step is one row for each of 1, 8 and 32 answers, half of them with each of two adapters, or a prompt of 512 rows.
Seconds are the processor's, which other work on the machine does not lengthen much; a figure is the median of the
rounds, the ratio that of the rounds' own ratios. vLLM's way is timed on as many layers as take half a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.long.lines import provenance

RANK, SLOTS = 16, 4
BATCHES = {"1 answer": 1, "8 answers": 8, "32 answers": 32, "a prompt of 512 tokens": 512}
TYPES = ("float32", "bfloat16")
ENOUGH_S = 0.5


@dataclass(frozen=True)
class Shape:
    """A Llama: widths of a layer's packed modules (inputs, outputs of each slice), and how many layers."""

    name: str
    modules: tuple[tuple[int, tuple[int, ...]], ...]
    layers: int


SHAPES = (
    Shape("embedded", ((256, (256, 256, 256)), (256, (256,)), (256, (768, 768)), (768, (256,))), 4),
    Shape("SmolLM2-135M", ((576, (576, 192, 192)), (576, (576,)), (576, (1536, 1536)), (1536, (576,))), 30),
)


def step_s(wrapper: Any, shape: Shape, rows: int, dtype: str) -> float:
    """Processor seconds that the adapters of a step take; scaled up from fewer layers where those took long."""
    import torch

    kind = getattr(torch, dtype)
    layer = [
        (
            torch.randn(rows, inputs).to(kind),
            torch.randn(rows, sum(widths)).to(kind),
            tuple(torch.randn(SLOTS, 1, RANK, inputs).to(kind) for _ in widths),
            tuple(torch.randn(SLOTS, 1, width, RANK).to(kind) for width in widths),
            widths,
        )
        for inputs, widths in shape.modules
    ]
    done, began = -1, time.process_time()
    while (done < shape.layers and time.process_time() - began < ENOUGH_S) or done < 1:
        for x, y, a, b, widths in layer:
            wrapper.add_lora_linear(y, x, a, b, 1.0, widths)
        done += 1
        if not done:  # the first is not timed
            began = time.process_time()
    return (time.process_time() - began) / done * shape.layers


def bench(rounds: int) -> list[dict[str, Any]]:
    """A record for each shape, type and batch."""
    import torch
    from vllm.lora.layers.utils import LoRAMapping
    from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

    from serving.vllm_lora_by_adapter import PunicaWrapperByAdapter

    torch.set_num_threads(1)
    records = []
    for shape in SHAPES:
        for dtype in TYPES:
            for name, rows in BATCHES.items():
                ids = (1,) * rows if rows in (1, 512) else (1, 2) * (rows // 2)
                wrappers = []
                for kind in (PunicaWrapperByAdapter, PunicaWrapperCPU):
                    wrapper = kind(512, 512, "cpu")
                    wrapper.update_metadata(LoRAMapping(ids, ids, is_prefill=True), [1, 2, None, None], SLOTS, 64)
                    wrappers.append(wrapper)
                times = [[step_s(wrapper, shape, rows, dtype) for wrapper in wrappers] for _ in range(rounds)]
                record = {
                    "shape": shape.name,
                    "dtype": dtype,
                    "batch": name,
                    "ours_ms": round(1000 * statistics.median(ours for ours, _ in times), 2),
                    "vllm_ms": round(1000 * statistics.median(theirs for _, theirs in times), 2),
                    "ratio": round(statistics.median(ours / theirs for ours, theirs in times), 4),
                }
                print(json.dumps(record), flush=True)
                records.append(record)
    return records


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {**provenance(), "rounds": options.rounds, "steps": bench(options.rounds)}
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
