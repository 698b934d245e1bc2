"""Every format both ways: what is written reads as the same values, or is left out with the reason.

No format changes a value in silence. What a format cannot carry stands in its module's docstring, and the tests
at the end show each of those limits.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.dataset.judgement import Message
from alignment.dataset.reading.feedback import checked, demonstration, pair
from alignment.dataset.reading.formats import FORMATS, Feedback, Record, detect
from alignment.dataset.reading.formats.llama_factory import Layout, dataset_info, layout_of, read_llama_factory
from alignment.dataset.reading.formats.table import COLUMNS, escaped, unescaped
from alignment.dataset.reading.turns import calls_text, tools_text
from tests.alignment.dataset.reading.conversations import (
    AWKWARD,
    TEXT,
    demonstrations,
    marks,
    pairs,
    rankings,
    votes,
)

pytestmark = pytest.mark.slow

MANY = settings(max_examples=400, deadline=None)


def written(format: str, rows: list[Feedback]) -> tuple[list[Record], Counter[str]]:
    """Records, after a journey through the text of a file."""
    left_out: Counter[str] = Counter()
    records = list(FORMATS[format].write(rows, left_out))
    if format == "csv":
        file = io.StringIO(newline="")
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([[record[column] for column in COLUMNS] for record in records])
        file.seek(0)
        return [dict(row) for row in csv.DictReader(file)], left_out
    return [json.loads(json.dumps(record, ensure_ascii=False)) for record in records], left_out


def back(format: str, rows: list[Feedback]) -> list[Feedback]:
    """Everything that is read of what was written; a record shows its own format."""
    records, left_out = written(format, rows)
    if format != "csv":
        assert [detect(record) for record in records] == [format] * len(records)
    read = [one for record in records for one in FORMATS[format].read(record)]
    assert len(read) + left_out.total() == len(rows)
    return [checked(one) for one in read]


def same(format: str, row: Feedback) -> None:
    """The row comes back as it was, or not at all."""
    for one in back(format, [row]):
        assert one == row


# --- formats that carry everything ---------------------------------------------------------------------


@pytest.mark.parametrize("format", ["trl", "openai-preference", "csv", "llama-factory"])
@MANY
@given(pairs())
def test_a_pair_survives_with_system_tools_and_any_text(format: str, row: Feedback) -> None:
    assert back(format, [row]) == [row]


@pytest.mark.parametrize("format", ["trl-unpaired", "llama-factory"])
@MANY
@given(marks())
def test_a_mark_survives_with_system_tools_and_any_text(format: str, row: Feedback) -> None:
    assert back(format, [row]) == [row]


@pytest.mark.parametrize("format", ["openai-chat", "llama-factory"])
@MANY
@given(demonstrations())
def test_a_demonstration_survives_with_system_tools_and_any_text(format: str, row: Feedback) -> None:
    assert back(format, [row]) == [row]


@MANY
@given(rankings())
def test_a_ranking_survives_in_the_ranked_form(row: Feedback) -> None:
    assert back("ranked", [row]) == [row]


# --- formats with limits: all of what they can carry, and nothing bent ---------------------------------


@MANY
@given(pairs())
def test_hh_carries_a_pair_or_leaves_it_out(row: Feedback) -> None:
    same("hh", row)


@MANY
@given(pairs(tools=False, system=False))
def test_hh_carries_every_dialogue_that_names_no_speaker(row: Feedback) -> None:
    texts = [turn.content for turn in row.prompt] + [answer.text for answer in row.answers]
    if not any("Human:" in text or "Assistant:" in text for text in texts):
        assert back("hh", [row]) == [row]


@MANY
@given(marks())
def test_open_webui_carries_a_mark_or_leaves_it_out(row: Feedback) -> None:
    same("open-webui", row)


@MANY
@given(marks(tools=False))
def test_open_webui_carries_every_conversation_without_tools(row: Feedback) -> None:
    assert back("open-webui", [row]) == [row]


@MANY
@given(votes())
def test_fastchat_carries_a_vote_or_leaves_it_out(row: Feedback) -> None:
    same("fastchat", row)


@MANY
@given(votes(tools=False))
def test_fastchat_carries_every_conversation_without_tools(row: Feedback) -> None:
    assert back("fastchat", [row]) == [row]


@MANY
@given(rankings())
def test_ultrafeedback_carries_a_ranking_of_answers_to_one_question_and_no_other(row: Feedback) -> None:
    assert back("ultrafeedback", [row]) == ([row] if len(row.prompt) == 1 else [])


def as_set(row: Feedback) -> tuple[Any, ...]:
    """A ranking without the order in which its answers are listed, which a tree does not keep."""
    return (row.prompt, frozenset((answer.text, answer.rank) for answer in row.answers))


@MANY
@given(st.lists(rankings(tools=False, system=False), max_size=4))
def test_oasst_carries_every_ranking_of_plain_conversations_in_trees(rows: list[Feedback]) -> None:
    assert Counter(map(as_set, back("oasst", rows))) == Counter(map(as_set, rows))


@MANY
@given(st.lists(rankings(), max_size=3))
def test_oasst_leaves_out_what_has_a_system_or_tool_message(rows: list[Feedback]) -> None:
    kept = [row for row in rows if {turn.role for turn in row.prompt} <= {"user", "assistant"}]
    assert Counter(map(as_set, back("oasst", rows))) == Counter(map(as_set, kept))


def test_rankings_along_one_conversation_are_one_tree() -> None:
    first = rank_on((Message("user", "Q"),), ["A", "B"])
    second = rank_on((*first.prompt, Message("assistant", "A"), Message("user", "More?")), ["C", "D"])
    records, _ = written("oasst", [second, first])
    assert len(records) == 1
    again, _ = written("oasst", [first, rank_on(first.prompt, ["B", "A"])])
    assert len(again) == 2  # two opinions on one prompt cannot stand in one tree


def rank_on(prompt: tuple[Message, ...], texts: list[str]) -> Feedback:
    """A ranking in this order."""
    from alignment.dataset.reading.feedback import ranking

    return ranking(prompt, texts, range(1, len(texts) + 1))


# --- other shapes of the same formats ------------------------------------------------------------------


def messages(turns: tuple[Message, ...], *answer: str) -> list[Record]:
    """Role and content."""
    return [
        {"role": turn.role, "content": turn.content} for turn in (*turns, *(Message("assistant", a) for a in answer))
    ]


@MANY
@given(pairs())
def test_trl_with_an_implicit_prompt_reads_as_with_an_explicit_one(row: Feedback) -> None:
    chosen, rejected = (messages(row.prompt, answer.text) for answer in row.answers)
    assert FORMATS["trl"].read({"chosen": chosen, "rejected": rejected}) == [row]
    assert FORMATS["trl"].read({"prompt": messages(row.prompt), "chosen": chosen, "rejected": rejected}) == [row]


@MANY
@given(TEXT, TEXT, TEXT)
def test_trl_of_plain_text_reads_the_prompt_as_the_users(prompt: str, chosen: str, rejected: str) -> None:
    expected = pair([Message("user", prompt)], chosen, rejected)
    assert FORMATS["trl"].read({"prompt": prompt, "chosen": chosen, "rejected": rejected}) == [expected]


def test_trl_of_plain_text_without_a_prompt_is_cut_where_the_sides_part() -> None:
    record = {"chosen": "The sky is blue.", "rejected": "The sky is green."}
    assert FORMATS["trl"].read(record) == [pair([Message("user", "The sky is")], " blue.", " green.")]


@MANY
@given(demonstrations(), st.booleans())
def test_llama_factory_reads_columns_and_roles_by_the_names_that_dataset_info_gives(row: Feedback, raw: bool) -> None:
    """Any names: the standard record with its keys and roles renamed, and an info that says so."""
    (record,), _ = written("llama-factory", [row])
    roles = {"human": "U", "gpt": "A", "observation": "O", "function_call": "F", "system": "S"}
    renamed = {
        "talk": [{"who": roles[turn["from"]], "what": turn["value"]} for turn in record["conversations"]],
        "sys": record["system"],
        "functions": json.loads(record["tools"]) if raw and record["tools"] else record["tools"],
    }
    info = {
        "mine": {
            "file_name": "x.json",
            "formatting": "sharegpt",
            "columns": {"messages": "talk", "system": "sys", "tools": "functions"},
            "tags": {
                "role_tag": "who",
                "content_tag": "what",
                "user_tag": "U",
                "assistant_tag": "A",
                "observation_tag": "O",
                "function_tag": "F",
                "system_tag": "S",
            },
        }
    }
    assert read_llama_factory(renamed, layout_of(info, "x.json")) == [row]
    assert layout_of(info, "y.json") is None


def test_a_written_dataset_info_describes_its_own_files() -> None:
    from alignment.dataset.reading.formats import Kind

    info = dataset_info(
        {"preference_train.json": Kind.PAIR, "kto_train.json": Kind.MARK, "sft_train.json": Kind.DEMONSTRATION}
    )
    assert [entry.get("ranking", False) for entry in info.values()] == [True, False, False]
    row = pair([Message("system", "S"), Message("user", "Q")], "A", "B")
    (record,), _ = written("llama-factory", [row])
    layout = layout_of(info, "preference_train.json")
    assert layout == Layout(True, info["alignloop_preference_train"]["columns"], {})
    assert read_llama_factory(record, layout) == [row]


@MANY
@given(st.lists(st.tuples(TEXT, TEXT), max_size=2), TEXT, TEXT, TEXT, TEXT)
def test_llama_factorys_alpaca_style_reads_history_system_and_input(
    history: list[tuple[str, str]], system: str, asked: str, more: str, answer: str
) -> None:
    record = {
        "instruction": asked,
        "input": more,
        "output": answer,
        "system": system,
        "history": [list(h) for h in history],
    }
    before = [turn for question, said in history for turn in (Message("user", question), Message("assistant", said))]
    prompt = [Message("system", system), *before, Message("user", f"{asked}\n{more}")]
    assert FORMATS["llama-factory"].read(record) == [demonstration(prompt, answer)]
    plain = {"instruction": asked, "output": answer, "kto_tag": False}
    assert FORMATS["llama-factory"].read(plain)[0].answers[0].good is False


def test_openai_chat_reads_every_answer_that_is_meant_to_be_learned() -> None:
    turns = messages((Message("user", "Q"), Message("assistant", "A"), Message("user", "R"), Message("assistant", "B")))
    assert [one.answers[0].text for one in FORMATS["openai-chat"].read({"messages": turns})] == ["A", "B"]
    turns[1]["weight"] = 0
    assert [one.answers[0].text for one in FORMATS["openai-chat"].read({"messages": turns})] == ["B"]


def test_openais_tool_calls_keep_names_arguments_and_the_order_of_results() -> None:
    record = {
        "input": {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "2+3 and 4+5?"}]},
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "x", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}},
                        {"id": "y", "type": "function", "function": {"name": "add", "arguments": '{"a": 4, "b": 5}'}},
                    ],
                },
                {"role": "tool", "tool_call_id": "y", "content": "9"},
                {"role": "tool", "tool_call_id": "x", "content": "5"},
            ],
            "tools": [{"type": "function", "function": {"name": "add"}}],
        },
        "preferred_output": [{"role": "assistant", "content": "5 and 9"}],
        "non_preferred_output": [{"role": "assistant", "content": "9 and 5"}],
    }
    (row,) = FORMATS["openai-preference"].read(record)
    assert row.prompt == (
        Message("system", tools_text([{"type": "function", "function": {"name": "add"}}])),
        Message("system", "Be brief."),
        Message("user", "2+3 and 4+5?"),
        Message(
            "assistant",
            calls_text(
                [{"name": "add", "arguments": {"a": 2, "b": 3}}, {"name": "add", "arguments": {"a": 4, "b": 5}}]
            ),
        ),
        Message("tool", "5"),
        Message("tool", "9"),
    )
    assert back("openai-preference", [row]) == [row]


# --- what cannot be carried, each shown ----------------------------------------------------------------

QUESTION = (Message("user", "Q"),)


@pytest.mark.parametrize(
    ("format", "prompt", "reason"),
    [
        ("hh", (Message("system", "S"), *QUESTION), "system or tool message"),
        ("hh", (Message("user", "Q\n\nHuman: R"),), "read as a turn"),
        ("open-webui", (*QUESTION, Message("assistant", "A"), Message("tool", "T")), "tool or later system message"),
        ("fastchat", (*QUESTION, Message("assistant", "A"), Message("tool", "T")), "no place for"),
        ("fastchat", (Message("system", ""), *QUESTION), "empty system message"),
        ("ultrafeedback", (Message("system", "S"), *QUESTION), "several turns"),
        ("oasst", (Message("system", "S"), *QUESTION), "system or tool message"),
        ("oasst", (Message("assistant", "A"), *QUESTION), "begin and end with a question"),
    ],
)
def test_what_a_format_has_no_place_for_is_left_out_with_the_reason(
    format: str, prompt: tuple[Message, ...], reason: str
) -> None:
    row = Feedback(prompt, pair(prompt, "A", "B").answers)
    if format == "open-webui":
        from alignment.dataset.reading.feedback import mark

        row = mark(prompt, "A", True)
    records, left_out = written(format, [row])
    assert records == []
    assert len(left_out) == 1
    assert reason in next(iter(left_out))


@pytest.mark.parametrize("cell", [*AWKWARD, "=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "'+", "''@", "＝1"])
def test_no_cell_of_a_table_is_calculated_and_each_comes_back(cell: str) -> None:
    assert escaped(cell)[:1] not in tuple("=+-@\t\r＝＋－＠")
    assert unescaped(escaped(cell)) == cell


@MANY
@given(st.text())
def test_escaping_cells_is_undone_for_any_text(cell: str) -> None:
    assert unescaped(escaped(cell)) == cell
    assert escaped(cell)[:1] not in tuple("=+-@\t\r＝＋－＠")
