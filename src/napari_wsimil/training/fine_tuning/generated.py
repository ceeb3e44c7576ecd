"""Generated slides that a model is kept in mind of, where nobody has those that it was trained on: made when first needed.

A folder of the user's cache: `generated.json` says what is to be made, `manifest.csv` comes when all of it is.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from napari_wsimil.bags import FeatureStore
from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_whole
from napari_wsimil.inference.extraction import extract_steps
from napari_wsimil.samples import make_sample_slide, sample_folder
from napari_wsimil.training.data.manifest import Case
from napari_wsimil.training.data.manifest_writing import write_manifest
from napari_wsimil.training.events import Event

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from napari_wsimil.packages import Model

RECIPE, MANIFEST = "generated.json", "manifest.csv"
FIRST_SEED = 40_004
"""No slide of the bundled model's training, and no sample slide, has such a seed."""
SLIDES, VALIDATION, SIZE = 16, 6, 3072
"""Slides in all, how many of them judge, and their side in px; half of each have tumour."""


def generated_manifest(model: Model) -> Path:
    """Where the manifest of generated slides for the bundled model will be; what is to be made is written down there.

    Raises
    ------
    TrainingError
        The user's cache folder can't be written.
    """
    folder = sample_folder() / "rehearsal" / f"{model.digest}-{model.encoder.digest[:8]}-{SLIDES}x{SIZE}"
    recipe = {"slides": SLIDES, "validation": VALIDATION, "size": SIZE, "first_seed": FIRST_SEED}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / RECIPE) as part:
            part.write_text(json.dumps(recipe) + "\n", encoding="utf-8")
    except OSError as error:
        raise TrainingError(
            f"{folder}, where slides for rehearsal are kept, can't be written ({error.strerror or error}); set "
            "NAPARI_WSIMIL_CACHE to another folder."
        ) from error
    return folder / MANIFEST


def is_promised(manifest: Path) -> bool:
    """Whether a manifest is of slides that are still to be generated."""
    return not manifest.is_file() and manifest.with_name(RECIPE).is_file()


def make_generated(manifest: Path, model: Model, device: str = "auto") -> Generator[Event, None, None]:
    """Make what `generated_manifest` promised, unless it is there; closing it stops, and the next call goes on there.

    Does nothing for manifests of other slides.
    """
    if not is_promised(manifest):
        return
    about: dict[str, int] = json.loads(manifest.with_name(RECIPE).read_text(encoding="utf-8"))
    with FileLock(manifest.with_name(".lock")):
        if manifest.is_file():
            return
        cases = []
        for number in range(about["slides"]):
            judges = number >= about["slides"] - about["validation"]
            case = yield from _made(manifest.parent, number, about, model, device, "validation" if judges else "train")
            cases.append(case)
        write_manifest(cases, manifest)


def _made(
    folder: Path, number: int, about: dict[str, int], model: Model, device: str, split: str
) -> Generator[Event, None, Case]:
    """Features of one slide; the slide itself is not kept."""
    seed, positive = about["first_seed"] + number, number % 2 == 0
    name = f"generated-{seed}"
    told: dict[str, Any] = {"what": "Making old slides to rehearse", "done": number, "total": about["slides"]}
    kept = folder / f"{name}.h5"
    yield Event("progress", "features", data=told)
    if not kept.is_file():
        with TemporaryDirectory(dir=folder, prefix=".making-") as work:
            slide = make_sample_slide(
                f"{work}/{name}.tiff", kind="tumour" if positive else "normal", seed=seed, size=about["size"]
            )
            store = FeatureStore(f"{work}/features")
            with closing(extract_steps(slide, model.encoder, model.spec.patch_specs(), store)) as steps:
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        made = end.value
                        break
                    yield Event("progress", "features", data=told)
            shutil.move(made.files[model.spec.mpps[-1]], kept)
    label = model.classes[1] if positive else model.classes[0]
    return Case(name, kept, label, name, split)
