"""Models of timm give what timm gives, in a process of its own where torchvision may be one that only half fits torch.

`$WSIMIL_TIMM` may name a folder with timm and torchvision (`pip install --no-deps --target FOLDER timm torchvision`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from napari_wsimil.encoders import load_encoder
from napari_wsimil.errors import ModelError

FOLDER = os.environ.get("WSIMIL_TIMM", "")
PRELUDE = """
import sys, os, json, torch
if os.environ.get("WSIMIL_TIMM"):
    sys.path.insert(0, os.environ["WSIMIL_TIMM"])
# a torchvision made for another torch lacks two operators that nothing here calls, and can't be imported without their names
library = torch.library.Library("torchvision", "DEF")
try:
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
except RuntimeError:
    pass
"""


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r'timm:resnet18 needs timm.*pip install "napari-wsimil\[timm\]"'):
        load_encoder("timm:resnet18")


@pytest.mark.skipif(find_spec("timm") is None and not FOLDER, reason="timm is not installed, nor in $WSIMIL_TIMM")
def test_features_are_those_of_timm(tmp_path):
    program = Path(__file__).with_name("timm_program.py").read_text(encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", PRELUDE + program, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"\n{done.stdout}{done.stderr}"
    assert done.stdout.strip().endswith("all as timm says")
