"""Every command with its options, from the command line itself, and every make target, from the Makefile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.tables import code, table

ROOT = Path(__file__).resolve().parent.parent


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its words, as `alignloop round start`."""
    import typer.main

    from feedback_app.commands.app import app

    def walk(command: Any, words: str) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield words, command
            return
        for name, sub in below.items():
            yield from walk(sub, f"{words} {name}")

    yield from walk(typer.main.get_command(app), "alignloop")


def commands_part() -> str:
    """A list of all of them, then one section each."""
    found = sorted(commands(), key=lambda each: each[0])
    listed = [[f"[`{words}`](#{words.replace(' ', '-')})", _first(command.help)] for words, command in found]
    return "\n\n".join([table(["command", ""], listed), *(_section(words, command) for words, command in found)])


def _section(words: str, command: Any) -> str:
    arguments, options = [], []
    for parameter in command.params:
        names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")]
        if {"--json", "--help"} & set(names):
            continue
        default = parameter.default
        shown = "" if isinstance(default, bool) or callable(default) else code(getattr(default, "value", default))
        if parameter.required:
            shown = "needed"
        text = getattr(parameter, "help", None) or ""
        if names:
            value = "" if getattr(parameter, "is_flag", False) else f" {_metavar(parameter)}"
            options.append([f"`{' / '.join(names)}{value}`", shown, text])
        else:
            name = parameter.name.upper()
            arguments.append(name if parameter.required else f"[{name}]")
            options.insert(len(arguments) - 1, [f"`{name}`", shown, text])
    usage = " ".join([words, *arguments])
    parts = [f"### {words}", f"`{usage}`", (command.help or "").strip()]
    if options:
        parts.append(table(["argument or option", "default", ""], options))
    return "\n\n".join(parts)


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.strip("_").upper())


def _first(text: str | None) -> str:
    return (text or "").strip().splitlines()[0]


def targets_part() -> str:
    """The make targets with the words that `make help` shows."""
    found = re.findall(r"^([a-z-]+):.*  ## (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return table(["target", ""], [[f"`make {name}`", words] for name, words in found])
