"""What a package remembers of how it was made: for its card, and at home for training it further."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from napari_wsimil.training.runs.run_folder import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_wsimil.training.data.manifest import Case
    from napari_wsimil.training.runs.study import Study

PROGRAMS = ("napari-wsimil", "python", "torch")
"""Whose versions a package names; all others are in the run's settings."""


def provenance_of(study: Study, notes: Mapping[str, Any]) -> dict[str, Any]:
    """The entry "training" of a package, JSON-able.

    Parameters
    ----------
    notes
        What the training itself tells: epochs, what it was tuned from.

    Returns
    -------
    ``settings``, ``manifest`` (path, digest), ``command`` and ``run`` (which stay at home when the package is shared),
    ``slides`` {split: {class: slides}}, ``totals`` {split: {slides, patients, without_label}} (patients None where the manifest
    names none), ``made`` (date, UTC), ``versions``, and the notes.
    """
    found = versions()
    named = any(case.patient != case.name for case in study.manifest.cases)
    sides = {"train": study.split.train, "validation": study.split.validation, "test": study.split.test}
    return {
        "settings": study.settings.model_dump(mode="json"),
        "manifest": study.about.get("manifest", {}),
        "command": study.about.get("command", ""),
        "run": str(study.folder.path.resolve()),
        "slides": {
            side: {name: sum(case.label == name for case in cases) for name in study.spec.classes}
            for side, cases in sides.items()
        },
        "totals": {side: _totals(cases, named=named) for side, cases in sides.items()},
        "made": datetime.now(UTC).date().isoformat(),
        "versions": {name: found[name] for name in PROGRAMS if name in found},
        **notes,
    }


def _totals(cases: Sequence[Case], *, named: bool) -> dict[str, int | None]:
    return {
        "slides": len(cases),
        "patients": len({case.patient for case in cases}) if named else None,
        "without_label": sum(case.label is None for case in cases),
    }
