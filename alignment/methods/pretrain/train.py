"""Pretraining: a small Llama from nothing on packed chat text.

The hidden matrices are trained with Muon (Jordan et al., 2024) and everything else with AdamW; the loss is the
cross-entropy of next tokens, where what a person wrote weighs ``prompt_weight`` and what the assistant wrote
weighs 1. Does not evaluate what the model can do (see ``alignment.evaluation.capability``).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import LeftOut, Reason, Unusable
from alignment.dataset.reading.folder import read_conversations
from alignment.dataset.reading.training_files import has_table, holds_nothing
from alignment.dataset.reading.training_rows import Conversation
from alignment.errors import StageError
from alignment.files import beside
from alignment.methods.pretrain.packing import PackedRow, batches, pack
from alignment.methods.pretrain.settings import PretrainSettings
from alignment.methods.pretrain.tokenizer import MAX_LENGTH, ROLES, encode_chats, train_tokenizer
from alignment.methods.shared_training.chat_template import SAME_AS, as_turns
from alignment.records import StageMetrics

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from alignment.stage.spec import Progress, StageSpec

TOKENIZER_ROWS = 40_000  # conversations the tokenizer is trained on; more change nothing in so small a language


class NonFiniteLossError(StageError):
    """The loss became infinite or not a number: the weights are spoilt and the run stops."""


def read_chats(data: Path, left: LeftOut) -> list[Conversation]:
    """Return the conversations of a data folder: ``train.jsonl``, or ``corpus.txt`` of plain lines.

    Those that cannot be read, or have a role that the tokenizer does not know, are counted in ``left``.
    Raises StageError with the count when the folder holds neither, or nothing to learn from.
    """
    text = data / "corpus.txt"
    found: list[Conversation] = []
    if text.is_file() and not has_table(data, "train"):
        with text.open(encoding="utf-8") as lines:
            found = [
                Conversation((Message("assistant", line.strip()),), (0,), (f"line {number} of {text.name}",))
                for number, line in enumerate(lines, 1)
                if line.strip()
            ]
    elif not holds_nothing(data):
        for conversation in read_conversations(data, left=left):
            try:
                found.append(replace(conversation, turns=_known(conversation.turns)))
            except Unusable as why:
                left.add(why, conversation.judgements)
    left.check("pretrain", len(found), 1, "conversations", "row_length tokens")
    if not found:
        raise StageError(
            f"pretrain needs at least one conversation in train.jsonl or one line in corpus.txt; {data} has 0."
        )
    return found


def _known(turns: Sequence[Message]) -> tuple[Message, ...]:
    known = tuple(Message(SAME_AS.get(turn.role, turn.role), turn.content) for turn in turns)
    for turn in known:
        if turn.role not in ROLES:
            raise Unusable(Reason.TEMPLATE, f"unknown role: {turn.role}")
    return known


def rate_at(step: int, settings: PretrainSettings) -> float:
    """Return the share of the full learning rate at ``step``: warm up, hold, then fall linearly to nothing."""
    warmup = max(1, int(settings.steps * settings.warmup_share))
    decay = max(1, int(settings.steps * settings.decay_share))
    return min((step + 1) / warmup, 1.0, (settings.steps - step) / decay)


def _rows(
    tokenizer: PreTrainedTokenizerFast, chats: list[Conversation], settings: PretrainSettings, left: LeftOut
) -> list[PackedRow]:
    """The packed rows; a conversation that is longer than one is counted in `left`."""

    def encoded() -> Iterator[tuple[list[int], list[float]]]:
        for start in range(0, len(chats), 4096):
            part = chats[start : start + 4096]
            for chat, (ids, by_assistant) in zip(
                part, encode_chats(tokenizer, [as_turns(each.turns) for each in part]), strict=True
            ):
                if len(ids) > settings.row_length:
                    left.add(Unusable(Reason.ANSWER_TOO_LONG, tokens=len(ids)), chat.judgements)
                else:
                    yield ids, [1.0 if written else settings.prompt_weight for written in by_assistant]

    return pack(encoded(), settings.row_length, int(tokenizer.pad_token_id))[0]


def new_model(tokenizer: PreTrainedTokenizerFast, settings: PretrainSettings) -> LlamaForCausalLM:
    """Return a Llama with fresh weights whose generation settings are those of serving."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.hidden_size,
            intermediate_size=settings.intermediate_size,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=MAX_LENGTH,
            tie_word_embeddings=True,
            **special,
        )
    )
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=settings.temperature, top_p=settings.top_p, **special
    )
    return model


