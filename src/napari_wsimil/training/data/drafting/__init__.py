"""A list of slides to train on, in the making: lenient where `read_manifest` is strict, and full of advice."""

from napari_wsimil.training.data.drafting.checking import Examination, examine, examine_steps
from napari_wsimil.training.data.drafting.dealing import Count, Shares, SplitCount
from napari_wsimil.training.data.drafting.draft import Draft, draft_manifest
from napari_wsimil.training.data.drafting.problems import Problem, Remedy
from napari_wsimil.training.data.drafting.rows import SIDES, DraftRow
from napari_wsimil.training.data.drafting.steps import DraftState

__all__ = [
    "SIDES",
    "Count",
    "Draft",
    "DraftRow",
    "DraftState",
    "Examination",
    "Problem",
    "Remedy",
    "Shares",
    "SplitCount",
    "draft_manifest",
    "examine",
    "examine_steps",
]
