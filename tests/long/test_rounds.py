"""The loop does what its annotators want: real rounds on a real vLLM, one seed of them in `make test`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from feedback_app.settings import shipped_data
from tests.long import rounds
from tests.long.lines import provenance, read_lines, seeds_of

needs_model = pytest.mark.skipif(
    not (shipped_data() / "model" / "model.safetensors").is_file(), reason="the embedded model is not in data/model"
)


async def studied(tmp_path: Path, seeds: str, annotator: str) -> list[dict[str, Any]]:
    """The lines of these seeds, from a vLLM of their own."""
    arguments = rounds.parse(["--seeds", seeds, "--annotator", annotator, "--out", str(tmp_path / "rounds.jsonl")])
    arguments.port = free_port()
    async with rounds.served(str(shipped_data() / "model"), arguments.port, tmp_path) as url:
        return await rounds.study(arguments, url, tmp_path)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_held_before_votes(lines: list[dict[str, Any]]) -> None:
    """Every round that passed the guards was held, and said how many votes it needed."""
    for line in lines:
        before = line["before_votes"]
        assert before["status"] == "held", before["reasons"]
        assert f"needs {rounds.VOTES} more blind votes" in before["reasons"][0]


def test_a_seed_list_is_read_as_written() -> None:
    assert seeds_of("1-3,7") == [1, 2, 3, 7]


def test_a_half_written_line_is_not_a_seed_that_is_done(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    path.write_text('{"seed": 1}\n{"seed": 2, "unse')
    assert read_lines(path) == [{"seed": 1}]
    assert read_lines(tmp_path / "none.jsonl") == []


def test_a_line_says_when_and_where_it_was_measured() -> None:
    known = provenance()
    assert set(known) == {"date", "commit", "machine"}
    assert all(known.values())


def test_ties_count_as_half_and_not_as_decided() -> None:
    warm, curt = "Great question! It is blue. I hope this helps!", "It is blue."
    result = rounds.preferred([warm, warm, curt, curt], [curt, curt, curt, warm], "warm", 0)
    assert (result["wins"], result["losses"], result["ties"]) == (2, 1, 1)
    assert (result["win_rate"], result["of_decided"]) == (0.625, 0.6667)


@needs_model
@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_one_round_is_held_until_people_have_voted_and_moves_the_model_their_way(tmp_path: Path) -> None:
    (line,) = await studied(tmp_path, "1", "warm")
    check_held_before_votes([line])
    assert line["unseen"]["win_rate"] >= 0.60, line


@needs_model
@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
async def test_twenty_warm_rounds(tmp_path: Path) -> None:
    lines = await studied(tmp_path, "1-20", "warm")
    figures = rounds.summary(lines)
    check_held_before_votes(lines)
    assert figures["promoted"] >= 17, figures
    assert figures["win_rate"] >= 0.75, figures
    assert figures["of_decided"] >= 0.80, figures
    assert figures["worst"] >= 0.60, figures
    assert figures["longest_rest_s"] <= 15, figures


@needs_model
@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
async def test_twenty_rounds_of_chance(tmp_path: Path) -> None:
    lines = await studied(tmp_path, "1-20", "random")
    assert rounds.summary(lines)["promoted"] <= 3, lines
