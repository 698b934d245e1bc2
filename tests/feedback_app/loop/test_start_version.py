"""What training starts from: the base, or the incumbent's adapter, and what cannot be continued is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignment.errors import StageError
from alignment.methods.registry import run_stage
from alignment.stage.continuing import check_continuing
from alignment.stage.spec import StageSpec
from feedback_app.commands import evaluate as evaluating
from feedback_app.errors import Unavailable, UsageError
from feedback_app.loop.lineage import version_lineage
from feedback_app.loop.report import round_report
from feedback_app.loop.rounds import start_round
from feedback_app.loop.start_version import continues, start_of
from feedback_app.loop.training import artifacts
from feedback_app.settings import Settings
from feedback_app.store.database import Store, open_store
from feedback_app.store.tables import Version
from tests.feedback_app.loop.bench import Bench
from tests.feedback_app.loop.parts import real_adapter, serve_base

SHAPE = {"r": 16, "lora_alpha": 32, "layers_to_transform": [3]}


def adapter(folder: Path, **shape: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({**SHAPE, **shape}))
    return folder


def base_folder(folder: Path, layers: int = 4) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"num_hidden_layers": layers}))
    return str(folder)


def serve_adapter(store: Store, folder: Path) -> Version:
    version = store.versions.add(
        Version(
            name=folder.name, kind="aligned", form="adapter", path=str(folder), base_hash="b" * 64, parent="base",
            created_at=store.now(),
        )
    )  # fmt: skip
    store.versions.publish(version.name, "promoted")
    return version


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"rank": 8}, "dpo cannot continue policy-0001 with rank 8: that adapter was made with 16. Leave out rank"),
        ({"rank": "8"}, "rank 8"),
        ({"alpha": 16}, "with alpha 16: that adapter was made with 32"),
        ({"layers": 1.0}, "with layers 4 of 4: that adapter was made with 1"),
        ({"layers": 0.5}, "with layers 2 of 4"),
    ],
)
def test_another_shape_than_the_adapters_is_refused(tmp_path: Path, asked: dict[str, object], sentence: str) -> None:
    folder, model = adapter(tmp_path / "policy-0001"), base_folder(tmp_path / "base")
    with pytest.raises(StageError, match=sentence):
        check_continuing("dpo", folder, asked, model)  # type: ignore[arg-type]


def test_the_adapters_own_shape_and_no_shape_at_all_are_taken(tmp_path: Path) -> None:
    folder, model = adapter(tmp_path / "policy-0001"), base_folder(tmp_path / "base")
    for asked in ({}, {"rank": 16, "alpha": 32, "layers": 0.25}, {"rank": 0, "layers": 0.0}, {"rank": "many"}):
        check_continuing("dpo", folder, asked, model)
    check_continuing("dpo", folder, {"layers": 1.0}, "hub/name")  # how many layers it has is not known here
    whole = adapter(tmp_path / "policy-0002", layers_to_transform=None)
    check_continuing("dpo", whole, {"layers": 1.0}, model)
    with pytest.raises(StageError, match="holds no adapter that can be read, so dpo cannot continue"):
        check_continuing("dpo", tmp_path / "base", {}, model)


def test_a_stage_alone_refuses_too(tmp_path: Path) -> None:
    spec = StageSpec("dpo", tmp_path, None, tmp_path / "out", {"rank": 8}, adapter=adapter(tmp_path / "policy-0001"))
    with pytest.raises(StageError, match="cannot continue policy-0001 with rank 8"):
        run_stage(spec)


def test_a_round_says_what_it_starts_from_and_another_word_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    base = serve_base(sqlite_store)
    with pytest.raises(UsageError, match=r"cannot start from scratch\. Set start to one of: base, incumbent"):
        start_round(sqlite_store, "dpo", settings={"start": "scratch"})
    assert start_of({}) == start_of({"start": "base"}) == "base"
    assert not continues({"start": "incumbent"}, base), "the base has no adapter to continue"
    served = serve_adapter(sqlite_store, adapter(tmp_path / "policy-0001"))
    assert continues({"start": "incumbent"}, served)
    with pytest.raises(UsageError, match="dpo cannot continue policy-0001 with rank 8"):
        start_round(sqlite_store, "dpo", settings={"start": "incumbent", "rank": 8})
    with pytest.raises(UsageError, match="ppo cannot continue policy-0001 with rank 8"):
        start_round(sqlite_store, "ppo", settings={"start": "incumbent", "rank": 8, "reward.rank": 4})
    turn = start_round(sqlite_store, "dpo", settings={"start": "incumbent"})
    assert round_report(sqlite_store, turn)["start_from"] == "incumbent"


@pytest.mark.slow
async def test_a_chained_round_continues_the_incumbent_and_records_it(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}")
    bench = Bench(store, tmp_path / "home")
    await bench.begin()
    first = bench.start()
    await bench.worker.run_next_round()
    assert store.versions.publish("policy-0001", "operator").version == "policy-0001"
    second = bench.start(settings={"start": "incumbent"})
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "held", turn.reasons
    report = round_report(store, turn)
    assert report["start_from"] == "incumbent"
    assert report["evaluation"]["started_from"] == {"start": "incumbent", "version": "policy-0001"}
    assert bench.get(first).evaluation["started_from"] == {"start": "base", "version": "base"}
    version = store.versions.get("policy-0002")
    assert version is not None
    assert version_lineage(store, version).parent == "policy-0001"
    spec = json.loads((artifacts(store, second)["dpo"] / "spec.json").read_text())
    served = store.versions.get("policy-0001")
    assert served is not None
    assert spec["adapter"] == served.path
    assert set(report["figures"]["kl"]) == {"to_incumbent", "to_base"}
    assert report["figures"]["kl"]["to_base"] > report["figures"]["kl"]["to_incumbent"]
    assert report["evaluation"]["language"]["added"] == -0.5
    store.close()


@pytest.mark.slow
async def test_a_damaged_incumbent_is_not_continued(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}")
    bench = Bench(store, tmp_path / "home")
    await bench.begin()
    bench.start()
    await bench.worker.run_next_round()
    store.versions.publish("policy-0001", "operator")
    weights = bench.settings.versions_dir / "policy-0001" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"!")
    bench.start(settings={"start": "incumbent"})
    turn = await bench.worker.run_next_round()
    assert turn is not None
    assert turn.status == "failed"
    assert "policy-0001 cannot be continued: " in turn.reasons[0]
    assert "was changed after training" in turn.reasons[0]
    assert store.versions.get("policy-0002") is None
    store.close()


def test_a_damaged_version_is_not_evaluated(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'alignloop.db'}")
    serve_base(store)
    version = real_adapter(store, tmp_path, "policy-0001")
    assert evaluating.source_of(store, Settings(home=tmp_path), "policy-0001") == ("policy-0001", version.path, version)
    (Path(version.path) / "adapter_model.safetensors").unlink()
    with pytest.raises(Unavailable, match=r"policy-0001 cannot be evaluated: .* is missing"):
        evaluating.source_of(store, Settings(home=tmp_path), "policy-0001")
    store.close()
