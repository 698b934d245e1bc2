"""Can this model be served? Read from its files before anything heavy starts.

A folder is checked by reading it; only a hub name imports transformers' small relatives. Whether vLLM knows
the architecture is vLLM's to say: nothing is loaded here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alignment.files import sha256_of_all
from serving.chat_template import takes_system
from serving.errors import ModelProblem

__all__ = ["ModelFacts", "ModelProblem", "check_model"]

ROLES = ("system", "user", "assistant")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")
LONGEST_TOKEN = 128
"""Bytes: the longest token in the large vocabularies that are in use (128 spaces). What is assumed of a vocabulary
that is not read here."""
LONGEST_HEADER = 100_000_000
"""Bytes: what the format allows the header of a safetensors file."""
LENGTH_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "seq_length", "max_seq_len")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a model from its files: hashes are SHA-256 in hex, `max_len` is in tokens.

    `temperature` is the model's own recommendation from `generation_config.json`, None where it has none; `dtype` is
    the number format of its weights, empty where its configuration does not say.
    `system_role` is whether the chat template says what a system message says (`serving.chat_template`).
    `turn_tokens` are the special tokens that the chat template writes or that name a role, as texts: in a message,
    they are read as the end of a turn and the beginning of another.
    `longest_token` is the most bytes of text that one token can stand for (see `LONGEST_TOKEN`), `kv_bytes` what
    a token takes in the KV cache in the type of the weights, `hidden` the width of a layer, `parameters` how many
    numbers the weights are; each 0 where that is not known.
    """

    template_hash: str
    weights_hash: str
    max_len: int
    temperature: float | None
    architecture: str
    dtype: str = ""
    system_role: bool = True
    turn_tokens: tuple[str, ...] = ()
    longest_token: int = LONGEST_TOKEN
    kv_bytes: int = 0
    hidden: int = 0
    parameters: int = 0


def check_model(source: str, *, fetch: Callable[[str, str], Path] | None = None) -> ModelFacts:
    """Facts about a model folder or hub name. Raises `ModelProblem` with one sentence saying what is missing.

    `fetch(name, file)` brings one file of a hub model and raises `FileNotFoundError` where there is none; the
    default asks the hub. A hub model's weights are named by its commit, not downloaded here.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return _check_folder(folder)
    if folder.exists():
        raise ModelProblem(f"{source} is a file, not a model folder. Name the folder that holds config.json.")
    if source.startswith((".", "/", "~")) or source.count("/") > 1 or not source.strip():
        raise ModelProblem(f"There is no model folder at {source}. Set ALIGNLOOP_MODEL to a folder or a hub name.")
    return _check_hub(source, fetch or _fetch)


def _check_folder(folder: Path) -> ModelFacts:
    config = _config(folder, str(folder))
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        other = "only weights in another format" if list(folder.glob("*.bin")) else "no weights"
        raise ModelProblem(f"{folder} has {other}: alignloop loads safetensors files only.")
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelProblem(f"{folder} has no tokenizer: tokenizer.json (or tokenizer.model) is missing.")
    template = _template(folder, str(folder))
    facts = _facts(config, template, sha256_of_all(weights), folder, str(folder))
    return replace(
        facts, longest_token=longest_token(folder / "tokenizer.json"), parameters=sum(map(_numbers, weights))
    )


def _check_hub(name: str, fetch: Callable[[str, str], Path]) -> ModelFacts:
    try:
        config_path = fetch(name, "config.json")
    except FileNotFoundError as error:
        raise ModelProblem(
            f"{name} is neither a folder here nor a model that the hub gives out: {error}. "
            "Correct ALIGNLOOP_MODEL, or set HF_TOKEN for a gated model."
        ) from error
    # These land beside the configuration, in the snapshot folder of the same commit.
    for optional in ("tokenizer_config.json", "chat_template.jinja", "generation_config.json", "tokenizer.json"):
        with contextlib.suppress(FileNotFoundError):
            fetch(name, optional)
    folder = config_path.parent
    config, template = _config(folder, name), _template(folder, name)
    # The snapshot folder is named by the commit, which fixes every byte of the weights.
    weights = hashlib.sha256(f"{name}@{folder.name}".encode()).hexdigest()
    return _facts(config, template, weights, folder, name)


def _facts(config: dict[str, Any], template: str, weights: str, folder: Path, name: str) -> ModelFacts:
    generation = folder / "generation_config.json"
    inner = config.get("text_config")  # models that also see images keep the language model's settings there
    text: dict[str, Any] = inner if isinstance(inner, dict) else config
    lengths = [int(text[key]) for key in LENGTH_KEYS if isinstance(text.get(key), int)]
    if not lengths:
        raise ModelProblem(f"{name}'s config.json does not say how many tokens the model reads ({LENGTH_KEYS[0]}).")
    temperature = _json(generation).get("temperature") if generation.is_file() else None
    return ModelFacts(
        template_hash=hashlib.sha256(template.encode()).hexdigest(),
        weights_hash=weights,
        max_len=min(lengths),
        temperature=float(temperature) if isinstance(temperature, int | float) else None,
        architecture=str(config["architectures"][0]),
        dtype=str(
            text.get("dtype") or text.get("torch_dtype") or config.get("dtype") or config.get("torch_dtype") or ""
        ),
        system_role=takes_system(template),
        turn_tokens=tuple(
            token for token in _special_tokens(folder) if token in template or any(role in token for role in ROLES)
        ),
        kv_bytes=_kv_bytes(text),
        hidden=hidden if isinstance(hidden := text.get("hidden_size"), int) else 0,
    )


def _special_tokens(folder: Path) -> list[str]:
    """The special tokens that a fast tokenizer's file or its configuration lists."""
    entries: list[Any] = []
    for name, key in (("tokenizer.json", "added_tokens"), ("tokenizer_config.json", "added_tokens_decoder")):
        try:
            listed = _json(folder / name).get(key) if (folder / name).is_file() else None
        except ModelProblem:  # vLLM says what is wrong with a tokenizer
            continue
        entries += listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else []
    tokens = [entry.get("content") for entry in entries if isinstance(entry, dict) and entry.get("special")]
    return sorted({token for token in tokens if isinstance(token, str) and token})


