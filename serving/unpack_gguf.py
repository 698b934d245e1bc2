"""`python -m serving.unpack_gguf FILE FOLDER`: a packed GGUF as a folder that vLLM and the trainers load.

A process of its own, because it takes 1.5 GB of memory and half a minute once, and leaves nothing of either behind.
Weights are written in bfloat16, half of float32 and finer than the four bits that they come in; whoever serves or
trains them chooses the format of its arithmetic. Bars on standard error say how far it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

TEMPERATURE = 0.7
"""What the model is sampled at where nobody says otherwise. Of its answers at 1, many are not language; at 0.7 few."""


def unpack(packed: Path, folder: Path) -> None:
    """Write weights, tokenizer, chat template and sampling settings of a packed chat model into a new folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": str(packed.parent), "gguf_file": packed.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(
        **where, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.generation_config.do_sample, model.generation_config.temperature = True, TEMPERATURE
    model.save_pretrained(folder, max_shard_size="100GB")
    tokenizer.save_pretrained(folder)
    _forget_packing(folder)


def _forget_packing(folder: Path) -> None:
    """The weights are packed no more, and where they lay is nobody's business."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        config.pop(key, None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
