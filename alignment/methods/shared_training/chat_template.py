"""A tokenizer's chat template, asked so that a conversation which it refuses is a reason and not an error.

A chat template is a program of the model's maker: it may raise whatever it likes at a role it does not know, at two
turns of one role, at content it did not expect. And it may say nothing, and leave a turn out. Both are found here,
for every stage, before anything is trained. What is not done here: counting (`alignment.dataset.left_out`), lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import Reason, Unusable
from alignment.system_text import without_system

PLAIN = frozenset({"user", "assistant"})  # every chat template has these
SAME_AS = {"developer": "system"}  # OpenAI's newer name for it; read so where the template has no such role


class ChatTemplate:
    """Renders conversations as token ids. Raises `Unusable` for one that the template or the tokenizer refuses."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[tuple[str, ...], tuple[str, ...] | Unusable] = {}

    def prompt(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """The messages with roles that the template knows; without a system role, as `system_text` has it.

        Raises `Unusable` when there are none such, or no text.
        """
        if not any(message.content.strip() for message in messages):
            raise Unusable(Reason.EMPTY)
        roles = tuple(message.role for message in messages)
        if PLAIN.issuperset(roles):
            return tuple(messages)
        known = self._known_as(roles)
        if isinstance(known, Unusable):
            read = [SAME_AS.get(role, role) for role in roles]
            if "system" not in read or not isinstance(self._known_as(("system", "user")), Unusable):
                raise known
            # Served so too: the text of the system stands before the first user's.
            turns = zip(read, (message.content for message in messages), strict=True)
            return self.prompt([Message(role, content) for role, content in without_system(list(turns))])
        return tuple(Message(role, message.content) for role, message in zip(known, messages, strict=True))

    def ids(self, messages: Sequence[Message], *, opens: bool = False) -> list[int]:
        """The token ids of messages that `prompt` gave; with `opens`, up to where the next answer begins."""
        rendered = self._apply(as_turns(messages), tokenize=True, add_generation_prompt=opens, return_dict=False)
        return list(rendered)

    def _known_as(self, roles: tuple[str, ...]) -> tuple[str, ...] | Unusable:
        if roles not in self._known:
            self._known[roles] = self._learn(roles)
        return self._known[roles]

    def _learn(self, roles: tuple[str, ...]) -> tuple[str, ...] | Unusable:
        """The roles as the template takes them: all of what each says must be in what it renders."""
        why = Unusable(Reason.TEMPLATE)
        for candidate in dict.fromkeys((roles, tuple(SAME_AS.get(role, role) for role in roles))):
            marks = [f"mark{number}x" for number in range(len(roles))]
            turns = as_turns([Message(role, mark) for role, mark in zip(candidate, marks, strict=True)])
            try:
                text = str(self._apply(turns, tokenize=False, add_generation_prompt=candidate[-1] != "assistant"))
            except Unusable as error:
                why = error
                continue
            lost = [role for role, mark in zip(candidate, marks, strict=True) if mark not in text]
            if not lost:
                return candidate
            why = Unusable(Reason.TEMPLATE, f"it leaves out the role {lost[0]}")
        return why

    def _apply(self, turns: list[dict[str, str]], **how: Any) -> Any:
        try:
            return self._tokenizer.apply_chat_template(turns, **how)
        except MemoryError:
            raise
        except Exception as error:
            said = str(error).strip().split("\n")[0] or type(error).__name__
            raise Unusable(Reason.TEMPLATE, said) from error


def as_turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Messages as chat templates take them."""
    return [{"role": message.role, "content": message.content} for message in messages]
