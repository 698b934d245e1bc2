"""What a version lost of each suite, and in which categories. Pure: a round's evaluation in, HTML out."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from alignment.records import CapabilityRecord, CategoryRecord, SuiteRecord
from feedback_app.domain.reports import Evaluation
from feedback_app.ui.markup import count, html

CHANCE_SIGN = "†"


def suite_tables(evaluation: Evaluation) -> Markup:
    """The frozen questions by category where they were asked, then each suite with its interval, margin and table."""
    unmeasured = Markup().join(html('<p class="small">{}</p>', said) for said in evaluation.get("unmeasured") or ())
    found = [_suite(suite) for suite in evaluation.get("suites") or ()]
    capability = evaluation.get("capability") or {}
    if not evaluation.get("headline") and capability.get("categories"):
        found.insert(0, _folded("The frozen questions", capability))
    return unmeasured + Markup().join(found)


def _suite(suite: SuiteRecord) -> Markup:
    capability = suite.get("capability") or {}
    return html(
        '<h3>Suite {name}</h3><p>{line}</p><p class="small">{detail}</p>{table}',
        name=suite.get("name", ""),
        line=_line(suite, capability),
        detail=_detail(suite, capability),
        table=_folded("By category", capability),
    )


def _line(suite: SuiteRecord, capability: CapabilityRecord) -> str:
    n = suite.get("n", 0)
    if not n:
        return f"None of its {count(suite.get('items', 0), 'question')} can be asked of this model."
    low, high = suite["interval"]
    return (
        f"{capability['challenger']:.1%} of {n:,} questions right (95 % interval {low:.1%} to {high:.1%}), "
        f"{capability['incumbent']:.1%} before, {capability['base']:.1%} for the base."
    )


def _detail(suite: SuiteRecord, capability: CapabilityRecord) -> str:
    parts = [f"margin {suite.get('margin', 0):g} points, {suite.get('needed', 0):,} questions needed for it"]
    for name, loss in (("the version before", capability.get("vs_incumbent")), ("the base", capability.get("vs_base"))):
        if loss and loss.get("n"):
            parts.append(f"lost {loss['points']:.1f} points to {name}, at worst {loss['upper']:.1f}")
    n, items, left_out = suite.get("n", 0), suite.get("items", 0), suite.get("left_out", 0)
    if n + left_out < items:
        parts.append(f"{items - n - left_out:,} more were not asked: the time was up")
    if left_out:
        parts.append(f"{left_out:,} cannot be asked of this model")
    if n and suite.get("base_low", 0) <= suite.get("chance", 0):
        parts.append(f"the base does no better than a blind answer ({suite.get('chance', 0):.0%}): no loss can be seen")
    return "; ".join(parts) + f"; file {suite.get('hash', '')[:12]}"


def _folded(title: str, capability: CapabilityRecord) -> Markup:
    """Categories with what was lost and gained, the greatest loss first."""
    categories: Mapping[str, CategoryRecord] = capability.get("categories") or {}
    if not categories:
        return Markup()
    worst = sorted(categories.items(), key=lambda entry: (_net(entry[1]), entry[0]))
    rows = Markup().join(
        html(
            '<tr class="{kind}"><th scope="row">{name}{sign}</th><td class="number">{n:,}</td><td class="number">'
            '{now:.0%}</td><td class="number">{before:.0%}</td><td class="number">{base:.0%}</td><td class="number">'
            '{lost:,}</td><td class="number">{gained:,}</td></tr>',
            kind="warn" if _net(score) < 0 else "",
            name=name,
            sign=CHANCE_SIGN if score["chance"] and score["base"] <= score["chance"] else "",
            n=score["n"],
            now=score["challenger"],
            before=score["incumbent"],
            base=score["base"],
            lost=score["lost"],
            gained=score["gained"],
        )
        for name, score in worst
    )
    blind = any(score["chance"] and score["base"] <= score["chance"] for score in categories.values())
    lost = [name for name, score in worst if _net(score) < 0]
    said = f"{title}: it lost most in {', '.join(lost[:3])}" if lost else f"{title}: it lost in none"
    note = html('<p class="small">{} the base does no better than a blind answer</p>', CHANCE_SIGN) if blind else ""
    return html(
        '<details class="fold"><summary>{said}</summary><div class="table"><table><thead><tr><th>Category</th>'
        '<th class="number">Asked</th><th class="number">Now</th><th class="number">Before</th>'
        '<th class="number">Base</th><th class="number">Lost</th><th class="number">Gained</th></tr></thead><tbody>'
        "{rows}</tbody></table></div>{note}</details>",
        said=said,
        rows=rows,
        note=note,
    )


def _net(score: CategoryRecord) -> int:
    return score["gained"] - score["lost"]