def longest_token(path: Path) -> int:
    """The most bytes of text that one token of this `tokenizer.json` can stand for; `LONGEST_TOKEN` when unreadable.

    A vocabulary writes some bytes as two or three (a space as `Ġ` or `▁`), so this is never too few.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = value["model"]["vocab"]
        # Unigram models list pairs of token and score, the others map tokens to numbers.
        words = [each if isinstance(each, str) else each[0] for each in vocabulary]
        words += [each["content"] for each in value.get("added_tokens") or ()]
        return max(len(word.encode(errors="replace")) for word in words)
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return LONGEST_TOKEN


def _kv_bytes(text: dict[str, Any]) -> int:
    """What a token takes in the KV cache: keys and values of every layer, in the type of the weights."""
    try:
        heads = int(text["num_attention_heads"])
        head = int(text.get("head_dim") or int(text["hidden_size"]) // heads)
        pairs = int(text["num_hidden_layers"]) * int(text.get("num_key_value_heads") or heads) * head
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return 0
    return 2 * pairs * (4 if "32" in str(text.get("dtype") or text.get("torch_dtype")) else 2)


def _numbers(path: Path) -> int:
    """How many numbers a safetensors file holds, by its header; 0 where it has none that can be read."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(min(LONGEST_HEADER, int.from_bytes(file.read(8), "little"))))
        return sum(math.prod(facts["shape"]) for name, facts in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _config(folder: Path, name: str) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelProblem(f"{name} is not a model folder: config.json is missing.")
    config = _json(path)
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        raise ModelProblem(f"{name} is not a model folder: its config.json names no architecture.")
    return config


def _template(folder: Path, name: str) -> str:
    beside = folder / "chat_template.jinja"
    if beside.is_file():
        return beside.read_text()
    path = folder / "tokenizer_config.json"
    template = _json(path).get("chat_template") if path.is_file() else None
    if isinstance(template, list):  # several named templates: vLLM takes the one called default
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), None)
    if not isinstance(template, str) or not template:
        raise ModelProblem(
            f"{name} has no chat template, so it cannot tell who says what. Use an instruction-tuned model, "
            "or add chat_template.jinja to its folder."
        )
    return template


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelProblem(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ModelProblem(f"{path} does not hold a JSON object.")
    return value


def _fetch(name: str, file: str) -> Path:
    """One file of a hub model through the hub's own client and cache."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file))
    except Exception as error:
        # The hub's client raises many kinds (not found, gated, offline, bad name); each means: not to be had.
        raise FileNotFoundError(str(error).splitlines()[0]) from error
