"""Bring a file by the page: cases of `tests/cases`, looked at and then imported, by keyboard and on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.browser.driver import PHONE

if TYPE_CHECKING:
    from tests.browser.driver import Visit
    from tests.browser.stage import Stage

Begin = Callable[..., "Visit"]
CASES = Path(__file__).resolve().parents[1] / "cases"
WIDE = (1440, 900)
NOUNS = {
    "compare": "comparison",
    "rank": "ranking",
    "like": "like",
    "demonstration": "demonstration",
}
WALKED = (
    "import/question_chosen_rejected.jsonl",
    "import/images_some_rows.jsonl",
    "import/argilla_ranking_names.jsonl",
    "import/arena_33k.jsonl",
    "import/map_unknown_value.jsonl",
    "import/semicolon.csv",
    "import/train-00000-of-00001.parquet",
    "import/pairs.jsonl.zst",
    "import/marks.csv",
    "import/sharegpt_tools.jsonl",
    "import/equal_and_empty.jsonl",
    "import/unknown_columns.csv",
    "import/lfs_pointer.jsonl",
)


def case(file: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in json.loads((CASES / "EXPECT.json").read_text()) if each["file"] == file
    )
    return found


def look(boss: Visit, file: str, map_: str = "") -> None:
    """Choose a file and ask for its preview, by keyboard."""
    boss.find("form.bring input[type=file]").set_input_files(CASES / file)
    boss.find("form.bring input[name=map]").fill(map_)
    boss.find("form.bring input[name=map]").press("Enter")


def test_cases_end_by_page_as_by_command(visit: Begin, stage: Stage) -> None:
    boss = visit("operator", "/operate/", size=WIDE)
    for file in WALKED:
        one = case(file)
        expect_, args = one["expect"], one.get("args", [])
        before = stage.store.judgements.counts()["total"]
        look(boss, file, args[1] if args else "")
        if expect_["exit"] != 0:
            said = boss.find('[data-says="bring"]')
            expect(said).to_be_visible()
            assert all(re.search(each, said.inner_text(), re.IGNORECASE) for each in expect_["says"]), file
            expect(boss.find('[data-act="bring"]')).to_have_count(0)
            if file.endswith("unknown_columns.csv"):
                boss.find("form.bring").scroll_into_view_if_needed()
                boss.shot("bring-refused")
            continue
        region = boss.find('[data-region="bring"]')
        heading = region.locator("h3")
        for kind, number in expect_["imported"].items():
            expect(heading).to_contain_text(f"{number} {NOUNS[kind]}")
        if expect_["skipped"]:
            expect(region.locator(".left-out tbody tr").first).to_be_visible()
        for pair in expect_.get("pairs", [])[:1]:
            expect(region.locator(".read-rows")).to_contain_text(pair[1].strip()[:40])
        assert stage.store.judgements.counts()["total"] == before, "nothing is kept by looking"
        if file.endswith(("images_some_rows.jsonl", "map_unknown_value.jsonl")):
            boss.page.evaluate("document.querySelector('.bring').closest('section').scrollIntoView()")
            boss.shot(f"bring-{Path(file).stem}")
        expect(heading).to_be_focused()
        region.locator('[data-act="bring"]').focus()
        boss.press("Enter")
        expect(region).to_contain_text("Imported from")
        assert stage.store.judgements.counts()["total"] == before + sum(expect_["imported"].values()), file
    boss.page.evaluate("document.querySelector('.bring').closest('section').scrollIntoView()")
    look(boss, "import/equal_and_empty.jsonl")
    boss.find('[data-act="bring"]').click()
    expect(boss.find('[data-region="bring"]')).to_contain_text("Nothing was imported from")
    boss.shot("bring-before")


def test_on_a_phone_the_form_and_the_preview_fit(visit: Begin) -> None:
    boss = visit("operator", "/operate/", size=PHONE, touch=True)
    boss.find("form.bring").scroll_into_view_if_needed()
    boss.shot("bring-form-phone")
    look(boss, "import/images_some_rows.jsonl")
    expect(boss.find('[data-region="bring"] h3')).to_contain_text("2 comparisons of 3 records")
    wide = boss.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
    boss.page.evaluate("document.querySelector('[data-region=bring]').scrollIntoView()")
    boss.shot("bring-phone")


def test_other_columns_or_another_file_make_the_preview_go(visit: Begin) -> None:
    boss = visit("operator", "/operate/")
    look(boss, "import/semicolon.csv")
    expect(boss.find('[data-act="bring"]')).to_be_visible()
    boss.find("form.bring input[name=map]").type("p")
    expect(boss.find('[data-region="bring"]')).to_be_empty()
