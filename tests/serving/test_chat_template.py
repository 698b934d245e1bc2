"""Whether a template has a system role is asked of the template, and messages are arranged for one that has none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving.chat_template import folded, takes_system

SHIPPED = Path(__file__).resolve().parents[2] / "data" / "model"
EACH = "{% for m in messages %}{{ m.content }}{% endfor %}"
TALK = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]


@pytest.mark.parametrize(
    ("template", "takes"),
    [
        (EACH, True),
        ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + EACH, False),
        (EACH.replace("{{ m.content }}", "{% if m.role != 'system' %}{{ m.content }}{% endif %}"), False),
        (EACH.replace("{{ m.content }}", "{{ {'user': 'U'}[m.role].upper() + m.content }}"), False),
        ("{{ a_function_of_its_tokenizer(messages) }}", True),
        ("{% not jinja", True),
    ],
)
def test_a_role_is_there_when_what_it_says_is_rendered(template: str, takes: bool) -> None:
    assert takes_system(template) is takes


def test_the_embedded_model_has_one() -> None:
    beside = SHIPPED / "chat_template.jinja"
    config = json.loads((SHIPPED / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert takes_system(beside.read_text(encoding="utf-8") if beside.is_file() else config["chat_template"])


def test_messages_are_folded_only_where_that_loses_nothing() -> None:
    assert folded(TALK) == [{"role": "user", "content": "Be kind.\n\nHello?"}]
    assert folded(TALK[1:]) == TALK[1:]
    parts = [TALK[0], {"role": "user", "content": [{"type": "text", "text": "Hello?"}]}]
    assert folded(parts) == parts