def _optimizers(model: LlamaForCausalLM, settings: PretrainSettings) -> list[torch.optim.Optimizer]:
    import torch

    hidden = [
        p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name and "lm_head" not in name
    ]
    others = [p for p in model.parameters() if not any(p is q for q in hidden)]
    return [
        torch.optim.Muon(hidden, lr=settings.muon_rate, weight_decay=settings.weight_decay),
        torch.optim.AdamW(others, lr=settings.adam_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def batch_loss(model: LlamaForCausalLM, batch: list[PackedRow]) -> torch.Tensor:
    """Return the weighted mean cross-entropy of a batch of B rows of T tokens."""
    import torch

    ids = torch.tensor([row.ids for row in batch])  # (B, T)
    weights = torch.tensor([row.weights for row in batch])  # (B, T)
    chats = torch.tensor([row.chats for row in batch])  # (B, T)
    positions = torch.tensor([row.positions for row in batch])  # (B, T)
    causal = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
    mask = (chats[:, None, :, None] == chats[:, None, None, :]) & causal  # (B, 1, T, T)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(
            input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
        # A token counts only if it continues the same conversation and carries weight: the head is spared the rest.
        wanted = (weights[:, 1:] > 0) & (positions[:, 1:] > 0)
        logits = model.lm_head(hidden[:, :-1][wanted])  # (N, V)
    losses = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][wanted], reduction="none")
    counted = weights[:, 1:][wanted]
    return (losses * counted).sum() / counted.sum()


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write bf16 safetensors, configuration and tokenizer to ``out`` without changing ``model``."""
    import copy

    import torch

    written = copy.deepcopy(model).to(torch.bfloat16)
    written.config.use_cache = True  # trainers turn it off, and sampling without it is slow
    written.save_pretrained(out)
    tokenizer.save_pretrained(out)


def train(spec: StageSpec, progress: Progress) -> StageMetrics:
    """Pretrain from nothing on ``spec.data`` and write the model to ``spec.out``; return its metrics.

    A tokenizer is taken from ``spec.model`` when given and trained otherwise. An interrupted run with the same
    ``out`` continues from its last checkpoint.
    Raises NonFiniteLossError when training breaks down, StageError with one sentence on data and settings.
    """
    import torch
    from transformers import AutoTokenizer

    settings = PretrainSettings.read(spec.settings)
    torch.set_num_threads(settings.threads)
    torch.manual_seed(spec.seed)
    left = LeftOut()
    chats = read_chats(spec.data, left)
    if spec.model is not None:
        tokenizer = AutoTokenizer.from_pretrained(spec.model)
    else:
        sample = (turn.content for chat in chats[:TOKENIZER_ROWS] for turn in chat.turns)
        tokenizer = train_tokenizer(sample, settings.vocabulary)
    rows = _rows(tokenizer, chats, settings, left)
    too_long = left.counts[Reason.ANSWER_TOO_LONG]
    remedy = "collect shorter ones or raise row_length"
    left.check("pretrain", len(chats) - too_long, 1, "conversations", f"{settings.row_length} tokens", remedy=remedy)
    del chats
    model = new_model(tokenizer, settings)
    optimizers = _optimizers(model, settings)
    spec.out.mkdir(parents=True, exist_ok=True)
    checkpoint = spec.out / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        first = int(state["step"])
    full_rates = (settings.muon_rate, settings.adam_rate)
    started, recent = time.monotonic(), 0.0
    model.train()
    for step, batch in enumerate(batches(rows, settings.batch_rows, settings.steps, spec.seed, first), start=first):
        for optimizer, rate in zip(optimizers, full_rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * rate_at(step, settings)
        loss = batch_loss(model, batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLossError(
                f"the loss was {value} at step {step}; lower muon_rate or adam_rate and start again"
            )
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not type it
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        recent = value if recent == 0.0 else 0.95 * recent + 0.05 * value
        done = step + 1
        if done % settings.log_every == 0 or done == settings.steps:
            pace = (time.monotonic() - started) / (done - first)
            progress(
                {"step": done, "steps": settings.steps, "loss": recent, "seconds_left": pace * (settings.steps - done)}
            )
        if done % settings.checkpoint_every == 0 and done < settings.steps:
            partial = beside(checkpoint)
            states = [optimizer.state_dict() for optimizer in optimizers]
            torch.save({"model": model.state_dict(), "optimizers": states, "step": done}, partial)
            partial.replace(checkpoint)
    save(model, tokenizer, spec.out)
    checkpoint.unlink(missing_ok=True)
    return {
        "loss": recent,
        "steps": settings.steps,
        "tokens": settings.steps * settings.batch_rows * settings.row_length,
        "parameters": sum(p.numel() for p in model.parameters()),
        "rows": len(rows),
        **left.to_record(),
        "seconds": time.monotonic() - started,
    }
