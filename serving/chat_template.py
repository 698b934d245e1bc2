"""Whether a chat template takes a system message, and messages for one that does not.

A chat template is a program of the model's maker: it may refuse a role, or leave out what it says. It is asked here
with a message of each kind, in jinja's sandbox. One that cannot be run here is taken to know the role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alignment.system_text import without_system

MARK = "mark1x"


class _Refused(Exception):
    """What the template itself raised."""


def takes_system(template: str) -> bool:
    """Whether what a system message says stands in what the template renders."""
    turns = [{"role": "system", "content": MARK}, {"role": "user", "content": "mark2x"}]
    try:
        return MARK in _render(template, turns)
    except _Refused:
        return False
    except Exception:
        # It may need what only its own tokenizer has; then it fails at any message, and that says nothing of the role.
        return not _renders(template, turns[1:])


def folded(messages: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The messages with system texts before the first user's; as they are where one of those is not a text."""
    if not any(message.get("role") == "system" for message in messages):
        return list(messages)
    if not all(isinstance(message.get("content"), str) and set(message) == {"role", "content"} for message in messages):
        return list(messages)
    turns = without_system([(str(message["role"]), message["content"]) for message in messages])
    return [{"role": role, "content": content} for role, content in turns]


def _renders(template: str, turns: Sequence[Mapping[str, str]]) -> bool:
    try:
        return bool(_render(template, turns))
    except Exception:
        return False


def _render(template: str, turns: Sequence[Mapping[str, str]]) -> str:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(sentence: str = "") -> None:
        raise _Refused(sentence)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals |= {"raise_exception": refuse, "strftime_now": lambda form: ""}
    return environment.from_string(template).render(
        messages=turns, add_generation_prompt=True, bos_token="<s>", eos_token="</s>", tools=None, documents=None
    )
