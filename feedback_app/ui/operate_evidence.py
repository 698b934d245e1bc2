"""The evidence on one round's version: votes as a point with its interval, guards in plain words, samples.

Pure: values in, HTML out. What may not be done here: deciding. The gate's verdict and reasons are shown as kept.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignment.stats import wilson_interval
from feedback_app.domain.rounds import RoundStatus
from feedback_app.domain.votes import Tally
from feedback_app.ui.markup import count, esc, icon

STATUS_KINDS = {
    RoundStatus.PROMOTED: "good",
    RoundStatus.PASSED: "good",
    RoundStatus.HELD: "warn",
    RoundStatus.REJECTED: "bad",
    RoundStatus.FAILED: "bad",
    RoundStatus.CANCELLED: "",
    RoundStatus.RUNNING: "accent",
    RoundStatus.QUEUED: "accent",
}


@dataclass(frozen=True)
class Guard:
    """One guard: its name, the number with its unit, the limit in words, and how near it is: good, warn, bad, or
    empty where it was not measured."""

    name: str
    number: str
    limit: str
    kind: str


def status_tag(status: str) -> str:
    """A round's status as a small coloured word."""
    return f'<span class="tag {STATUS_KINDS[RoundStatus(status)]}">{esc(status)}</span>'


def win_rate(tally: Tally, needed: int) -> str:
    """Votes for it among the decided ones of the `needed`, with the 95 % interval, against a line at 50 %."""
    decided = tally.decided
    said = (
        f"{count(tally.n, 'vote')} of {needed}: {tally.wins} for it, {tally.losses} against, {count(tally.ties, 'tie')}"
    )
    bar = f'<div class="bar"><i style="width:{min(100, 100 * tally.n / max(1, needed)):.0f}%"></i></div>'
    if not decided:
        return f'<div class="votes"><p>{esc(said)}</p>{bar}</div>'
    share = tally.wins / decided
    low, high = wilson_interval(tally.wins, decided)
    sentence = f"{share:.0%} of decided votes prefer it (95 % interval {low:.0%} to {high:.0%})"

    def x(value: float) -> float:
        return 10 + 580 * value

    ticks = "".join(
        f'<text x="{x(at / 100):.1f}" y="62" text-anchor="middle">{at} %</text>' for at in (0, 25, 50, 75, 100)
    )
    return (
        f'<div class="votes"><p><strong>{esc(sentence)}</strong></p>'
        f'<svg class="interval" viewBox="0 0 600 70" role="img" aria-label="{esc(sentence)}">'
        f'<line class="axis" x1="10" x2="590" y1="44" y2="44"/>'
        f'<line class="half" x1="{x(0.5)}" x2="{x(0.5)}" y1="4" y2="50"/>'
        f'<line class="span" x1="{x(low):.1f}" x2="{x(high):.1f}" y1="24" y2="24"/>'
        f'<line class="span" x1="{x(low):.1f}" x2="{x(low):.1f}" y1="16" y2="32"/>'
        f'<line class="span" x1="{x(high):.1f}" x2="{x(high):.1f}" y1="16" y2="32"/>'
        f'<circle class="point" cx="{x(share):.1f}" cy="24" r="7"/>{ticks}</svg>'
        f'<p class="small">{esc(said)}</p>{bar}</div>'
    )


def guards(evaluation: Mapping[str, Any], limits: Mapping[str, float]) -> list[Guard]:
    """The guards that were measured, each against its limit; amber from three quarters of the way."""
    found: list[Guard] = []
    capability = evaluation.get("capability") or {}
    for key, other in (("vs_incumbent", "the version before"), ("vs_base", "the base")):
        loss = capability.get(key) or {}
        if loss.get("n"):
            points, upper = float(loss["points"]), float(loss["upper"])
            change = "lost" if points > 0 else "gained" if points < 0 else "kept; lost"
            found.append(
                Guard(
                    f"What it can do, against {other}",
                    f"{change} {abs(points):.1f} points, at worst {upper:.1f}",
                    _at_most(limits, "capability_loss", " points")
                    + _at_most(limits, "capability_upper", " at worst", ", "),
                    _worst(_kind(points, limits.get("capability_loss")), _kind(upper, limits.get("capability_upper"))),
                )
            )
    if isinstance(evaluation.get("kl"), int | float):
        kl = float(evaluation["kl"])
        number = f"{kl:.1f} nats per answer"
        if isinstance(evaluation.get("kl_base"), int | float):
            number += f", {float(evaluation['kl_base']):.1f} to the base"
        found.append(Guard("How far it moved (KL)", number, _at_most(limits, "kl"), _kind(kl, limits.get("kl"))))
    language = evaluation.get("language") or {}
    if isinstance(language.get("added"), int | float):
        number = f"{float(language['challenger']):.3f} nats per token, {float(language['base']):.3f} for the base"
        found.append(Guard("Predicting texts it never saw", number, "decides nothing", ""))
    if isinstance(evaluation.get("length_ratio"), int | float):
        ratio, low, high = float(evaluation["length_ratio"]), limits.get("length_low"), limits.get("length_high")
        kind = "" if low is None or high is None else "good"
        if low is not None and high is not None:
            near = (
                math.log(ratio / low) < 0.25 * math.log(1 / low) or math.log(high / ratio) < 0.25 * math.log(high)
                if ratio > 0
                else True
            )
            kind = "bad" if not low <= ratio <= high else "warn" if near else "good"
        between = f"{low:g} to {high:g}" if low is not None and high is not None else ""
        found.append(Guard("Length of its answers", f"{ratio:.2f} times as long", between, kind))
    before, after = evaluation.get("before") or {}, evaluation.get("after") or {}
    for key, name, limit in (
        ("repetition", "Repeating itself", "repetition_rise"),
        ("empty", "Empty answers", "empty_rise"),
        ("endless", "Answers that do not end", "endless_rise"),
    ):
        if key in after and key in before:
            rise, allowed = float(after[key]) - float(before[key]), limits.get(limit)
            top = f"at most {float(before[key]) + allowed:.0%}" if allowed is not None else ""
            found.append(
                Guard(name, f"{float(after[key]):.0%}, {float(before[key]):.0%} before", top, _kind(rise, allowed))
            )
    if "refusals" in after and "refusals" in before:
        number = f"{float(after['refusals']):.0%}, {float(before['refusals']):.0%} before"
        found.append(Guard("Refusing to answer", number, "decides nothing", ""))
    return found


