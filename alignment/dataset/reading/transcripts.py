"""Conversations that were written down as one text: hh's dialogues, and texts that a chat template rendered.

Only a text that begins as one is taken for it, so that somebody who writes about such markers is quoted as they
wrote. What begins as one and cannot be told apart is skipped with the reason.
"""

from __future__ import annotations

import re

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import Skip

_NAMES = {"Human": "user", "Assistant": "assistant"}
_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_LOOSE_TURN = re.compile(r"(?<!\n)\n+(Human|Assistant): ?")
_BEGINS = re.compile(r"\s*Human:")

_OPENS = re.compile(
    r"<\|im_start\|>[ ]*(?P<chatml>\w+)\n"
    r"|<\|start_header_id\|>[ ]*(?P<llama>\w+)[ ]*<\|end_header_id\|>\n*"
    r"|<start_of_turn>[ ]*(?P<gemma>\w+)\n"
    r"|<\|(?P<bare>system|user|assistant)\|>\n?"
    r"|<\|header_start\|>[ ]*(?P<llama4>\w+)[ ]*<\|header_end\|>\n*"
    r"|<\|start_of_role\|>[ ]*(?P<granite>\w+)[ ]*<\|end_of_role\|>"
    r"|<\|START_OF_TURN_TOKEN\|><\|(?P<command>[A-Z]+)_TOKEN\|>"
    r"|<｜(?P<deepseek>User|Assistant)｜>"
    r"|\n?<extra_id_[01]>(?P<nemo>System|User|Assistant)\n"
)
_FIRST = re.compile(r"\s*(?:<s>|<\|begin_of_text\|>|<bos>|<\|endoftext\|>|<BOS_TOKEN>|<｜begin▁of▁sentence｜>)?\s*")
# NeMo's prompts begin with what a person said and have markers from the second turn on.
_UNOPENED = re.compile(r"\n<extra_id_1>(?:User|Assistant)\n")
# Templates that are known by their beginning, and whose turns cannot be told apart for certain.
_ONLY_KNOWN = re.compile(
    r"\s*(?:<\|start\|>\w+(?:<\|channel\|>\w+)?<\|message\|>"
    r"|(?:Below is an instruction that describes a task\b.*?)?\#\#\# Instruction:.*\n\#\#\# Response:"
    r"|\#\#\# Human:.*\#\#\# Assistant:"
    r"|(?:A chat between a [^\n]*? )?USER: .*\bASSISTANT:\s*\Z)",
    re.DOTALL,
)
_END_MARKS = (
    "<|eot|>",
    "<|return|>",
    "<|END_OF_TURN_TOKEN|>",
    "<｜end▁of▁sentence｜>",
    "<extra_id_1>",
    "<|im_end|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "</s>",
    "<eos>",
)
_SYS = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>(.*)\Z", re.DOTALL)
_ROLES = {"system": "system", "developer": "system", "user": "user", "human": "user"}
_ROLES |= {"chatbot": "assistant"}
_ROLES |= {"assistant": "assistant", "model": "assistant", "tool": "tool", "ipython": "tool"}
RENDERED = "already rendered with a chat template"
_BEGIN_WITH = "ABHU"  # "A chat between", "Below is an instruction", "Human:", "USER:"
_NEMO = "\n<extra_id_1>"


def begins_plainly(text: str) -> bool:
    """Whether a text's first character shows that it is no dialogue, not rendered, no list, no object.

    NeMo's markers, which begin with the second turn, are looked for besides.
    """
    first = text[:1]
    return first.isalnum() and first not in _BEGIN_WITH and _NEMO not in text


def is_dialogue(text: object) -> bool:
    """Whether a text is a dialogue of hh's: a person speaks first, and an assistant later.

    The two line breaks in front may be missing. Somebody who only quotes one speaker writes no dialogue.
    """
    if not isinstance(text, str) or begins_plainly(text):
        return False
    return _BEGINS.match(text) is not None and "\nAssistant:" in text


def dialogue(text: object) -> list[Message]:
    """The turns of a dialogue of hh's. Raises `Skip`."""
    if not isinstance(text, str):
        raise Skip("not a dialogue")
    if _BEGINS.match(text) and not text.startswith("\n\n"):
        text = "\n\n" + text.lstrip()
    pattern = _TURN if len(_TURN.findall(text)) > 1 or not _LOOSE_TURN.search(text, 2) else _LOOSE_TURN
    pieces = pattern.split(text)
    if pieces[0].strip():
        raise Skip("text before the first turn")
    return [Message(_NAMES[pieces[i]], pieces[i + 1]) for i in range(1, len(pieces), 2)]


def is_rendered(text: str) -> bool:
    """Whether a text begins with the markers of a chat template."""
    if begins_plainly(text):
        return False
    begin = _FIRST.match(text)
    place = begin.end() if begin else 0
    if _OPENS.match(text, place) is not None or text.startswith("[INST]", place):
        return True
    return _UNOPENED.search(text) is not None or _ONLY_KNOWN.match(text) is not None


def rendered(text: str) -> list[Message]:
    """The turns of a text that a chat template wrote; an answer that was only begun is none. Raises `Skip`."""
    begin = _FIRST.match(text)
    text = text[begin.end() if begin else 0 :]
    if _OPENS.match(text) is None and _UNOPENED.search(text):
        text = f"<extra_id_1>User\n{text}"
    elif _ONLY_KNOWN.match(text):
        raise Skip(RENDERED)
    found = _instructions(text) if text.startswith("[INST]") else _headed(text)
    if found and found[-1].role == "assistant" and not found[-1].content.strip():
        found.pop()
    if any(_OPENS.search(turn.content) or "[INST]" in turn.content for turn in found):
        raise Skip(RENDERED)
    return [turn for turn in found if turn.content.strip() or turn.role != "system"]


def ended(text: str) -> str:
    """A text without the marker that a chat template ends an answer with."""
    kept = text.rstrip()
    while kept.endswith(_END_MARKS):
        mark = next(mark for mark in _END_MARKS if kept.endswith(mark))
        text = kept = kept.removesuffix(mark).rstrip()
    return text


def _headed(text: str) -> list[Message]:
    found, marks = [], list(_OPENS.finditer(text))
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        name = next(group for group in mark.groups() if group)
        role = _ROLES.get(name.lower())
        if role is None:
            raise Skip(RENDERED)
        found.append(Message(role, ended(text[mark.end() : after.start() if after else len(text)])))
    return found


def _instructions(text: str) -> list[Message]:
    found = []
    for piece in text.split("[INST]")[1:]:
        question, closed, answer = piece.partition("[/INST]")
        if not closed:
            raise Skip(RENDERED)
        system = _SYS.match(question)
        if system:
            found.append(Message("system", system.group(1).strip()))
            question = system.group(2)
        found.append(Message("user", question.strip()))
        said = ended(answer.strip().removesuffix("<s>").strip())
        found.append(Message("assistant", said.strip()))
    if not found:
        raise Skip(RENDERED)
    # Only the last answer may be missing.
    return [turn for turn in found[:-1] if turn.content or turn.role != "assistant"] + found[-1:]
