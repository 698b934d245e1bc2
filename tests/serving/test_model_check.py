"""A model folder is judged by its files, and each thing missing has its own sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from feedback_app.collect.window import fewest_tokens
from serving.model_check import LONGEST_TOKEN, ModelProblem, check_model, longest_token

TEMPLATE = "{{ messages }}"


def make(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    written = {"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 1024, **config}
    (folder / "config.json").write_text(json.dumps(written))
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


def test_facts_are_read_from_the_files(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "generation_config.json").write_text('{"temperature": 0.7}')
    facts = check_model(str(folder))
    assert (facts.max_len, facts.temperature, facts.architecture) == (1024, 0.7, "LlamaForCausalLM")
    (folder / "generation_config.json").unlink()
    assert check_model(str(folder)).temperature is None


def test_the_tokens_that_part_turns_are_special_and_stand_in_the_template_or_name_a_role(tmp_path: Path) -> None:
    folder = make(tmp_path)
    assert check_model(str(folder)).turn_tokens == ()
    added = [
        {"content": "<|end|>", "special": True},
        {"content": "<s>", "special": True},  # the template does not write it
        {"content": "messages", "special": False},
        5,
    ]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    decoder = {"7": {"content": "<|assistant|>", "special": True}}  # the template may write it in pieces
    template = {"chat_template": "{{ messages }}<|end|>", "added_tokens_decoder": decoder}
    (folder / "tokenizer_config.json").write_text(json.dumps(template))
    assert check_model(str(folder)).turn_tokens == ("<|assistant|>", "<|end|>")


def test_the_template_may_lie_in_three_places(tmp_path: Path) -> None:
    folder = make(tmp_path)
    hashes = {check_model(str(folder)).template_hash}
    named = [{"name": "tools", "template": "x"}, {"name": "default", "template": TEMPLATE}]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    hashes.add(check_model(str(folder)).template_hash)
    (folder / "tokenizer_config.json").unlink()
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    hashes.add(check_model(str(folder)).template_hash)
    assert len(hashes) == 1


def test_the_weights_hash_changes_with_the_weights(tmp_path: Path) -> None:
    folder = make(tmp_path)
    before = check_model(str(folder)).weights_hash
    assert check_model(str(folder)).weights_hash == before
    (folder / "model.safetensors").write_bytes(b"other")
    assert check_model(str(folder)).weights_hash != before


def test_the_length_of_models_that_also_see_lies_deeper(tmp_path: Path) -> None:
    folder = make(tmp_path, max_position_embeddings=None, text_config={"max_position_embeddings": 2048})
    assert check_model(str(folder)).max_len == 2048


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("config.json", "not a model folder: config.json is missing"),
        ("model.safetensors", "safetensors"),
        ("tokenizer.json", "no tokenizer"),
        ("tokenizer_config.json", "no chat template"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, missing: str, words: str) -> None:
    folder = make(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ModelProblem, match=words):
        check_model(str(folder))


@pytest.mark.parametrize("config", ["[]", "{", "{}"])
def test_a_config_that_is_none_is_named(tmp_path: Path, config: str) -> None:
    (make(tmp_path) / "config.json").write_text(config)
    with pytest.raises(ModelProblem, match=r"config\.json"):
        check_model(str(tmp_path))


def test_pickled_weights_are_refused_by_name(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelProblem, match="another format"):
        check_model(str(folder))


@pytest.mark.parametrize("source", ["/no/such/folder", "./none", "a/b/c", "  "])
def test_a_folder_that_is_not_there_is_never_asked_of_the_hub(source: str) -> None:
    with pytest.raises(ModelProblem, match="no model folder"):
        check_model(source, fetch=lambda *_: pytest.fail("the hub was asked"))


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"")
    with pytest.raises(ModelProblem, match="is a file"):
        check_model(str(tmp_path / "model.gguf"))


def test_a_hub_name_is_checked_by_the_small_files_of_its_commit(tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(name: str, file: str) -> Path:
        asked.append(file)
        path = tmp_path / "models--org--name" / "snapshots" / commit / file
        if not path.exists():
            raise FileNotFoundError(f"no {file}")
        return path

    hashes = set()
    for commit in ("c0ffee", "decade"):
        make(tmp_path / "models--org--name" / "snapshots" / commit)
        hashes.add(check_model("org/name", fetch=fetch).weights_hash)
    assert len(hashes) == 2
    assert not [file for file in asked if file.endswith(".safetensors")]
    commit = "unknown"
    with pytest.raises(ModelProblem, match="HF_TOKEN"):
        check_model("org/name", fetch=fetch)


@pytest.mark.parametrize(
    ("tokenizer", "longest"),
    [
        ('{"model": {"vocab": {"a": 0, "Ġhello": 1}}, "added_tokens": []}', 7),
        ('{"model": {"vocab": [["a", -1.0], ["▁of", -2.0]]}, "added_tokens": [{"content": "<|assistant|>"}]}', 13),
        ("{}", LONGEST_TOKEN),
        ("not json", LONGEST_TOKEN),
    ],
)
def test_the_longest_token_bounds_what_a_window_holds(tmp_path: Path, tokenizer: str, longest: int) -> None:
    folder = make(tmp_path)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    assert check_model(str(folder)).longest_token == longest


def test_no_text_takes_fewer_tokens_than_the_bound_says() -> None:
    from tokenizers import Tokenizer

    path = Path(__file__).parents[2] / "data" / "model" / "tokenizer.json"
    tokenizer, longest = Tokenizer.from_file(str(path)), longest_token(path)
    for text in ("completely " * 50, " " * 500, "é" * 100, "日本語" * 50, "absolutely completely!\n" * 20):
        assert len(tokenizer.encode(text, add_special_tokens=False).ids) >= fewest_tokens(text, longest)


def test_what_a_token_takes_in_the_cache_is_keys_and_values_of_every_layer(tmp_path: Path) -> None:
    shape = {"num_hidden_layers": 4, "num_attention_heads": 4, "hidden_size": 256, "dtype": "bfloat16"}
    assert check_model(str(make(tmp_path / "a", **shape))).kv_bytes == 2 * 4 * 256 * 2
    grouped = {**shape, "num_key_value_heads": 2, "head_dim": 32, "dtype": "float32"}
    assert check_model(str(make(tmp_path / "b", **grouped))).kv_bytes == 2 * 4 * 64 * 4
    assert check_model(str(make(tmp_path / "c"))).kv_bytes == 0


def test_whether_the_template_has_a_system_role_is_a_fact(tmp_path: Path) -> None:
    folder = make(tmp_path)
    assert check_model(str(folder)).system_role
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ messages[0].content }}"
    (folder / "chat_template.jinja").write_text(refusing)
    assert not check_model(str(folder)).system_role
