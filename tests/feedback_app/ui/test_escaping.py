"""Text in, never a tag out: whatever people and models wrote, a page has the elements that it has anyway.

Every function that returns HTML is given hostile texts, and the elements and attributes of what comes out are
compared with those for a plain word. That HTML is made of literals alone is read off the source.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

import feedback_app.ui
from feedback_app.api.plain import plain_page, refusal_page
from feedback_app.api.signin import account_page, sign_in_page
from feedback_app.collect.tasks import Turn as AskedBefore
from feedback_app.domain.lineage import Click, Contributor, Dataset, PersonLineage, RestsOn, UsedIn, VersionLineage
from feedback_app.domain.votes import Tally
from feedback_app.errors import UsageError
from feedback_app.exchange.brought_file import Preview, Reason, Shown
from feedback_app.ui import (
    chat_thread,
    judging_events,
    lineage_view,
    loop_strip,
    operate_chart,
    operate_evidence,
    operate_import,
    operate_panels,
    operate_people,
    operate_records,
    operate_suites,
    operate_watch,
    rank_events,
    sitting,
    theme,
)
from feedback_app.ui.chat_turns import Rating, Talked, Turn
from feedback_app.ui.loop_strip import LoopState
from feedback_app.ui.markup import attributes, button, html, note, prose, says
from feedback_app.ui.model_status import ModelState

PACKAGE = Path(feedback_app.ui.__file__).parents[1]
PAYLOADS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title><svg onload=alert(1)>",
    "<!-- {} {0} {x.__class__} &lt;script&gt;",
)
MARKDOWN = {"p", "br", "em", "strong", "a", "ul", "ol", "li", "code", "pre", "blockquote", "hr", "h1", "h2", "h3"}
LINK = {"href", "target", "rel"}


class Elements(HTMLParser):
    """The elements of a document with the names of their attributes, in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment",))


def elements(document: str) -> list[tuple[str, ...]]:
    return Elements(document).found


def turn(x: str, **more: Any) -> Turn:
    said = Rating(x, x, True, "bad", (x,), x, more.pop("correction", ""))
    return Turn("m", more.pop("role", "assistant"), x, ("m", x), x, "stop", said)


def round_(x: str, **more: Any) -> Any:
    return SimpleNamespace(
        id=1, status=x, method=x, version=x, incumbent=x, reasons=[x], created_at=0.0, started_at=0.0, finished_at=9.0,
        rows={"train": 3, "left_out_rows": {"long": {"words": x}}}, snapshot_id="s", cancel_requested=False,
        samples=[{"prompt": x, "incumbent": x, "challenger": f"{x} b", "before": x, "after": f"{x} b"}],
        evaluation={"capability": {"challenger": 0.5, "n": 8}}, **more,
    )  # fmt: skip


def loop(x: str, *, active: bool = False) -> LoopState:
    counts = {
        "total": 3, "scripted": 1, "by_kind": {}, "by_version": {x: 2},
        "by_person": [{"name": x, "count": 3, "scripted": False}],
    }  # fmt: skip
    version = cast("Any", SimpleNamespace(name=x, form="adapter", state="challenger", kind=x, parent=x))
    published = cast("Any", SimpleNamespace(version="base", at=0.0, reason="damaged", previous=x, person_id=None))
    stage = cast("Any", SimpleNamespace(name=x, status="running", started_at=0.0, finished_at=None))
    turned = round_(x)
    return LoopState(
        9.0, counts, counts, [turned], turned if active else None, [stage],
        [{"step": 1, "steps": 2, "loss": 0.5, "waiting": x}], [version], published, version, Tally(1, 1, 1),
    )  # fmt: skip


def person(x: str, scripted: bool = False) -> Any:
    return SimpleNamespace(
        id=x, name=x, role="annotator", scripted=scripted, disabled=True, set_aside_at=1.0, withdrawn_at=None
    )


def lineage(x: str) -> VersionLineage:
    return VersionLineage(
        version=x,
        serving=True,
        flag=x,
        ancestors=[x, x],
        parent=x,
        round=1,
        snapshot=Dataset(x, x, x),
        people=[Contributor(x, scripted=True, judgements=1, withdrawn=True, erased=False)],
        rows={"pairs": 2},
        judgements=1,
        clicks=[Click(x, person=x, kind=x, at=0.0, rows={"pairs": 1})],
    )


