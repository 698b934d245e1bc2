"""The embedded model with a judge that counts exclamation marks: something that can be learned in a few steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alignment.dataset.judgement import Message

ROOT = Path(__file__).resolve().parents[3]
STATES = 8  # width of the states that the value head reads: they say nothing here


def exclaiming_model(prompts: int) -> tuple[Any, Any, list[tuple[Message, ...]]]:
    """(model, tokenizer, the first prompts of data/prompts/compare.jsonl)."""
    import torch

    from alignment.methods.online.model import Judged, OneBase, ValueHead
    from alignment.methods.shared_training.loading import load_tokenizer

    source = str(ROOT / "data" / "model")
    tokenizer = load_tokenizer(source)
    model: Any = OneBase(source, reward=None, bf16=False, pad=tokenizer.pad_token_id, seed=1)
    loud = torch.tensor(["!" in tokenizer.decode([token]) for token in range(len(tokenizer))])

    def judge(ids: Any, mask: Any, answer: Any) -> Judged:
        counts = answer[:, 1:].sum(dim=1).tolist()
        return Judged((loud[ids] & answer).sum(dim=1).float(), [torch.zeros(count, STATES) for count in counts])

    model.judge = judge
    model.value_head = lambda: ValueHead(torch.zeros(STATES))
    lines = (ROOT / "data" / "prompts" / "compare.jsonl").read_text(encoding="utf-8").splitlines()
    return model, tokenizer, [(Message("user", json.loads(line)["prompt"]),) for line in lines[:prompts]]
