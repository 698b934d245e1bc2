"""The command line from outside: one object on standard output, one sentence on error, the right exit code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from feedback_app.commands.failure import explain
from feedback_app.errors import Conflict, TooLong, UsageError
from feedback_app.key_values import read_pairs
from feedback_app.store.database import open_store
from tests.feedback_app.loop.parts import real_adapter, serve_base

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `alignloop` in a process of its own, in an empty home, with no vLLM to be found."""

    def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ALIGNLOOP_")}
        env |= {"ALIGNLOOP_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "ALIGNLOOP_VLLM_PORT": "9"}
        env.pop("DATABASE_URL", None)
        return subprocess.run(
            [sys.executable, "-m", "feedback_app", *words],
            capture_output=True,
            text=True,
            env=env | settings,
            cwd=tmp_path,
            timeout=120,
            check=False,
        )

    return run


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object that a command printed."""
    assert done.stdout.count("\n") == 1, done.stdout
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from feedback_app.commands.app import run; run(['--help'])\n"
        "heavy = {'torch', 'gradio', 'pandas', 'sqlalchemy', 'pydantic', 'transformers', 'fastapi', 'aiohttp'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "[]"
    assert "simulate" in done.stdout


def test_person_add_gives_the_promised_keys_once(run: Run) -> None:
    done = run("person", "add", "ada", "--role", "annotator", "--json")
    assert done.returncode == 0, done.stderr
    found = result(done)
    assert set(found) == {"name", "role", "password", "api_key"}
    assert (found["name"], found["role"]) == ("ada", "annotator")
    assert len(found["password"]) >= 12
    again = run("person", "add", "ada", "--role", "annotator", "--json")
    assert again.returncode == 1
    assert "ada" in result(again)["error"]


def test_a_password_is_reset_and_a_key_revoked(run: Run) -> None:
    first = result(run("person", "add", "ada", "--role", "annotator", "--json"))
    reset = result(run("person", "reset-password", "ada", "--json"))
    assert (reset["name"], reset["key_revoked"]) == ("ada", False)
    assert len(reset["password"]) > 12
    assert reset["password"] != first["password"]
    assert result(run("person", "revoke-key", "ada", "--json")) == {"name": "ada", "revoked": 1}
    assert "has no API key that works" in run("person", "revoke-key", "ada").stdout
    assert "API key no longer works" in run("person", "reset-password", "ada", "--revoke-key").stdout
    missing = run("person", "revoke-key", "eve", "--json")
    assert (missing.returncode, "no person called eve" in missing.stdout) == (1, True)


def test_a_person_can_be_trusted_withdrawn_traced_and_erased(run: Run) -> None:
    run("person", "add", "boss", "--role", "operator", "--json")
    run("person", "add", "ada", "--role", "annotator", "--json")
    assert result(run("person", "trust", "ada", "--json")) == {"name": "ada", "trusted": True}
    assert result(run("person", "withdraw", "ada", "--json")) == {"person": "ada", "judgements": 0, "flagged": []}
    found = result(run("lineage", "ada", "--json"))
    assert (found["person"], found["withdrawn"], found["versions"]) == ("ada", True, [])
    refused = run("person", "erase", "ada", "--json")
    assert refused.returncode == 2
    assert "--yes" in result(refused)["error"]
    assert result(run("person", "erase", "ada", "--yes", "--json"))["person"] == "ada"
    assert run("lineage", "ada").returncode == 1


def test_an_account_is_set_aside_and_taken_back_in_and_nobody_stands_out_in_an_empty_home(run: Run) -> None:
    run("person", "add", "ada", "--role", "annotator", "--json")
    aside = {"name": "ada", "set_aside": True, "judgements": 0}
    assert result(run("person", "set-aside", "ada", "--json")) == aside
    assert "set aside" in run("lineage", "ada").stdout
    assert result(run("person", "set-aside", "ada", "--revoke", "--json")) == aside | {"set_aside": False}
    assert "no person called eve" in run("person", "set-aside", "eve").stderr
    looked = run("suspects", "--quick")
    assert (looked.returncode, "Nobody stands out" in looked.stdout) == (0, True)
    assert result(run("suspects", "--json"))["flags"] == []


def test_status_of_a_new_home_has_the_promised_keys(run: Run) -> None:
    found = result(run("status", "--json"))
    assert {"ready", "version", "versions", "judgements", "round", "vllm"} <= set(found)
    assert found["ready"] is False
    assert found["version"] is None
    assert found["round"] is None
    assert {"total", "since_last_round", "scripted"} <= set(found["judgements"])
    assert found["vllm"]["replicas"][0]["state"] == "unreachable"


def test_a_version_that_cannot_be_served_is_an_alarm_in_status(run: Run, tmp_path: Path) -> None:
    assert result(run("status", "--json"))["alarms"] == []
    store = open_store(f"sqlite:///{(tmp_path / 'home' / 'alignloop.db').resolve()}")
    serve_base(store)
    real_adapter(store, tmp_path / "home" / "versions", "policy-0001")
    store.versions.publish("policy-0001", "operator")
    store.versions.publish("base", "damaged", note="policy-0001 cannot be served: its files were changed.")
    store.close()
    (alarm,) = result(run("status", "--json"))["alarms"]
    assert alarm.startswith("policy-0001 cannot be served: its files were changed. base answers instead.")
    assert "alarm       policy-0001 cannot be served" in run("status").stdout


def test_a_round_is_queued_shown_listed_and_cancelled(run: Run) -> None:
    started = result(run("round", "start", "--method", "dpo", "--seed", "7", "--set", "beta=0.2", "--json"))
    assert started["status"] == "queued"
    assert (started["seed"], started["settings"]) == (7, {"beta": 0.2})
    assert (started["start_from"], started["figures"]) == ("base", None)
    second = run("round", "start", "--method", "dpo")
    assert second.returncode == 1
    assert "Round 1" in second.stderr
    shown = result(run("round", "show", "1", "--json"))
    for key in (
        "round",
        "method",
        "status",
        "verdict",
        "reasons",
        "version",
        "incumbent",
        "stages",
        "rows",
        "evaluation",
    ):
        assert key in shown
    (listed,) = result(run("round", "list", "--json"))["rounds"]
    assert (listed["round"], listed["start_from"], listed["figures"]) == (1, "base", None)
    assert result(run("round", "cancel", "1", "--json"))["status"] == "cancelled"


def test_waiting_for_a_cancelled_round_exits_by_its_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from feedback_app.commands import rounds
    from feedback_app.loop.rounds import start_round
    from feedback_app.processes.output import Output
    from feedback_app.store.database import open_store

    store = open_store(f"sqlite:///{tmp_path / 'a.db'}")
    turn = start_round(store, "dpo")
    assert turn.id is not None
    looks = []

    def cancel_at_the_second_look(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            store.rounds.request_cancel(turn.id or 0)

    monkeypatch.setattr(rounds.time, "sleep", cancel_at_the_second_look)
    assert rounds.follow(store, turn, Output(False)).status == "cancelled"
    assert len(looks) == 2
    store.close()


def test_what_a_round_cost_is_said_in_two_lines_and_nothing_where_nothing_was_measured() -> None:
    from feedback_app.commands.rounds import cost

    figures = {
        "start_from": "incumbent",
        "started_from": "policy-0003",
        "capability": {"lost_to_base": {"points": 1.5, "upper": 2.5}},
        "language": {"added": 0.0123},
        "kl": {"to_incumbent": 0.8, "to_base": 2.25},
        "answers": {"words": 17.12, "repetition": 0.03, "refusals": 0.08},
    }
    assert cost(figures) == [
        "trained from policy-0003: capability -1.5 points against the base, language-model loss +0.012 nats per token, "
        "KL 0.8 to the incumbent, KL 2.2 to the base",
        "its answers: 17.1 words, 3% repeated, 8% refused",
    ]
    nothing = {"words": None, "repetition": None, "refusals": None}
    older = {**figures, "started_from": None, "language": None, "kl": {"to_base": None}, "answers": nothing}
    assert cost(older) == ["trained from incumbent: capability -1.5 points against the base"]
    assert cost(None) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("round", "start", "--method", "magic"), "no method called"),
        (("round", "start", "--set", "beta"), "KEY=VALUE"),
        (("round", "start", "--start-from", "scratch"), "Set start to one of: base, incumbent"),
        (("train", "magic", "--data", ".", "--model", "m", "--out", "o"), "no stage called magic"),
        (("train", "dpo", "--data", "nowhere", "--model", "m", "--out", "o"), "nowhere is neither a folder nor a file"),
        (("train", "dpo", "--data", ".", "--out", "o"), "needs a model"),
        (("train", "ppo", "--data", ".", "--model", "m", "--out", "o", "--set", "watch=9"), "start a round"),
        (("round", "start", "--method", "ppo", "--set", "watch=9"), "milestones=0.5"),
        (("simulate", "--annotator", "grumpy", "--judgements", "1"), "grumpy"),
        (("simulate", "--annotator", "warm", "--judgements", "1", "--kind", "smile"), "smile"),
        (("simulate", "--annotator", "warm", "--judgements", "0"), "--judgements"),
        (("person", "add", "bob", "--role", "king"), "king"),
        (("evaluate", "--model", "base", "--judge", "grumpy"), "no judge called grumpy"),
        (("export", "--format", "papyrus", "--out", "x"), "no export format called papyrus"),
        (("export", "--format", "trl", "--out", "x", "--personal", "maybe"), "called maybe"),
        (("import", "nowhere.jsonl"), "nowhere.jsonl cannot be read"),
        (("import", "x", "--format", "papyrus"), "no import format called papyrus"),
        (("frobnicate",), "frobnicate"),
        (("round", "show"), "--help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_is_one_sentence_and_exit_code_two(run: Run, words: tuple[str, ...], sentence: str) -> None:
    done = run(*words, "--json")
    assert done.returncode == 2, done.stderr
    found = result(done)
    assert set(found) == {"error"}
    assert sentence in found["error"]
    assert "Traceback" not in done.stderr


def test_what_does_not_exist_is_said_with_the_next_step(run: Run) -> None:
    done = run("round", "show", "12")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "There is no round 12. `alignloop round list` shows them.\n"
    done = run("version", "promote", "policy-0009")
    assert done.returncode == 1
    assert "policy-0009" in done.stderr


def test_a_wrong_setting_is_named(run: Run) -> None:
    done = run("status", ALIGNLOOP_PORT="many")
    assert done.returncode == 2
    assert "ALIGNLOOP_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_none_is_said_before_anything_starts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    done = run("up", ALIGNLOOP_MODEL=str(tmp_path / "model"), ALIGNLOOP_PORT="0", ALIGNLOOP_VLLM_PORT="8259")
    assert done.returncode == 2
    assert "config.json" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("older", [(), ("--yes",)])
def test_simulating_on_a_model_of_ones_own_needs_no_word_more(run: Run, tmp_path: Path, older: tuple[str, ...]) -> None:
    done = run("simulate", "--annotator", "short", "--judgements", "1", *older, ALIGNLOOP_MODEL=str(tmp_path))
    assert done.returncode == 2
    assert "config.json" in done.stderr  # this one is no model; nothing else is in the way


def test_a_home_that_cannot_be_made_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("status", ALIGNLOOP_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == 1
    assert "ALIGNLOOP_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_libraries_that_print_do_not_reach_a_programs_standard_output() -> None:
    code = (
        "import os, sys\n"
        "from feedback_app.processes.output import Output\n"
        "out = Output.open(True)\n"
        "print('chatter'); os.system('echo more chatter')\n"
        "out.done({'a': 'ü'}, lambda console: None)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == '{"a": "ü"}\n'
    assert "chatter" in done.stderr


def test_an_unexpected_error_leaves_its_traceback_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path))
    try:
        raise RuntimeError("a wheel came off")
    except RuntimeError as error:
        sentence, code = explain(error)
    assert code == 1
    assert "a wheel came off" in sentence
    assert str(tmp_path / "logs" / "errors.log") in sentence
    assert "Traceback" in (tmp_path / "logs" / "errors.log").read_text()


def test_errors_of_the_tree_keep_their_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path))
    assert explain(Conflict("Stop.")) == ("Stop.", 1)
    assert explain(UsageError("Write it so."))[1] == 2
    assert explain(TooLong(9, 5))[1] == 2
    assert explain(KeyboardInterrupt()) == ("Stopped.", 1)


def test_pairs_become_what_they_look_like() -> None:
    found = read_pairs(["beta=0.1", "epochs=3", "bf16=true", "loss=sigmoid", "note=a=b"])
    assert found == {"beta": 0.1, "epochs": 3, "bf16": True, "loss": "sigmoid", "note": "a=b"}
    assert isinstance(found["epochs"], int)


def test_what_python_compiles_is_kept_though_the_environment_forbids_it(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "bytecode"
    run("version", "list", "--json", PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=str(kept))
    assert list(kept.rglob("store/database*.pyc"))


def test_gold_says_what_was_brought_and_how_often_it_is_shown(run: Run, tmp_path: Path) -> None:
    record = {"prompt": "2 + 2?", "chosen": "4.", "rejected": "5."}
    (tmp_path / "gold.jsonl").write_text(json.dumps(record) + "\n")
    found = result(run("gold", "gold.jsonl", "--json"))
    assert found == {"format": "trl", "read": 1, "added": 1, "skipped": {}, "notes": []}
    said = run("gold", "gold.jsonl").stdout
    assert "brought before: 1" in said
    assert "5% of new comparisons" in said


def test_export_and_import_say_what_they_did(run: Run, tmp_path: Path) -> None:
    record = {"prompt": "Mail ann@example.org?", "chosen": "Yes.", "rejected": "No.", "responses": []}
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\nnot json\n")
    found = result(run("import", "a.jsonl", "--format", "trl", "--json"))
    assert found == {
        "format": "trl",
        "read": 2,
        "imported": {"compare": 1},
        "skipped": {"not JSON": 1},
        "notes": [],
        "first": {"not JSON": 2},
    }
    nothing = run("import", "a.jsonl", "--format", "trl")
    assert nothing.returncode == 1  # one row is there already, and the other cannot be read: somebody should look
    assert "not JSON" in nothing.stderr
    (tmp_path / "a.jsonl").write_text(json.dumps(record) + "\n")
    said = run("import", "a.jsonl", "--format", "trl").stdout
    assert "Format trl (as named), 1 record" in said
    assert "imported before: 1" in said
    flagged = result(run("export", "--format", "hh", "--out", "out", "--json"))
    assert (sum(flagged["written"].values()), flagged["personal"]["found"]) == (1, {"EMAIL": 1})
    (file,) = (tmp_path / "out").iterdir()
    assert "ann@example.org" in file.read_text()
    replaced = run("export", "--format", "hh", "--out", "clean", ALIGNLOOP_PERSONAL_DATA="replace")
    assert "replaced: EMAIL 1" in replaced.stdout
    (file,) = (tmp_path / "clean").iterdir()
    assert "<EMAIL_1>" in file.read_text()


@pytest.mark.parametrize("line", ['home = "kept"\nport = "no port"', 'home = "kept"'])
def test_the_log_of_errors_is_where_the_settings_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALIGNLOOP_HOME", raising=False)
    (tmp_path / "alignloop.toml").write_text(line)
    assert explain(Conflict("Stop.")) == ("Stop.", 1)
    assert "Conflict: Stop." in (tmp_path / "kept" / "logs" / "errors.log").read_text()


def test_every_error_of_the_three_packages_is_of_one_tree_and_drawn_in_it(tmp_path: Path) -> None:
    import alignment.errors
    import feedback_app.errors
    import serving.errors

    drawn = feedback_app.errors.__doc__ or ""
    for room in (feedback_app.errors, alignment.errors, serving.errors):
        for name, value in vars(room).items():
            if isinstance(value, type) and issubclass(value, Exception):
                assert issubclass(value, alignment.errors.UserFacingError)
                assert re.search(rf"\b{name}\b", drawn), f"{name} is not in the drawing"


def test_errors_of_vllm_and_of_training_keep_their_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alignment.errors import StageError
    from serving.errors import LaunchProblem, ModelProblem, VllmError

    monkeypatch.setenv("ALIGNLOOP_HOME", str(tmp_path))
    assert explain(ModelProblem("No tokenizer.")) == ("No tokenizer.", 2)
    assert explain(LaunchProblem("Port in use.")) == ("Port in use.", 1)
    assert explain(StageError("No rows.")) == ("No rows.", 1)
    assert "10.0.0.1" not in VllmError(500, "10.0.0.1 is tired").outside