def persons_lineage(x: str) -> PersonLineage:
    return PersonLineage(
        person=x,
        withdrawn=True,
        erased=True,
        set_aside=False,
        judgements=2,
        snapshots=[UsedIn(x, 2, [1])],
        versions=[RestsOn(x, "continued", 2, x, serving=True)],
    )


def watch(x: str) -> dict[str, Any]:
    seen = {"step": 1, "distance": 1.0, "reward": 1.0, "judged": 2, "wins": 1}
    return {"why": x, "judged": 2, "scripted": 0, "chosen": 1, "milestones": [seen]}


def point(x: str) -> dict[str, Any]:
    capability = {"n": 2, "lost_to_base": {"points": 1.0, "upper": 2.0, "n": 2}}
    return {"version": x, "started_from": x, "capability": capability, "proxy": {"gain": 1.0}, "distance": 1.0}


def ticket(x: str) -> Any:
    return SimpleNamespace(ticket_id=x, prompt=x, candidates=[SimpleNamespace(text="said")] * 3)


def page(response: Any) -> str:
    return bytes(response.body).decode()


Builder = Callable[[str], str]


# A function that returns HTML -> a way to give it one text everywhere.
def suites(x: str) -> Any:
    """An evaluation with a suite, whose name and whose category's anybody may choose who brings a file."""
    score = {"n": 9, "chance": 0.5, "challenger": 0.5, "incumbent": 0.6, "base": 0.4, "lost": 2, "gained": 1}
    capability = {"n": 9, "challenger": 0.5, "incumbent": 0.6, "base": 0.4, "categories": {x: score}}
    suite = {"name": x, "hash": x, "items": 12, "n": 9, "interval": [0.2, 0.8], "capability": capability}
    return {"suites": [suite], "headline": x, "unmeasured": [x]}


