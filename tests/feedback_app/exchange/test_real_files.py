"""Real files made by others become judgements. They lie beside the repository; without them this is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alignment.errors import ReadingProblem
from feedback_app.exchange import bring_in, export
from feedback_app.loop.rules import rules_of
from feedback_app.store.database import Store
from tests.alignment.compiled import compile_rows

ROOT = Path(__file__).resolve().parents[3]
REAL = Path(os.environ.get("ALIGNLOOP_TEST_REAL") or ROOT.parent / "shared" / "real")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not REAL.is_dir(), reason="../shared/real is not there (ALIGNLOOP_TEST_REAL names it elsewhere)"
    ),
]

# file, format, what it becomes, and what is skipped for which reason
FILES: list[tuple[str, str, dict[str, int], dict[str, int]]] = [
    ("hh_harmless_800.jsonl.gz", "hh", {"compare": 798}, {"empty answer": 2}),
    ("oasst_trees_40.jsonl.gz", "oasst", {"compare": 18, "rank": 58}, {}),
    ("llamafactory_dpo_en_demo_150.json.gz", "llama-factory", {"compare": 150}, {}),
    ("llamafactory_dpo_zh_demo_100.json.gz", "llama-factory", {"compare": 99}, {"imported before": 1}),
    ("llamafactory_kto_en_demo_150.json.gz", "llama-factory", {"like": 150}, {}),
    ("llamafactory_alpaca_en_demo_300.json.gz", "llama-factory", {"demonstration": 299}, {"imported before": 1}),
    ("llamafactory_alpaca_zh_demo_100.json.gz", "llama-factory", {"demonstration": 100}, {}),
    ("llamafactory_glaive_toolcall_en_demo_40.json.gz", "llama-factory", {"demonstration": 39}, {"imported before": 1}),
    ("polite_preference_500.json", "llama-factory", {"compare": 497}, {"both answers are the same": 3}),
    ("sharegpt_dummy_200.json", "llama-factory", {"demonstration": 200}, {}),
    ("self_instruct_seed_175.jsonl", "self-instruct", {"demonstration": 175}, {}),
]
NONE_OF_OURS = [
    "moderation_800.jsonl.gz",
    "tinystories_500.jsonl.gz",
    "tinyshakespeare.txt",
    "SOURCES.md",
]


@pytest.mark.parametrize(("name", "format", "imported", "skipped"), FILES, ids=[each[0] for each in FILES])
def test_a_real_file_becomes_judgements(
    sqlite_store: Store, tmp_path: Path, name: str, format: str, imported: dict[str, int], skipped: dict[str, int]
) -> None:
    found = bring_in(sqlite_store, REAL / name)
    assert (found["format"], found["imported"], found["skipped"]) == (format, imported, skipped)
    rows = compile_rows(sqlite_store.judgements.export(), rules=rules_of(sqlite_store))
    assert rows.counts["judgements"] == sum(imported.values())
    assert len(rows.sft) == imported.get("demonstration", 0)
    assert len(rows.marks) == imported.get("like", 0)
    if "rank" in imported:
        assert found["notes"] == [
            f"Ranks start at 0 ({imported['rank']} rankings); the lowest number is taken as the best."
        ]
    target = {"compare": "trl", "like": "trl-unpaired", "demonstration": "openai-chat"}[next(iter(imported))]
    done = export(sqlite_store, target, tmp_path / "out")
    assert done["left_out"] == {}
    again = [bring_in(sqlite_store, file) for file in (tmp_path / "out").iterdir()]
    kept = sum(sum(each["skipped"].values()) for each in again)
    if target != "trl" or "rank" not in imported:  # a ranking leaves as pairs, which are other judgements
        assert kept == sum(done["written"].values())


@pytest.mark.parametrize("name", NONE_OF_OURS)
def test_a_real_file_that_is_none_of_ours_ends_in_one_sentence(sqlite_store: Store, name: str) -> None:
    with pytest.raises(ReadingProblem) as raised:
        bring_in(sqlite_store, REAL / name)
    assert "\n" not in str(raised.value)
    assert list(sqlite_store.judgements.export()) == []
