"""How far a job is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report of a running job.

    Attributes
    ----------
    stage
        What is being done, in words a user reads: "Finding tissue", "Reading and encoding patches", "Running the model".
    done, total
        Patches done, and patches in all (0 while not known).
    rate
        Patches per second so far (0.0 while not known).
    seconds_left
        Estimate of what remains, None while not known.
    """

    stage: str
    done: int = 0
    total: int = 0
    rate: float = 0.0
    seconds_left: float | None = None
