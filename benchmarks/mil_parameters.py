"""Write the table of all hyper-parameters into docs/methods.md, from the registry.

python benchmarks/mil_parameters.py [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args, get_origin

import annotated_types

from napari_wsimil.mil import METHODS

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE = Path(__file__).resolve().parents[1] / "docs" / "methods.md"
BEGIN, END = "<!-- written by benchmarks/mil_parameters.py -->", "<!-- until here -->"


def main() -> None:
    old = PAGE.read_text(encoding="utf-8")
    new = with_tables(old)
    if "--check" in sys.argv and new != old:
        sys.exit(f"{PAGE.name} is out of date: run python benchmarks/mil_parameters.py")
    PAGE.write_text(new, encoding="utf-8")


def with_tables(page: str) -> str:
    """The page with today's tables between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"


def tables() -> str:
    """One table for each method."""
    return "\n\n".join(_table(name) for name in METHODS)


def _table(name: str) -> str:
    method = METHODS[name]
    lines = [
        f"### {name}: {method.title}",
        "",
        "| parameter | default | range | what it does | where the default comes from |",
        "| --- | --- | --- | --- | --- |",
    ]
    for key, field in method.parameters.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        source = f"{extra['source']}{' (**guess**)' if extra['guess'] else ''}"
        lines.append(f"| `{key}` | {_shown(field.default)} | {_range(field)} | {field.description} | {source} |")
    return "\n".join(lines)


def _shown(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else f"{value}"


def _range(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(get_args(field.annotation))
    if field.annotation is bool:
        return "yes, no"
    if field.annotation is str:
        return "a name"
    words = {annotated_types.Ge: ("ge", "from"), annotated_types.Gt: ("gt", "above")}
    words |= {annotated_types.Le: ("le", "to"), annotated_types.Lt: ("lt", "below")}
    return " ".join(f"{words[type(m)][1]} {getattr(m, words[type(m)][0]):g}" for m in field.metadata if type(m) in words)


if __name__ == "__main__":
    main()
