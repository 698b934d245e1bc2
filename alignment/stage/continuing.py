"""Whether a stage can continue an adapter: its shape is given, so what is asked must be that shape or nothing.

An adapter's rank, alpha and layers were fixed when it was made. A stage that continues it keeps them; a
setting that asks for others would be silently ignored, so it is refused. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignment.errors import StageError
from alignment.stage.spec import Setting

CONFIG = "adapter_config.json"


def check_continuing(stage: str, adapter: Path, settings: Mapping[str, Setting], model: str | None) -> None:
    """Raise `StageError` where `settings` ask for another shape than that of the adapter in the folder `adapter`.

    `model` is the base's folder; the share of layers is compared only where its `config.json` says how many it has.
    """
    shape = _read(adapter / CONFIG)
    if shape is None:
        raise StageError(f"{adapter} holds no adapter that can be read, so {stage} cannot continue from it.")
    for name, key in (("rank", "r"), ("alpha", "lora_alpha")):
        wanted, has = _number(settings.get(name)), _number(shape.get(key))
        if wanted and has and wanted != has:
            raise StageError(_refused(stage, adapter, name, f"{wanted:g}", f"{has:g}"))
    share, layers = _number(settings.get("layers")), _layers(model)
    if share and layers:
        count = max(1, round(share * layers))
        trained = sorted(int(number) for number in shape.get("layers_to_transform") or range(layers))
        if trained != list(range(layers - count, layers)):
            raise StageError(_refused(stage, adapter, "layers", f"{count} of {layers}", f"{len(trained)}"))


def _refused(stage: str, adapter: Path, name: str, wanted: str, has: str) -> str:
    return (
        f"{stage} cannot continue {adapter.name} with {name} {wanted}: that adapter was made with {has}. "
        f"Leave out {name}, or start from the base."
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _layers(model: str | None) -> int:
    config = _read(Path(model) / "config.json") if model else None
    text = (config or {}).get("text_config") or config or {}
    return int(text.get("num_hidden_layers") or 0)


def _number(value: Any) -> float:
    """0 for what is not given or no number; the stage itself then says what is wrong with it."""
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0.0
