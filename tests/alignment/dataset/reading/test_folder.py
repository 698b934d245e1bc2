"""A stage's folder: read by the rules of import, one row at a time, strict where a number or a label is trained on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alignment.dataset.judgement import Mark
from alignment.dataset.left_out import LeftOut
from alignment.dataset.reading.folder import (
    read_all,
    read_comparisons,
    read_conversations,
    read_marks,
    read_pairs,
    read_sft,
)
from alignment.dataset.rows import MarkRow, PairRow, SftRow, to_record
from alignment.errors import AlignmentError, SnapshotProblem
from alignment.methods.pretrain.tokenizer import CHAT_TEMPLATE
from tests.alignment.builders import like, ranking, vote
from tests.alignment.compiled import compile_rows, write_compiled
from tests.alignment.tiny_model import byte_tokenizer

Record = dict[str, Any]
GOOD_BAD = (Mark.GOOD, Mark.BAD)


def said(role: str, content: Any) -> Record:
    return {"role": role, "content": content}


def pair_of(number: int, **more: Any) -> Record:
    return {
        "prompt": [said("user", f"Name {number}?")],
        "chosen": [said("assistant", f"Thing {number}.")],
        "rejected": [said("assistant", "No.")],
        **more,
    }


def write(folder: Path, **files: list[Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


# --- rows that a compilation wrote ---------------------------------------------------------------------


def test_compiled_rows_come_back_as_they_were_also_out_of_parquet(tmp_path: Path) -> None:
    judgements = [vote(i, prompt=f"Question {i} \u2028ä?") for i in range(30)]
    judgements += [ranking(202, [1, 2, 2, 3]), *(like(300 + i, f"Blue {i}!", good) for i, good in enumerate(GOOD_BAD))]
    write_compiled(judgements, tmp_path / "snapshot")
    compiled = compile_rows(judgements)
    (tmp_path / "tables").mkdir()
    for name in ("pairs", "groups", "marks"):
        (tmp_path / "tables" / f"{name}.parquet").write_bytes((tmp_path / "snapshot" / f"{name}.parquet").read_bytes())
    for folder in (tmp_path / "snapshot", tmp_path / "tables"):
        left = LeftOut()
        pairs, groups = read_comparisons(folder, left=left)
        marks = read_marks(folder, use="reward", left=left)
        assert (tuple(pairs), tuple(groups), tuple(marks)) == (compiled.pairs, compiled.groups, compiled.marks)
        assert left.to_record() == {"left_out": {}, "left_out_rows": {}}


def test_a_line_added_to_compiled_rows_is_left_out_when_it_is_none(tmp_path: Path) -> None:
    row = PairRow((), "Yes.", "No.", 0.5, 0.25, ("j1",), "compare")
    good = {**to_record(row), "prompt": [said("user", "Well?")]}
    left = LeftOut()
    rows = read_pairs(
        write(tmp_path, pairs=[good, "{", {"prompt": "x"}, {**good, "prompt": [said("user", 7)]}]), left=left
    )
    assert [(each.weight, each.margin, each.judgements) for each in rows] == [(0.5, 0.25, ("j1",))]
    assert left.total == 3
    assert [id for ids in left.judgements.values() for id in ids] == [
        "line 2 of pairs.jsonl",
        "line 3 of pairs.jsonl",
        "j1",
    ]


def test_a_compiled_row_whose_label_is_a_text_is_not_bent(tmp_path: Path) -> None:
    row = {**to_record(MarkRow((), "No.", False, 1.0, ("j1",))), "prompt": [said("user", "Well?")], "label": "false"}
    assert [mark.label for mark in read_marks(write(tmp_path, marks=[row]))] == [False]


# --- what is trained on is meant -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "weight", ["NaN", "Infinity", "-Infinity", "0", "-5", '"heavy"', '"2"', "true", "null", "1e999"]
)
def test_a_weight_that_cannot_be_meant_ends_the_stage_with_its_line(tmp_path: Path, weight: str) -> None:
    rows = [pair_of(0, weight=0.5), json.dumps(pair_of(1, weight="W")).replace('"W"', weight)]
    for name in ("pairs", "train"):
        with pytest.raises(
            SnapshotProblem, match=rf"{name}\.jsonl, line 2 has the weight .*: it is a finite number above 0"
        ):
            read_pairs(write(tmp_path / name, **{name: rows}))


@pytest.mark.parametrize(
    ("column", "value"),
    [("target", 67), ("target", "all"), ("margin", -1), ("margin", "NaN"), ("age_weight", 0), ("reward_only", "maybe")],
)
def test_so_does_every_other_column_of_ours(tmp_path: Path, column: str, value: Any) -> None:
    with pytest.raises(SnapshotProblem, match=rf"pairs\.jsonl, line 1 has the {column} "):
        read_pairs(write(tmp_path, pairs=[pair_of(0, **{column: value})]))


def test_in_other_peoples_files_such_a_name_is_theirs(tmp_path: Path) -> None:
    (row,) = read_pairs(write(tmp_path, theirs=[pair_of(0, origin="somewhere", weight=2)]))
    assert (row.weight, row.origin) == (2.0, "file")


@pytest.mark.parametrize("label", ["maybe", 2, 0.5, None, "", [True], {"good": 1}])
def test_a_label_that_cannot_be_meant_ends_the_stage_with_its_line(tmp_path: Path, label: Any) -> None:
    rows = [{"prompt": f"Q{i}?", "completion": f"A{i}.", "label": i % 2 == 0} for i in range(3)]
    with pytest.raises(SnapshotProblem, match=r"marks\.jsonl, line 4 has the label .*: a label is true or false"):
        read_marks(write(tmp_path, marks=[*rows, {**rows[0], "label": label}]))


@pytest.mark.parametrize(("label", "good"), [("TRUE", True), ("1", True), (1, True), (" false", False), (0, False)])
def test_a_label_is_read_as_import_reads_it(tmp_path: Path, label: Any, good: bool) -> None:
    rows = [{"prompt": "Q?", "completion": f"A{i}.", "label": each} for i, each in enumerate([True, label])]
    assert [row.label for row in read_marks(write(tmp_path, marks=rows))] == [True, good]


# --- which files ---------------------------------------------------------------------------------------


def test_files_with_the_name_of_what_is_asked_are_read_and_the_others_named(tmp_path: Path) -> None:
    write(tmp_path, pairs=[pair_of(0)], notes=[pair_of(1)], judgements=[{"id": "j"}], progress=[{"step": 1}])
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "README.md").write_text("Hello.")
    left = LeftOut()
    assert [row.chosen for row in read_pairs(tmp_path, left=left)] == ["Thing 0."]
    assert left.notes == [f"Not read in {tmp_path.name}: notes.jsonl."]


def test_without_such_a_name_all_are_read_and_the_side_is_in_the_name(tmp_path: Path) -> None:
    write(tmp_path, a=[pair_of(0)], train=[pair_of(1)], held_out=[pair_of(2)], my_test=[pair_of(3)])
    assert [(row.chosen[6], row.split) for row in read_pairs(tmp_path)] == [
        ("0", "train"),
        ("2", "held_out"),
        ("3", "held_out"),
        ("1", "train"),
    ]
    assert [row.chosen for row in read_pairs(tmp_path, "held_out")] == ["Thing 2.", "Thing 3."]


@pytest.mark.parametrize("what", ["nowhere", "empty", "text"])
def test_nothing_to_read_is_one_sentence(tmp_path: Path, what: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "text", pairs=[])
    (tmp_path / "text" / "pairs.jsonl").write_text("Once upon a time.\nThere was no JSON.\n")
    with pytest.raises(AlignmentError) as refused:
        read_pairs(tmp_path / what)
    assert "\n" not in str(refused.value)


def test_feedback_of_another_kind_names_the_stage_for_it(tmp_path: Path) -> None:
    rows = [{"prompt": "Q?", "completion": "A.", "label": True}]
    with pytest.raises(SnapshotProblem, match=r"holds no pairs, but 1 marks \(for kto\)"):
        read_pairs(write(tmp_path, rows=rows))


# --- shapes become rows --------------------------------------------------------------------------------


def test_a_ranking_is_a_group_and_its_pairs_weigh_as_a_compilation_weighs_them(tmp_path: Path) -> None:
    responses = [{"text": text, "rank": rank} for text, rank in (("B", 2), ("A", 1), ("C", 2), ("D", 3))]
    pairs, groups = read_comparisons(write(tmp_path, r=[{"prompt": "Q?", "responses": responses}]))
    compiled = compile_rows([ranking(1, [1, 2, 2, 3])])
    assert [tuple(map(len, group.completions)) for group in groups] == [(1, 2, 1)]
    assert groups[0].weight == compiled.groups[0].weight
    assert sorted((row.weight, row.margin) for row in pairs) == sorted(
        (row.weight, row.margin) for row in compiled.pairs
    )
    assert {row.judgements for row in (*pairs, *groups)} == {("line 1 of r.jsonl",)}


def test_a_conversation_keeps_its_turns_and_learns_what_it_is_to_learn(tmp_path: Path) -> None:
    turns = [said("user", "Hi"), said("assistant", "Hello."), said("user", "Go on"), said("assistant", "So.")]
    muted = [turns[0], {**turns[1], "weight": 0}, *turns[2:]]
    rows = [{"messages": turns}, {"messages": muted}, {"messages": turns[:2]}, {"messages": turns[:1]}]
    left = LeftOut()
    found = read_conversations(write(tmp_path, train=rows), left=left)
    assert [(len(each.turns), each.learned) for each in found] == [(4, (1, 3)), (4, (3,)), (2, (1,))]
    assert found[0].judgements == ("line 1 of train.jsonl",)
    assert left.total == 1


def test_a_conversation_that_opens_with_an_answer_is_learned_as_it_is(tmp_path: Path) -> None:
    rows = [{"messages": [said("assistant", "Once."), said("user", "Go on"), said("assistant", "So.")]}]
    rows += [{"messages": [said("assistant", "A story.")]}]
    found = read_conversations(write(tmp_path, train=rows))
    assert [each.learned for each in found] == [(0, 2), (0,)]


def test_a_long_answer_to_imitate_is_the_models_to_judge(tmp_path: Path) -> None:
    row = {"messages": [said("user", "Tell me all."), said("assistant", "word " * 8_000)]}
    assert [len(each.turns[1].content) for each in read_conversations(write(tmp_path, train=[row]))] == [40_000]


def test_every_kind_of_row_asks_something(tmp_path: Path) -> None:
    write(
        tmp_path,
        pairs=[pair_of(0), pair_of(1, reward_only=True)],
        marks=[{"prompt": "M?", "completion": "A.", "label": False}],
        sft=[to_record(SftRow((), "Yes.", 1.0, ())) | {"prompt": [said("user", "S?")]}],
    )
    assert [row.prompt[0].content for row in read_all(tmp_path)] == ["Name 0?", "M?", "S?"]
    assert [row.completion for row in read_sft(tmp_path)] == ["Yes."]


# --- one row never ends a stage ------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "a\u2028b", "a\u0085b", "\x00", "\ud800", "<|end|>", "Human: a\n\nAssistant: b", "[]", "{"]
    ),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
roles = st.sampled_from(
    ["user", "assistant", "system", "developer", "tool", "function", "User", "<|user|>", "", 7, None]
)
contents = st.one_of(
    texts, values, st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=2)
)
turns = st.lists(st.one_of(st.fixed_dictionaries({"role": roles, "content": contents}), values), max_size=4)
told = st.one_of(texts, turns, values)
keys = st.sampled_from(["system", "tools", "images", "judgements", "split", "origin", "id", "source"])
beside = st.dictionaries(keys, values, max_size=2)
broken_lines = st.sampled_from(["{", "[]", "7", "null", '"text"', "[" * 40, '{"prompt": '])


def lines_of(*names: str) -> st.SearchStrategy[list[Any]]:
    records = st.fixed_dictionaries({}, optional={name: told for name in names})
    return st.lists(st.one_of(st.builds(lambda a, b: {**b, **a}, records, beside), broken_lines), max_size=6)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    made = byte_tokenizer(256)
    made.chat_template = CHAT_TEMPLATE
    return made


GOOD = 8


def mixed(good: list[Record], more: list[Any], seed: int) -> list[Any]:
    """Good rows among others, the first of them first: by it the file is known."""
    rest = [*good[1:], *more]
    random.Random(seed).shuffle(rest)
    return [good[0], *rest]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(more=lines_of("prompt", "chosen", "rejected"), seed=st.integers(0, 9))
def test_no_row_among_pairs_ends_a_stage(tmp_path: Path, tokenizer: Any, more: list[Any], seed: int) -> None:
    from alignment.methods.shared_training.tokenized import tokenize_pairs

    left = LeftOut()
    rows = read_pairs(write(tmp_path, pairs=mixed([pair_of(i) for i in range(GOOD)], more, seed)), left=left)
    kept, unusable = tokenize_pairs(rows, tokenizer, 256)
    left.update(unusable)
    assert len(kept) + left.total == GOOD + len(more)
    assert {f"Name {i}?" for i in range(GOOD)} <= {row.prompt[-1].content for row in rows}
    assert json.loads(json.dumps(left.to_record())) == left.to_record()


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(more=lines_of("prompt", "completion"), seed=st.integers(0, 9), good=st.booleans())
def test_no_row_among_marks_ends_a_stage(
    tmp_path: Path, tokenizer: Any, more: list[Any], seed: int, good: bool
) -> None:
    from alignment.methods.shared_training.tokenized_labels import tokenize_marks

    marks = [{"prompt": f"Name {i}?", "completion": "Thing.", "label": i % 2 == 0} for i in range(GOOD)]
    more = [each if isinstance(each, str) else {**each, "label": good} for each in more]
    left = LeftOut()
    rows = read_marks(write(tmp_path, marks=mixed(marks, more, seed)), left=left)
    kept, unusable = tokenize_marks(rows, tokenizer, 256)
    left.update(unusable)
    assert len(kept) + left.total == GOOD + len(more)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(more=lines_of("messages"), seed=st.integers(0, 9))
def test_no_row_among_conversations_ends_a_stage(tmp_path: Path, tokenizer: Any, more: list[Any], seed: int) -> None:
    from alignment.methods.sft.train import laid_out
    from alignment.methods.shared_training.tokenized import Laying

    good = [{"messages": [said("user", f"Name {i}?"), said("assistant", "Thing.")]} for i in range(GOOD)]
    left = LeftOut()
    rows = read_conversations(write(tmp_path, train=mixed(good, more, seed)), left=left)
    laying = Laying(tokenizer, 256)
    assert len(laid_out(rows, laying)) >= GOOD
    assert len(rows) + left.total == GOOD + len(more)
