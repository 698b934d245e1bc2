"""Held-out loss: a mean over tokens, the same whoever scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignment.evaluation.language_loss import Text, TextFileError, encoded, language_loss, load_texts, loss_of
from tests.alignment.builders import user
from tests.alignment.tiny_model import make_tiny_model


def test_every_token_counts_alike() -> None:
    assert loss_of([[-1.0], [-2.0, -3.0, -6.0]]) == 3.0
    with pytest.raises(ValueError, match="at least one token"):
        loss_of([[], []])


def test_a_line_that_is_no_answered_question_is_named(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    path = tmp_path / "texts.jsonl"
    path.write_text(f"{json.dumps(good)}\n\n")
    assert load_texts(path) == (Text(user("Hi"), "Hello."),)
    for bad in ("{}", "[1]", '{"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hi"}]}'):
        path.write_text(f"{json.dumps(good)}\n{bad}\n")
        with pytest.raises(TextFileError, match=r"texts\.jsonl, line 2, is not a conversation with an answer"):
            load_texts(path)


@pytest.mark.slow
def test_a_model_in_this_process_scores_the_answer_and_its_end(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from alignment.methods.online.local_sampler import LocalModel

    source = str(make_tiny_model(tmp_path))
    texts = [Text(user("Hello"), "Good morning."), Text(user("Capital of France?"), "Paris")]
    local = LocalModel(source, bf16=False)
    answers = encoded(local, "base", texts)
    tokenizer = AutoTokenizer.from_pretrained(source)
    for text, answer in zip(texts, answers, strict=True):
        assert tokenizer.decode(answer.tokens, skip_special_tokens=True) == text.answer
        assert answer.tokens[-1] == tokenizer.eos_token_id
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    nats = 0.0
    for text, answer in zip(texts, answers, strict=True):
        turns = [{"role": "user", "content": text.prompt[0].content}]
        opening = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        ids = torch.tensor([[*opening, *answer.tokens]])
        labels = ids.clone()
        labels[:, : len(opening)] = -100
        nats += model(input_ids=ids, labels=labels).loss.item() * len(answer.tokens)
    expected = nats / sum(len(answer.tokens) for answer in answers)
    assert language_loss(local, "base", texts, answers) == pytest.approx(expected, abs=1e-4)
