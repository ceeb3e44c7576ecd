"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"


LONGEST_FIRST = ("widgets", "training", "cohorts", "encoders")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`make test` runs two processes: what takes longest comes first, so that both end at about the same time."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(TESTS).parts[0]
        return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


def real_data(name: str) -> Path:
    """Path of real data below `$WSIMIL_DATA` or `../shared/data`; skips the test, saying so, where it is missing."""
    folder = Path(os.environ.get("WSIMIL_DATA", ROOT.parent / "shared" / "data"))
    path = folder / name
    if not path.exists():
        pytest.skip(f"real data missing: {path} (set WSIMIL_DATA)")
    return path


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory, monkeypatch):
    """The user's list of runs and library of models, in folders of the test."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("NAPARI_WSIMIL_STATE", str(folder / "state"))
    monkeypatch.setenv("NAPARI_WSIMIL_LIBRARY", str(folder / "models"))


@pytest.fixture(scope="session")
def warm_process():
    """One process that has loaded all libraries, for all tests."""
    from warm_children import Warm

    warm = Warm()
    yield warm
    warm.close()


@pytest.fixture
def warm_children(warm_process, monkeypatch):
    """Trainings in the background begin at once, as children of a process that has loaded all libraries already."""
    from napari_wsimil.training.background import launching

    monkeypatch.setattr(launching, "launch", warm_process.launch)
    return warm_process


@pytest.fixture(name="real_data")
def _real_data():
    return real_data


def write_slide(path: Path, *, width: int = 1536, height: int = 1280, mpp: float | None = 0.5, tissue: bool = True) -> Path:
    """A small tiled TIFF: glass, and a purple noisy block of tissue from (256, 256) to 256 px before the far corner."""
    import numpy as np
    import tifffile

    random = np.random.default_rng(0)
    pixels = np.full((height, width, 3), 245, np.uint8)
    if tissue:
        rows, columns = height - 512, width - 512
        block = random.normal((170, 90, 160), 25, (rows, columns, 3)).clip(0, 255).astype(np.uint8)
        pixels[256 : 256 + rows, 256 : 256 + columns] = block
    unit = {} if mpp is None else {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb", compression="adobe_deflate", **unit)
    return path


@pytest.fixture(name="write_slide", scope="session")
def _write_slide():
    return write_slide


@pytest.fixture(scope="session")
def tiny_slide(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slides") / "tiny.tiff")


@pytest.fixture(scope="session")
def random_encoder(tmp_path_factory):
    """(encoder, name to load it by) with random weights."""
    import torch

    from napari_wsimil.encoders import CompactCNN, save_encoder

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder")
    return save_encoder(CompactCNN(), folder, id="random", mean=(0.8, 0.7, 0.8), std=(0.2, 0.2, 0.2)), str(folder)


@pytest.fixture(scope="session")
def random_model(random_encoder, tmp_path_factory):
    """A model package with random weights; `.source` is its folder."""
    import torch

    from napari_wsimil.mil import build_mil
    from napari_wsimil.packages import EncoderReference, ModelSpec, save_model

    torch.manual_seed(1)
    encoder, name = random_encoder
    spec = ModelSpec(
        id="random",
        method="abmil",
        parameters={"hidden": 32, "attention": 16},
        classes=("normal", "tumour"),
        positive_class="tumour",
        encoder=EncoderReference.to(encoder, name),
        mpps=(0.5,),
    )
    return save_model(
        tmp_path_factory.mktemp("package"), build_mil("abmil", encoder.dimension, 2, spec.parameters), spec, "# Card\n"
    )


@pytest.fixture(name="run")
def _run(capsys):
    """Run the command line in this process: (exit code, stdout, stderr)."""
    from napari_wsimil.cli import main

    def call(*arguments: object) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call
