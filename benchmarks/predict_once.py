"""What one prediction needs in a process of its own; prints JSON. The prediction benchmark calls it.

    python benchmarks/predict_once.py memory SLIDE ENCODER
    python benchmarks/predict_once.py first SLIDE

memory   megabytes resident when the encoder is loaded and has encoded a batch, and at most while features are extracted
first    seconds from `predict` to the first provisional heatmap, and to the end; the same once more, when all is loaded
"""

from __future__ import annotations

import json
import sys
import tempfile
import time

import numpy as np
import psutil
from child_memory import memory as most_memory

import napari_wsimil as ws


def memory(slide: str, name: str) -> dict[str, float]:
    """Peak resident memory of an extraction."""
    encoder = ws.load_encoder(name).tuned("auto")
    encoder.encode(np.zeros((2, encoder.patch_size, encoder.patch_size, 3), np.uint8))
    before = psutil.Process().memory_info().rss
    with tempfile.TemporaryDirectory() as folder:
        made = ws.extract(slide, folder, encoder=encoder, mpp=0.5)
    return {"loaded": before / 1e6, "peak": most_memory() / 1e6, "patches": sum(made.patches.values())}


def first(slide: str) -> dict[str, float]:
    """Seconds to the first provisional heatmap, and to the end."""
    cold = _seconds(slide)
    warm = _seconds(slide)
    return {"cold": cold[0], "cold_end": cold[1], "warm": warm[0], "warm_end": warm[1]}


def _seconds(slide: str) -> tuple[float, float]:
    seen: list[float] = []
    begun = time.perf_counter()

    def look(progress: ws.Progress) -> None:
        if progress.provisional is not None:
            seen.append(time.perf_counter() - begun)

    ws.predict(slide, on_progress=look, provisional=0.5)
    end = time.perf_counter() - begun
    return (seen[0] if seen else end), end


if __name__ == "__main__":
    print(json.dumps({"memory": memory, "first": first}[sys.argv[1]](*sys.argv[2:])))
