"""The embedded model's tokenizer: byte-level BPE trained on chat text, with its chat template.

Any Unicode text survives encoding and decoding. A conversation is rendered as

    <|begin|><|system|>…<|end|><|user|>…<|end|><|assistant|>…<|end|>

and ``<|end|>`` is the end-of-sequence token. Text that imitates a special token is broken up by the template, so
a person cannot write another role's turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = (PAD, BEGIN, END, *(f"<|{role}|>" for role in ROLES))
VOCABULARY = 2048
MAX_LENGTH = 1024

CHAT_TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{%- set content = message['content'] | replace('<|', '< |') %}"
    "{%- if message['role'] == 'assistant' %}"
    "{{- '<|assistant|>' }}{% generation %}{{- content + eos_token }}{% endgeneration %}"
    "{%- elif message['role'] in ['system', 'user'] %}"
    "{{- '<|' + message['role'] + '|>' + content + eos_token }}"
    "{%- else %}{{- raise_exception('unknown role: ' + message['role']) }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on ``texts`` with about ``vocabulary`` tokens; every digit is its own token.

    Raises ValueError when ``vocabulary`` leaves no room beside the 256 bytes and the special tokens.
    """
    if vocabulary < 256 + len(SPECIAL_TOKENS):
        raise ValueError(f"a byte-level vocabulary needs at least {256 + len(SPECIAL_TOKENS)} tokens, not {vocabulary}")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[f"<|{role}|>" for role in ROLES],
        model_max_length=MAX_LENGTH,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def encode_chats(
    tokenizer: PreTrainedTokenizerFast, chats: Sequence[Sequence[Mapping[str, str]]]
) -> list[tuple[list[int], list[bool]]]:
    """Return for each conversation its token ids and, per token, whether an assistant wrote it (its end included).

    Gives what the chat template gives, many times faster: contents are encoded in one batch, and special tokens
    are boundaries that no merge crosses.
    """
    contents = [message["content"].replace("<|", "< |") for chat in chats for message in chat]
    encoded: Any = iter(tokenizer(contents, add_special_tokens=False)["input_ids"]) if contents else iter(())
    begin, end = tokenizer.convert_tokens_to_ids(BEGIN), tokenizer.convert_tokens_to_ids(END)
    roles = {role: tokenizer.convert_tokens_to_ids(f"<|{role}|>") for role in ROLES}
    result = []
    for chat in chats:
        ids, written = [begin], [False]
        for message in chat:
            content = next(encoded)
            ids += [roles[message["role"]], *content, end]
            written += [False] + [message["role"] == "assistant"] * (len(content) + 1)
        result.append((ids, written))
    return result
