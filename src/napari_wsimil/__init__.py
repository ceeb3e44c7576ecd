"""napari-wsimil: see on a whole slide what a multiple-instance-learning model saw.

The names below are the public API. They are loaded when first used, so that importing the package costs neither torch nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "open_slide": "slides",
    "Slide": "slides",
    "Level": "slides",
    "find_tissue": "patches",
    "TissueMask": "patches",
    "patch_grid": "patches",
    "PatchGrid": "patches",
    "PatchSpec": "patches",
    "load_encoder": "encoders",
    "Encoder": "encoders",
    "load_model": "packages",
    "Model": "packages",
    "installed_models": "packages",
    "InstalledModel": "packages",
    "add_to_library": "packages",
    "remove_from_library": "packages",
    "restore_to_library": "packages",
    "rename_in_library": "packages",
    "share_model": "packages",
    "push_model": "packages",
    "Bag": "bags",
    "FeatureStore": "bags",
    "Focus": "bags",
    "predict": "inference",
    "extract": "inference",
    "Extraction": "inference",
    "load_prediction": "inference",
    "SlidePrediction": "inference",
    "PatchScores": "inference",
    "PatchSet": "inference",
    "Progress": "inference",
    "Provisional": "inference",
    "PatchOptions": "inference",
    "compare": "inference.comparison",
    "Comparison": "inference.comparison",
    "patch_family": "inference.levels",
    "Family": "inference.levels",
    "rankings": "inference.ranking",
    "rank_patches": "inference.ranking",
    "Ranking": "inference.ranking",
    "RankedPatch": "inference.ranking",
    "similar_patches": "inference.similar",
    "read_annotations": "annotations",
    "write_annotations": "annotations",
    "Annotations": "annotations",
    "agreement": "inference.agreement",
    "Agreement": "inference.agreement",
    "export": "exports",
    "FigureOptions": "exports",
    "save_regions": "exports.regions",
    "predict_cohort": "cohorts",
    "extract_cohort": "cohorts",
    "CohortResult": "cohorts",
    "CohortEvent": "cohorts",
    "find_slides": "cohorts",
    "slide_table": "cohorts",
    "SlideRow": "cohorts",
    "label_next": "cohorts",
    "save_labels": "cohorts",
    "read_manifest": "training.data.manifest",
    "Manifest": "training.data.manifest",
    "draft_manifest": "training.data.drafting",
    "Draft": "training.data.drafting",
    "train": "training.runs.run",
    "evaluate": "training.runs.run",
    "fine_tune": "training.fine_tuning",
    "correct": "training.corrections",
    "Correction": "training.corrections",
    "correction_plan": "training.corrections",
    "BeforeAfter": "training.fine_tuning.before_after",
    "read_before_after": "training.fine_tuning.before_after",
    "TrainingPlan": "training.runs.plan",
    "TrainingRun": "training.runs.study_run",
    "start_run": "training.background",
    "attach_run": "training.background",
    "recent_runs": "training.background",
    "BackgroundRun": "training.background",
    "make_sample_slide": "samples",
    "WsimilError": "errors",
    "SlideError": "errors",
    "ModelError": "errors",
    "PredictionError": "errors",
    "TrainingError": "errors",
    "AnnotationError": "errors",
    "ExportError": "errors",
    "CancelledError": "errors",
    "SlideWarning": "errors",
}

__all__ = ["__version__", *_HOMES]

if TYPE_CHECKING:
    from napari_wsimil.annotations import Annotations, read_annotations, write_annotations
    from napari_wsimil.bags import Bag, FeatureStore, Focus
    from napari_wsimil.cohorts import (
        CohortEvent,
        CohortResult,
        SlideRow,
        extract_cohort,
        find_slides,
        label_next,
        predict_cohort,
        save_labels,
        slide_table,
    )
    from napari_wsimil.encoders import Encoder, load_encoder
    from napari_wsimil.errors import (
        AnnotationError,
        CancelledError,
        ExportError,
        ModelError,
        PredictionError,
        SlideError,
        SlideWarning,
        TrainingError,
        WsimilError,
    )
    from napari_wsimil.exports import FigureOptions, export
    from napari_wsimil.exports.regions import save_regions
    from napari_wsimil.inference import (
        Extraction,
        PatchOptions,
        PatchScores,
        PatchSet,
        Progress,
        Provisional,
        SlidePrediction,
        extract,
        load_prediction,
        predict,
    )
    from napari_wsimil.inference.agreement import Agreement, agreement
    from napari_wsimil.inference.comparison import Comparison, compare
    from napari_wsimil.inference.levels import Family, patch_family
    from napari_wsimil.inference.ranking import RankedPatch, Ranking, rank_patches, rankings
    from napari_wsimil.inference.similar import similar_patches
    from napari_wsimil.packages import (
        InstalledModel,
        Model,
        add_to_library,
        installed_models,
        load_model,
        push_model,
        remove_from_library,
        rename_in_library,
        restore_to_library,
        share_model,
    )
    from napari_wsimil.patches import PatchGrid, PatchSpec, TissueMask, find_tissue, patch_grid
    from napari_wsimil.samples import make_sample_slide
    from napari_wsimil.slides import Level, Slide, open_slide
    from napari_wsimil.training.background import BackgroundRun, attach_run, recent_runs, start_run
    from napari_wsimil.training.corrections import Correction, correct, correction_plan
    from napari_wsimil.training.data.drafting import Draft, draft_manifest
    from napari_wsimil.training.data.manifest import Manifest, read_manifest
    from napari_wsimil.training.fine_tuning import fine_tune
    from napari_wsimil.training.fine_tuning.before_after import BeforeAfter, read_before_after
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.run import evaluate, train
    from napari_wsimil.training.runs.study_run import TrainingRun


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"napari_wsimil.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
