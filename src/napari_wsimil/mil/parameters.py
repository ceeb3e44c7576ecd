"""Hyper-parameters of methods: typed, with range, default, one line of help and the source of the default."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Parameters(BaseModel):
    """Base of the hyper-parameters of all methods: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parameter(default: Any, help: str, source: str, *, guess: bool = False, **limits: Any) -> Any:  # noqa: A002 - reads best
    """One hyper-parameter.

    Parameters
    ----------
    default
        Its default.
    help
        One line for people who did not read the paper.
    source
        Where the default comes from: paper and section, official code, or "ours" with the reason.
    guess
        The source does not state it: it is our reconstruction, and forms say so.
    limits
        Pydantic's: ge, gt, le, lt.
    """
    return Field(default=default, description=help, json_schema_extra={"source": source, "guess": guess}, **limits)
