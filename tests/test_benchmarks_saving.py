"""The parts of the benchmarks of zooming, of huge slides and of second models, on tiny inputs."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile

import napari_wsimil as ws

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
MPPS = (2.0, 1.0, 0.5)


@pytest.fixture(autouse=True)
def _modules(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture(scope="module")
def slide(tmp_path_factory, write_slide):
    """8000 x 6000 px, half of it tissue."""
    folder = tmp_path_factory.mktemp("large")
    sample = write_slide(folder / "sample.tiff", width=2048, height=2048)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        from large_slides import make_slide

        make_slide(folder / "large.svs", sample, (8000, 6000), 0.5, piece=512)
    return folder / "large.svs"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Name of a tiny relative of ResNet-50."""
    pytest.importorskip("transformers", reason="needs the extra napari-wsimil[hf]")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        from untrained import QUICK, resnet50

        return resnet50(tmp_path_factory.mktemp("encoder") / "tiny", **QUICK)


def test_a_large_slide_is_a_coherent_pyramid_with_its_share_of_tissue_and_each_tile_once(slide):
    with ws.open_slide(slide) as opened:
        assert (opened.width, opened.height, opened.mpp) == (8000, 6000, (0.25, 0.25))
        assert [level.downsample for level in opened.levels] == pytest.approx([1, 4, 16], rel=0.01)
        tissue = ws.find_tissue(opened)
        assert tissue.mask.mean() == pytest.approx(0.5, abs=0.06)
        levels = [opened.read_region(2048, 2048, 2048 >> 2 * n, 2048 >> 2 * n, level=n) for n in range(3)]
        glass = opened.read_region(0, 0, 64, 64, level=0)
    assert glass.std(axis=(0, 1)).max() < 2
    means = levels[0].reshape(512, 4, 512, 4, 3).mean((1, 3)), levels[0].reshape(128, 16, 128, 16, 3).mean((1, 3))
    for found, expected in zip(levels[1:], means, strict=True):
        assert np.abs(found - expected).mean() < 6
    with openslide.OpenSlide(slide) as other:
        theirs = np.asarray(other.read_region((2048, 2048), 0, (2048, 2048)).convert("RGB"))
    assert np.abs(theirs.astype(int) - levels[0]).max() <= 3
    with tifffile.TiffFile(slide) as file:
        places = file.pages[0].dataoffsets
    assert len(set(places)) < len(places) / 2


def test_patches_and_operations_are_those_of_the_slide_and_the_network(slide, encoder, tmp_path, capsys):
    import zoom_saving as zoom
    from mil_counts import resnet50_to_layer3
    from untrained import resnet50

    ways = zoom.make_ways(slide, encoder, MPPS, tmp_path)
    zoom.measure(slide, ways, Namespace(rounds=1, device="cpu"))
    grids = ways[zoom.ZOOM].grids
    assert ways[zoom.PLAIN].encoded == len(grids[0.5])
    assert ways[zoom.STUDENT].encoded == len(grids[1.0])
    assert len(grids[2.0]) < ways[zoom.EFFICIENT].encoded <= len(grids[2.0]) + 8 * 4
    assert ways[zoom.EFFICIENT].encoded < ways[zoom.ZOOM].encoded <= len(grids[2.0]) + 12 * 4 + 12 * 4
    # a layer of attention and one of embedding for each patch, at least
    assert zoom.head_flops(ways[zoom.PLAIN].model, ways[zoom.PLAIN].grids) > 2 * 512 * (16 + 2 * 256) * len(grids[0.5])
    table = zoom.costs(ways)
    assert table.count("\n| ") == 6
    assert [claim.met for claim in zoom.wanted(ways)][::2] == [False, False]
    assert f"| {64 // 4 * len(grids[2.0]):,} |" in zoom.beside_paper(ways)
    assert "8,000 x 6,000 px" in zoom.about(slide, ways)
    whole = ws.load_encoder(resnet50(tmp_path / "whole"))
    assert zoom.encoder_flops(whole) == 2 * resnet50_to_layer3()
    assert "ABMIL" in capsys.readouterr().err


def test_memory_of_a_child_is_seen_and_its_failure_told():
    from child_memory import run_watched

    work = "import time; kept = bytearray(300_000_000); time.sleep(0.3); print(len(kept))"
    seen = run_watched([sys.executable, "-c", work])
    assert seen.printed.strip() == "300000000"
    assert 300e6 < seen.peak < 400e6
    assert seen.seconds > 0.3
    with pytest.raises(RuntimeError, match="no such thing"):
        run_watched([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_a_huge_slide_tells_its_patches_and_where_memory_went(slide):
    import huge_slide
    from child_memory import Watched

    told = huge_slide.predict(str(slide), "bundled", "")
    assert told["encoded"] == told["patches"] > 50
    assert next(iter(told["stages"])) == "Python, libraries and model"
    assert all(taken > 50e6 for taken in told["stages"].values())
    found = {"predict": Watched(f"warned\n{json.dumps(told)}\n", 7.0, 2_000_000_000), "command line": Watched("[]", 8.0, 1)}
    page = huge_slide.report(found)
    assert "At most 2.00 GB; wanted: at most 3 GB, reached" in page
    assert f"| predict | {told['patches']} | {told['encoded']} | 7.0 | 2.00 |" in page
    found["predict"] = Watched(json.dumps(told), 7.0, 3_100_000_000)
    assert "**not reached**" in huge_slide.report(found)


def test_a_second_model_takes_what_is_stored(slide, encoder, tmp_path):
    import second_model

    grids = second_model.fill_store(tmp_path / "store", slide, ws.load_encoder(encoder))
    models = {method: second_model.make_model(tmp_path / method, method, encoder) for method in ("abmil", "zoommil", "lrmil")}
    spent = second_model.measure(slide, models, tmp_path / "store", 1)
    for (seconds,) in spent.values():
        assert 0 < sum(seconds[:-1]) <= seconds.all * 1.05
    operations = {method: second_model.operations_of(folder, grids) for method, folder in models.items()}
    assert 0 < operations["lrmil"] < operations["abmil"]
    known = {method: [second_model.Spent(0.1, 0.2, 0.3, 0.4, 1.0)] for method in models}
    page = second_model.report(known, grids, operations, 1e9)
    assert "reached by all methods" in page
    known["lrmil"] = [second_model.Spent(0.1, 0.2, 0.3, 1.4, 2.0)] * 3
    assert "**not reached by lrmil**" in second_model.report(known, grids, operations, 1e9)
    assert f"{len(grids[0.5]):,} at 0.5 µm per pixel" in page
    assert f"| {operations['abmil'] / 1e9:.2f} |" in page
    assert second_model.matrix_rate() > 1e8
    with pytest.raises(RuntimeError, match="encoded patches"):
        second_model.once(slide, models["abmil"], tmp_path / "empty")


def test_the_page_has_all_parts(monkeypatch, tmp_path):
    import savings

    asked = []

    def measured(part, rounds, quick):
        asked.append((part, rounds, quick))
        return f"## of {part}\n"

    monkeypatch.setattr(savings, "measured", measured)
    monkeypatch.setattr(sys, "argv", ["savings.py", "--quick", "--out", str(tmp_path / "page.md")])
    savings.main()
    assert asked == [(part, None, True) for part in ("zoom_saving", "huge_slide", "second_model")]
    page = (tmp_path / "page.md").read_text()
    assert all(
        (BENCHMARKS / f"{part}.py").is_file() and f"## of {part}\n\n`benchmarks/{part}.py`" in page for part, *_ in asked
    )
