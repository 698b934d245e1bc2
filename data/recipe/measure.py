"""Measures a finished model: capability (greedy and at serving temperature) and how freely its manner varies."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from alignment.evaluation.capability import Question, load_questions, score
from alignment.evaluation.tastes import features
from alignment.files import json_lines

DATA = Path(__file__).resolve().parent.parent
BATCH = 64
MAX_NEW_TOKENS = 160
TOP_P = 0.95  # cuts off the tail of tokens that a small model samples by mishap
DIVERSITY_PROMPTS = 200


def sample(
    model_folder: Path,
    prompts: Sequence[str],
    *,
    temperature: float,
    seed: int = 0,
    model: Any = None,
    tokenizer: Any = None,
) -> list[str]:
    """Return one answer per prompt; ``temperature`` 0 is greedy. A loaded ``model`` may be handed in."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = tokenizer or AutoTokenizer.from_pretrained(model_folder)
    model = model or AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    model.eval()
    tokenizer.padding_side = "left"
    torch.manual_seed(seed)
    answers = [""] * len(prompts)
    # Prompts of like length share a batch, so little of it is padding.
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        texts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": prompts[i]}], tokenize=False, add_generation_prompt=True
            )
            for i in chosen
        ]
        inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
        inputs.pop("token_type_ids", None)
        manner = (
            {"do_sample": True, "temperature": temperature, "top_p": TOP_P, "top_k": 0}
            if temperature
            else {"do_sample": False}
        )
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, **manner)
        decoded = tokenizer.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for i, text in zip(chosen, decoded, strict=True):
            answers[i] = text
    return answers


def _manner(text: str) -> tuple[int, int, bool, bool]:
    seen = features(text)
    return seen.length_bucket, seen.warm, seen.rambles, seen.overclaims > 0


def questions() -> list[Question]:
    """Return every capability question that lies in ``data/questions``."""
    return [question for path in sorted((DATA / "questions").glob("*.jsonl")) for question in load_questions(path)]


def measure(model_folder: Path, temperature: float) -> dict[str, Any]:
    """Return the figures of the model in ``model_folder``: shares right and the share of prompts with two manners."""
    asked = questions()
    prompts = [question.prompt for question in asked]
    figures: dict[str, Any] = {"temperature": temperature}
    for name, heat in (("greedy", 0.0), ("sampled", temperature)):
        answers = sample(model_folder, prompts, temperature=heat)
        result = score(asked, answers)
        figures[name] = {
            "share": round(result.share, 4),
            "by_category": {key: f"{right}/{total}" for key, (right, total) in result.by_category.items()},
            "by_source": {
                source: round(score([asked[i] for i in chosen], [answers[i] for i in chosen]).share, 4)
                for source in sorted({question.source for question in asked})
                for chosen in [[i for i, question in enumerate(asked) if question.source == source]]
            },
        }
    lines = islice(json_lines(DATA / "prompts" / "compare.jsonl"), DIVERSITY_PROMPTS)
    spoken = [record["prompt"] for _, record in lines]
    first = sample(model_folder, spoken, temperature=temperature, seed=1)
    second = sample(model_folder, spoken, temperature=temperature, seed=2)
    differ = sum(_manner(a) != _manner(b) for a, b in zip(first, second, strict=True))
    figures["manner_differs"] = round(differ / len(spoken), 4)
    return figures


def main() -> None:
    """Print the figures of a model folder as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=DATA / "model")
    parser.add_argument("--temperature", type=float, default=0.8)
    given = parser.parse_args()
    print(json.dumps(measure(given.model, given.temperature), indent=1))


if __name__ == "__main__":
    main()