def _kind(value: float, limit: float | None) -> str:
    if limit is None:
        return ""
    return "bad" if value > limit else "warn" if value > 0.75 * limit else "good"


def _worst(*kinds: str) -> str:
    return next((kind for kind in ("bad", "warn", "good") if kind in kinds), "")


def _at_most(limits: Mapping[str, float], key: str, unit: str = "", before: str = "") -> str:
    return f"{before}at most {limits[key]:g}{unit}" if key in limits else ""


def guard_rows(found: Sequence[Guard]) -> str:
    """Each guard as one row: a sign, its name, the number, the limit."""
    if not found:
        return ""
    signs = {"good": ("check", "within"), "warn": ("warn", "near its limit"), "bad": ("cross", "beyond its limit")}
    rows = []
    for guard in found:
        symbol, words = signs.get(guard.kind, ("check", "measured"))
        rows.append(
            f'<tr class="{guard.kind}"><td class="sign">{icon(symbol)}<span class="sr">{words}</span></td>'
            f'<th scope="row">{esc(guard.name)}</th><td>{esc(guard.number)}</td>'
            f'<td class="small">{esc(guard.limit)}</td></tr>'
        )
    return f'<div class="table"><table class="guards"><tbody>{"".join(rows)}</tbody></table></div>'


def marked(before: str, after: str) -> tuple[str, str]:
    """Both texts as HTML with the words that differ marked."""
    left, right = re.findall(r"\s+|\S+", before), re.findall(r"\s+|\S+", after)
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    out: tuple[list[str], list[str]] = ([], [])
    for kind, a0, a1, b0, b1 in matcher.get_opcodes():
        for side, words, tag in ((0, left[a0:a1], "del"), (1, right[b0:b1], "ins")):
            text = esc("".join(words))
            out[side].append(f"<{tag}>{text}</{tag}>" if kind != "equal" and text.strip() else text)
    return "".join(out[0]), "".join(out[1])


def samples(pairs: Iterable[Mapping[str, Any]], before_name: str, after_name: str, shown: int = 6) -> str:
    """Answers to the same prompts before and after, side by side."""
    blocks = []
    for pair in list(pairs)[:shown]:
        before, after = marked(str(pair.get("before", "")), str(pair.get("after", "")))
        blocks.append(
            f'<div class="sample"><p class="asked">{esc(pair.get("prompt", ""))}</p><div class="two">'
            f"<p>{before or '<em>empty</em>'}</p><p>{after or '<em>empty</em>'}</p></div></div>"
        )
    if not blocks:
        return ""
    return (
        f'<div class="samples"><div class="two small names"><span>Before: {esc(before_name)}</span>'
        f"<span>After: {esc(after_name)}</span></div>{''.join(blocks)}</div>"
    )


def sparkline(values: Sequence[float], label: str, width: int = 160, height: int = 32) -> str:
    """A small line, for instance of the loss over the steps; empty below two values."""
    points = [value for value in values if math.isfinite(value)]
    if len(points) < 2:
        return ""
    low, high = min(points), max(points)
    span = (high - low) or 1.0
    coordinates = " ".join(
        f"{2 + (width - 4) * at / (len(points) - 1):.1f},{2 + (height - 4) * (1 - (value - low) / span):.1f}"
        for at, value in enumerate(points)
    )
    said = f"{label}: from {points[0]:.3f} to {points[-1]:.3f}"
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{esc(said)}"><title>{esc(said)}</title><polyline points="{coordinates}"/></svg>'
    )
