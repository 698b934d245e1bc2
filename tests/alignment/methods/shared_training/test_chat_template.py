"""What a chat template does with roles: refuses them, leaves them out, or knows them."""

from __future__ import annotations

from typing import Any

import pytest

from alignment.dataset.judgement import Message
from alignment.dataset.left_out import Reason, Unusable
from alignment.methods.shared_training.chat_template import ChatTemplate
from tests.alignment.tiny_model import byte_tokenizer

DEAF = (  # says nothing of roles it does not know, as many templates do
    "{% for m in messages %}{% if m['role'] in ['user', 'assistant', 'system'] %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
)
ALTERNATING = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user and assistant') }}{% endif %}{{ m['content'] }}<|end|>{% endfor %}"
)
BROKEN = "{{ messages[0]['content'] + 1 }}"


def template(text: str = "") -> ChatTemplate:
    tokenizer: Any = byte_tokenizer(256)
    if text:
        tokenizer.chat_template = text
    return ChatTemplate(tokenizer)


def talk(*roles: str) -> list[Message]:
    return [Message(role, f"{role} says {number}") for number, role in enumerate(roles)]


def test_developer_is_read_as_system_where_the_template_says_nothing_of_it() -> None:
    assert template(DEAF).prompt(talk("developer", "user")) == (
        Message("system", "developer says 0"),
        Message("user", "user says 1"),
    )


def test_developer_stays_where_the_template_knows_it() -> None:
    assert template().prompt(talk("developer", "user")) == tuple(talk("developer", "user"))


@pytest.mark.parametrize("role", ["tool", "function", "ipython"])
def test_a_role_that_would_be_left_out_in_silence_is_refused(role: str) -> None:
    with pytest.raises(Unusable, match=f"it leaves out the role {role}") as refused:
        template(DEAF).prompt(talk("user", role))
    assert refused.value.reason is Reason.TEMPLATE


def test_a_template_that_raises_is_a_reason_with_its_words() -> None:
    asked = template(ALTERNATING)
    with pytest.raises(Unusable, match="roles must alternate user and assistant"):
        asked.ids(asked.prompt(talk("user", "user")), opens=True)
    with pytest.raises(Unusable, match="refused by the model's chat template"):
        template(BROKEN).ids(talk("user"))


def test_what_a_template_says_about_a_role_is_cut_off() -> None:
    text = "{{ raise_exception('unknown role: ' + messages[0]['role']) }}"
    with pytest.raises(Unusable) as refused:
        template(text).prompt(talk("x" * 10_000, "user"))
    assert len(refused.value.words) == 200


@pytest.mark.parametrize("first", ["system", "developer"])
@pytest.mark.parametrize(
    "without",
    [
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{{ m.content }}<|end|>{% endfor %}",
        "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}<|end|>{% endif %}{% endfor %}",
    ],
    ids=["refuses", "leaves out"],
)
def test_without_a_system_role_its_text_stands_before_the_first_question(first: str, without: str) -> None:
    if first == "developer":
        without = without.replace("'system' %}{{ raise", "'developer' or m.role == 'system' %}{{ raise")
        without = without.replace("!= 'system'", "in ['user', 'assistant']")
    talked = template(without).prompt(talk(first, "user", "assistant", "user"))
    assert [message.role for message in talked] == ["user", "assistant", "user"]
    assert talked[0].content == f"{first} says 0\n\nuser says 1"


def test_a_template_with_a_system_role_that_refuses_something_else_is_not_asked_otherwise() -> None:
    with pytest.raises(Unusable, match="the role tool"):
        template(DEAF).prompt(talk("system", "user", "tool"))
