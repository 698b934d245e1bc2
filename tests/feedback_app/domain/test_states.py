"""States are written and compared as the types of `feedback_app.domain`, never as bare strings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import pytest

import feedback_app
from feedback_app.domain.conversations import FinishReason, Purpose, Speaker
from feedback_app.domain.judging import Kind
from feedback_app.domain.people import Role
from feedback_app.domain.rounds import ACTIVE, ENDED, AttemptStatus, RoundStatus, StageStatus
from feedback_app.domain.versions import PublicationReason, VersionForm, VersionKind, VersionState, served_name

ROOT = Path(feedback_app.__file__).parent
TYPES: dict[str, tuple[type[StrEnum], ...]] = {
    "status": (RoundStatus, StageStatus, AttemptStatus),
    "state": (VersionState,),
    "form": (VersionForm,),
    "reason": (PublicationReason,),
    "role": (Role, Speaker),
    "purpose": (Purpose,),
    "finish_reason": (FinishReason,),
    "kind": (Kind, VersionKind),
}


def bare(text: str) -> list[tuple[str, str]]:
    """The column and the string wherever a state is compared with a bare string."""
    return list(_bare(ast.parse(text)))


def _bare(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Attribute):
            column = node.left.attr
            values = {str(value) for type_ in TYPES.get(column, ()) for value in type_}
            for literal in (inner for right in node.comparators for inner in ast.walk(right)):
                if isinstance(literal, ast.Constant) and literal.value in values:
                    yield column, str(literal.value)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_state_is_compared_with_a_bare_string(path: Path) -> None:
    if "migrations" not in path.parts:  # they speak of the schema as it was
        assert bare(path.read_text(encoding="utf-8")) == []


def test_a_bare_string_is_found() -> None:
    assert bare('a.status == "held" or b.state in ("ready", "new") or c.form == FORM') == [
        ("status", "held"),
        ("state", "ready"),
    ]


def test_a_round_is_either_active_or_ended() -> None:
    assert {*ACTIVE, *ENDED} == set(RoundStatus)
    assert not {*ACTIVE} & {*ENDED}


def test_a_served_name_carries_what_makes_it_this_homes() -> None:
    base = served_name(name="base-2", form=VersionForm.FULL, base_hash="ab" * 32, artifact_hash="x", path="/here")
    assert base == "base-abababababab"
    one = served_name(name="policy-0001", form=VersionForm.ADAPTER, base_hash="b", artifact_hash="x", path="/here")
    other = served_name(name="policy-0001", form=VersionForm.ADAPTER, base_hash="b", artifact_hash="x", path="/there")
    assert one.startswith("policy-0001-")
    assert one != other
