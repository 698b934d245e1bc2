"""A tiny random chat model on disk: the second architecture of the tests, made in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
# Marks what the assistant says, as TRL wants it to learn from that alone.
ANSWERS_TEMPLATE = TEMPLATE.replace(
    "{{ m['content'] }}<|end|>",
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|end|>{% endif %}",
)


def make_tiny_model(folder: Path, *, seed: int = 0, architecture: str = "llama", window: int = 256) -> Path:
    """Write a random Llama (or OPT) of about 100,000 parameters with a byte-level tokenizer and a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, OPTConfig, OPTForCausalLM

    tokenizer = byte_tokenizer(window)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(seed)
    model: Any
    if architecture == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=2,
                head_dim=32,
                max_position_embeddings=window,
                tie_word_embeddings=True,
                **special,
            )
        )
    else:
        model = OPTForCausalLM(
            OPTConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                ffn_dim=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                word_embed_proj_dim=64,
                max_position_embeddings=window,
                **special,
            )
        )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_tiny_encoder(folder: Path, *, seed: int = 0, window: int = 256) -> Path:
    """Write a random BERT with the same tokenizer: a backbone that scores and cannot answer."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = byte_tokenizer(window)
    torch.manual_seed(seed)
    model = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=window,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def byte_tokenizer(window: int) -> Any:
    """A tokenizer of single bytes and a few special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|pad|>", "<|bos|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<|bos|>",
        eos_token="<|end|>",
        pad_token="<|pad|>",
        model_max_length=window,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