BUILDERS: dict[str, Builder] = {
    "operate_import.preview": lambda x: operate_import.preview(
        Preview(x, x, x, 2, {x: 1}, (Reason(x, 1, (2,)),), (Shown(1, ((x, x),), ((x, x), ("", x)), 1),), (x,)), True
    ),
    "operate_import.imported": lambda x: operate_import.imported(
        x, {"format": x, "read": 2, "imported": {x: 1}, "skipped": {x: 1}, "notes": [x], "first": {x: 2}}
    ),
    "markup.html": lambda x: html('<p title="{}">{name}</p>', x, name=x),
    "markup.attributes": lambda x: f"<p{attributes(class_=x, data_x=x)}>",
    "markup.button": lambda x: button("go", x, label=x, kind=x, keys=x, id=x, more=x),
    "markup.note": lambda x: note(x, x, "warn"),
    "markup.says": says,
    "chat_thread.question": lambda x: chat_thread.question(turn(x)),
    "chat_thread.quiet_row": lambda x: chat_thread.quiet_row(turn(x), saved=True),
    "chat_thread.reason_chips": lambda x: chat_thread.reason_chips([x], [x, "b"], ticket=x),
    "chat_thread.reasons": lambda x: chat_thread.reasons(turn(x)),
    "chat_thread.edit_form": lambda x: chat_thread.edit_form(turn(x)),
    "chat_thread.side_bar": lambda x: chat_thread.side_bar([cast("Any", SimpleNamespace(id=x, title=x))], ""),
    "chat_thread.side_bar, renaming": lambda x: chat_thread.side_bar(
        [cast("Any", SimpleNamespace(id="c", title=x))], "", "c"
    ),
    "chat_thread.welcome": lambda x: chat_thread.welcome([x], x),
    "lineage_view.link": lambda x: lineage_view.link(x, x),
    "lineage_view.version_view": lambda x: lineage_view.version_view(lineage(x)),
    "lineage_view.person_view": lambda x: lineage_view.person_view(persons_lineage(x), own=False, linked=True),
    "lineage_view.person_view, unlinked": lambda x: lineage_view.person_view(
        persons_lineage(x), own=True, linked=False
    ),
    "lineage_view.finder": lambda x: lineage_view.finder([x], [x], x, x),
    "loop_strip.strip": lambda x: loop_strip.strip(loop(x)),
    "loop_strip.strip, active": lambda x: loop_strip.strip(loop(x, active=True)),
    "loop_strip.station": lambda x: loop_strip.station("flag", x, x, x, x),
    "operate_chart.over_rounds": lambda x: operate_chart.over_rounds([point(x), point(x)]),
    "operate_chart.scatter": lambda x: operate_chart.scatter(
        operate_chart.PROXY, [point(x), point(x)], lambda one: one["version"], lambda one: one["distance"]
    ),
    "operate_evidence.status_tag": operate_evidence.status_tag,
    "operate_evidence.guard_rows": lambda x: operate_evidence.guard_rows([operate_evidence.Guard(x, x, x, "good")]),
    "operate_evidence.samples": lambda x: operate_evidence.samples(round_(x).samples, x, x),
    "operate_evidence.sparkline": lambda x: operate_evidence.sparkline([1.0, 2.0], x),
    "operate_panels.options": lambda x: operate_panels.options([(x, x)], x),
    "operate_panels.alarms": lambda x: operate_panels.alarms([x]),
    "operate_panels.action": lambda x: operate_panels.action(loop(x), [x, "b"]),
    "operate_panels.action, one method": lambda x: operate_panels.action(loop(x), [x]),
    "operate_panels.action, active": lambda x: operate_panels.action(loop(x, active=True), [x]),
    "operate_panels.evidence": lambda x: operate_panels.evidence(loop(x), None, {}, lambda turn: [x]),
    "operate_panels.decisions": lambda x: operate_panels.decisions(loop(x), x),
    "operate_people.schedule": lambda x: operate_people.schedule(
        cast("Any", SimpleNamespace(enabled=True, method=x, every_judgements=x, every_hours=x)), [x]
    ),
    "operate_people.people": lambda x: operate_people.people([person(x), person(x, True)], "me", flags={x: x}),
    "operate_people.revoked_note": lambda x: operate_people.revoked_note(x, 1),
    "operate_people.revoked_note, none": lambda x: operate_people.revoked_note(x, 0),
    "operate_people.secret_note": lambda x: operate_people.secret_note(x, x, x),
    "operate_suites.suite_tables": lambda x: operate_suites.suite_tables(suites(x)),
    "operate_records.history": lambda x: operate_records.history([round_(x), round_(x)], 9.0),
    "operate_records.versions": lambda x: operate_records.versions(
        [cast("Any", SimpleNamespace(name=x, kind=x, parent=x, state=x))],
        [cast("Any", SimpleNamespace(version=x, at=0.0, note=x, reason=x, person_id=x, previous=x))],
        {x: x},
        9.0,
    ),
    "operate_records.collected": lambda x: operate_records.collected(loop(x)),
    "operate_watch.watched": lambda x: operate_watch.watched(watch(x)),
    "judging_events.earlier_turns": lambda x: judging_events.earlier_turns([AskedBefore(x, x), AskedBefore("user", x)]),
    "rank_events.cards": lambda x: rank_events.cards(ticket(x)),
    "sitting.confirmation": lambda x: sitting.confirmation(x, x),
    "sitting.standing": lambda x: sitting.standing(x, x),
    "sitting.judging_page": sitting.judging_page,
    "sitting.why_panel": sitting.why_panel,
    "theme.top_bar": lambda x: theme.top_bar("/", x, "operator"),
    "theme.loading_model": lambda x: theme.loading_model(ModelState("starting", 0.0, x), 9.0),
    "plain.plain_page": lambda x: page(plain_page(x, html("<p>{}</p>", x))),
    "plain.refusal_page": lambda x: page(refusal_page(x)),
    "signin.sign_in_page": lambda x: page(sign_in_page(x, x, UsageError(x))),
    "signin.account_page": lambda x: page(account_page(person(x), x, x, x)),
}
# These show Markdown, which may add elements of its own, and no others.
WITH_PROSE: dict[str, Builder] = {
    "markup.prose": prose,
    "chat_thread.answer": lambda x: chat_thread.answer(turn(x, correction=x), True, False),
    "chat_thread.answer, editing": lambda x: chat_thread.answer(turn(x), True, True),
    "chat_thread.thread": lambda x: chat_thread.thread(
        Talked(x, x, (turn(x, role="user"), turn(x), turn(x, role="user"))), pending=False
    ),
    "rank_events.cards": lambda x: rank_events.cards(
        cast("Any", SimpleNamespace(ticket_id=x, prompt=x, candidates=[SimpleNamespace(text=x)]))
    ),
}
# These are given numbers, names of ours and nothing that somebody wrote.
NO_TEXT = {
    "markup.icon", "compare.card", "compare.verdict_bar", "sitting.progress_line", "sitting.early_line", "theme.head",
    "operate_evidence.win_rate", "chat_events.chat_menu", "loop_strip.collected", "loop_strip.snapshot",
    "loop_strip.train", "loop_strip.evaluate", "loop_strip.challenger", "loop_strip.serving",
}  # fmt: skip


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("name", BUILDERS)
def test_a_hostile_text_adds_no_element_and_no_attribute(name: str, payload: str) -> None:
    build = BUILDERS[name]
    assert elements(build(payload)) == elements(build("word"))


