"""Principles instead of people: what becomes a row, what does not, and what the rows say of themselves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from alignment.dataset.reading.folder import read_pairs, read_sft
from alignment.errors import StageError
from alignment.methods.constitution.train import letter, read_principles, train
from alignment.stage.artifact import finish
from alignment.stage.spec import Setting, StageSpec
from tests.alignment.builders import vote
from tests.alignment.compiled import write_compiled
from tests.alignment.methods.constitution.advisers import Adviser, Answers

ROOT = Path(__file__).resolve().parents[4]


def spec_for(folder: Path, **settings: Setting) -> StageSpec:
    votes = [vote(i, prompt=f"Question {i}?") for i in range(10)]
    write_compiled(votes, folder / "data")
    (folder / "rules.txt").write_text("# what we want\n\nBe kind.\nBe brief.\n")
    (folder / "out").mkdir()
    rules: dict[str, Setting] = {"principles": str(folder / "rules.txt")}
    return StageSpec("constitution", folder / "data", "model", folder / "out", {**rules, **settings}, 1)


def test_choices_become_pairs_and_revisions_rows_worth_imitating(tmp_path: Path) -> None:
    spec, adviser, records = spec_for(tmp_path), Adviser(), []
    metrics = train(spec, records.append, sampler=Answers(), adviser=adviser)  # type: ignore[arg-type]
    pairs, sft = read_pairs(spec.out), read_sft(spec.out)
    assert {(row.chosen, row.rejected, row.origin, row.judgements) for row in pairs} == {("Gladly!", "No.", "ai", ())}
    assert {row.completion for row in sft} == {"Gladly, friend!"}
    assert metrics["rows"] == {"pairs": 10, "sft": 10, "people": 0}
    assert (records[-1]["step"], records[-1]["steps"]) == (10, 10)
    assert any("Principle: Be kind." in text for text in adviser.asked)
    assert not any("what we want" in text for text in adviser.asked)
    assert any("Criticism: It is curt." in text for text in adviser.asked)
    finish(spec.out, json.loads(spec.to_json()), metrics, {})


def test_peoples_rows_are_mixed_in_only_when_asked_for(tmp_path: Path) -> None:
    metrics = train(spec_for(tmp_path, people="yes"), lambda record: None, sampler=Answers(), adviser=Adviser())
    origins = [row.origin for row in read_pairs(tmp_path / "out")]
    assert (origins.count("ai"), origins.count("compare")) == (10, 10)
    assert metrics["rows"]["people"] == 10


def test_a_choice_that_follows_the_place_gives_no_pair(tmp_path: Path) -> None:
    train(spec_for(tmp_path), lambda record: None, sampler=Answers(), adviser=Adviser(always="A"))
    assert read_pairs(tmp_path / "out") == []


def test_a_revision_that_changes_nothing_is_no_row_and_nothing_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="made nothing usable of 10 prompts"):
        train(spec_for(tmp_path), lambda record: None, sampler=Answers(), adviser=Adviser(always="B", revision=" No. "))


@pytest.mark.parametrize(
    ("text", "chosen"), [("A", "A"), (" B.", "B"), ("Answer A", "A"), ("A or B", ""), ("neither", ""), ("Apple", "")]
)
def test_a_choice_is_one_letter(text: str, chosen: str) -> None:
    assert letter(text) == chosen


def test_principles_are_lines_and_the_file_that_ships_has_some(tmp_path: Path) -> None:
    assert len(read_principles(str(ROOT / "data" / "principles.txt"))) >= 5
    (tmp_path / "none.txt").write_text("# nothing yet\n")
    with pytest.raises(StageError, match=r"at least one principle; .* has 0"):
        read_principles(str(tmp_path / "none.txt"))
    with pytest.raises(StageError, match="has 0: name a text file, one a line, with the setting principles"):
        read_principles("")
    with pytest.raises(StageError, match="cannot be read as a file of principles"):
        read_principles(str(tmp_path / "away.txt"))


def test_settings_without_sense_and_missing_prompts_are_named(tmp_path: Path) -> None:
    spec = spec_for(tmp_path, min_prompts=50)
    with pytest.raises(StageError, match=r"constitution needs at least 50 different prompts to answer; .* has 10"):
        train(spec, lambda record: None, sampler=Answers(), adviser=Adviser())
    none = StageSpec("constitution", spec.data, "model", spec.out, {"revise": "no", "choose": "no"})
    with pytest.raises(StageError, match="revise and choose cannot both be off"):
        train(none, lambda record: None, sampler=Answers(), adviser=Adviser())


@pytest.fixture
def address() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on loopback that answers as OpenAI's API does, and what it was asked."""
    asked: list[dict[str, Any]] = []
    adviser = Adviser()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({**body, "path": self.path, "key": self.headers.get("Authorization")})
            status = 404 if body["model"] == "away" else 200
            text = adviser.answer(body["messages"][-1]["content"])
            reply = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_behind_an_address_advises(tmp_path: Path, address: tuple[str, list[dict[str, Any]]]) -> None:
    url, asked = address
    spec = spec_for(tmp_path, url=url, adviser="judge-1")
    metrics = train(spec, lambda record: None, sampler=Answers(), key="secret")
    assert metrics["rows"] == {"pairs": 10, "sft": 10, "people": 0}
    assert metrics["adviser"] == "judge-1"
    assert {(request["path"], request["model"], request["key"]) for request in asked} == {
        ("/v1/chat/completions", "judge-1", "Bearer secret")
    }
    assert "secret" not in spec.to_json() + json.dumps(metrics)


def test_an_address_that_does_not_answer_is_a_reason(tmp_path: Path, address: tuple[str, list[dict[str, Any]]]) -> None:
    url, _ = address
    with pytest.raises(StageError, match=r"constitution could not ask its model: .* answered 404"):
        train(spec_for(tmp_path, url=url, adviser="away"), lambda record: None, sampler=Answers())
