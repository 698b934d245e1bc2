"""A hundred people at once: nobody's request is lost, the app stays small, and vLLM is kept busy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.long import crowd

pytestmark = pytest.mark.timeout(1200)
GROWS_MIB = 150  # two minutes of a hundred people, over the app that nobody has used yet


def check(found: dict[str, dict[str, object]]) -> None:
    """What must hold of any crowd."""
    app = found["app"]
    for way in ("door", "pages"):
        line = app[way]
        assert isinstance(line, dict)
        assert line["lost"] == []
        assert line["answers"] > 0
        assert line["whole_s"]["longest"] <= crowd.DEADLINE_S + 5
    assert app["tickets_missing"] == 0
    resident = app["resident_mib"]
    assert isinstance(resident, list)
    assert resident[-1] - resident[0] <= GROWS_MIB


@pytest.mark.slow
@pytest.mark.long
def test_a_dozen_people_in_six_places_all_end_with_an_answer_or_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = crowd.run(tmp_path, 12, 8, 0, answers_at_once="6")
    with capsys.disabled():
        print("\n" + json.dumps(found))
    check(found)


@pytest.mark.long
def test_a_hundred_people_for_two_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = crowd.run(tmp_path, 100, 120, 40)
    with capsys.disabled():
        print("\n" + json.dumps(found, indent=1))
    check(found)