@given(st.text(min_size=1).map(lambda text: f"x{text}"))
def test_no_text_becomes_a_tag(text: str) -> None:
    for build in (BUILDERS[name] for name in ("markup.html", "markup.attributes", "markup.button", "markup.note")):
        assert elements(build(text)) == elements(build("word"))


@given(st.lists(st.one_of(st.text(), st.text().map(Markup.escape)), max_size=4))
def test_markup_and_text_may_be_joined_in_any_way(parts: list[str]) -> None:
    joined = Markup()
    for part in parts:
        joined += part
    assert elements(joined + Markup().join(parts)) == []


@pytest.mark.parametrize("payload", [*PAYLOADS, "![x](https://e.example/x.png)", "[x](javascript:alert(1))"])
@pytest.mark.parametrize("name", WITH_PROSE)
def test_markdown_adds_elements_of_its_own_and_no_others(name: str, payload: str) -> None:
    build = WITH_PROSE[name]
    ours = set(elements(build("word")))
    for tag, *names in elements(build(payload)):
        assert (tag, *names) in ours or (tag.removeprefix("/") in MARKDOWN and set(names) <= LINK)


@given(st.text())
def test_no_prose_becomes_an_element_that_markdown_does_not_have(text: str) -> None:
    for tag, *names in elements(prose(text)):
        assert tag.removeprefix("/") in MARKDOWN | {"h4", "h5", "h6"}
        assert set(names) <= LINK | {"class", "start"}


def test_every_function_that_returns_html_is_tried_here() -> None:
    found = set()
    for info in pkgutil.iter_modules(feedback_app.ui.__path__):
        if "gradio" in (PACKAGE / "ui" / f"{info.name}.py").read_text("utf-8"):
            continue  # builds no HTML of its own: what it shows is built in the others
        module = importlib.import_module(f"feedback_app.ui.{info.name}")
        for name, value in vars(module).items():
            ours = inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
            if ours and value.__annotations__.get("return") == "Markup":
                found.add(f"{info.name}.{name}")
    tried = {name.partition(",")[0] for name in (*BUILDERS, *WITH_PROSE)} | NO_TEXT
    assert found - tried == set()


def builders() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted([*(PACKAGE / "ui").glob("*.py"), *(PACKAGE / "api").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path, node


def test_html_is_made_of_literals_alone() -> None:
    """`Markup(f"<p>{text}</p>")` would escape nothing; so would an f-string of tags that becomes HTML later."""
    wrong = []
    for path, node in builders():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Markup", "html"):
            literal = not node.args or isinstance(node.args[0], ast.Constant)
            if not literal and path.name != "markup.py":
                wrong.append(f"{path.name}:{node.lineno} makes HTML of something that is no literal")
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if "</" in text or '="' in text:
                wrong.append(f"{path.name}:{node.lineno} writes tags in an f-string")
    assert wrong == []


def test_only_text_that_markdown_has_rendered_and_literals_are_made_html_in_the_ground_of_it() -> None:
    source = (PACKAGE / "ui" / "markup.py").read_text("utf-8")
    made = [
        ast.unparse(node.args[0])
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Markup" and node.args
    ]
    assert sorted(name.partition("(")[0].partition(".")[0] for name in made) == ["_ICONS[name]", "rendered", "template"]
