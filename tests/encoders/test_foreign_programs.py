"""Encoders that are programs run only where the user says so."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from noisy_patches import noise
from torch import nn

from napari_wsimil.encoders import lasting_name, load_encoder, trust_program
from napari_wsimil.encoders.foreign import loading, programs
from napari_wsimil.errors import CodeWarning, ModelError
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, ModelSpec, load_model, save_model

CARD = {"patch_size": 64, "mpp": 0.5, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}


class Tiny(nn.Module):
    """Two numbers of each colour."""

    def __init__(self, *, flat: bool = True) -> None:
        super().__init__()
        self.convolution, self.flat = nn.Conv2d(3, 6, 4, stride=4), flat

    def forward(self, pixels):
        found = self.convolution(pixels)
        return found.mean(dim=(2, 3)) if self.flat else found


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(programs, "_TRUSTED", set())
    loading._load_program.cache_clear()


def scripted(path, network=None, card=CARD):
    torch.manual_seed(0)
    network = (network or Tiny()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(path)
    if card is not None:
        path.with_suffix(".json").write_text(json.dumps(card))
    return network


def exported(path, *, dynamic=True):
    torch.manual_seed(0)
    network = Tiny().eval()
    shapes = ({0: torch.export.Dim("n", min=1, max=4096)},) if dynamic else None
    torch.export.save(torch.export.export(network, (torch.zeros(2, 3, 64, 64),), dynamic_shapes=shapes), path)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    return network


def expected(network, patches):
    pixels = torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return network((pixels - torch.tensor(CARD["mean"]).view(1, 3, 1, 1)) / torch.tensor(CARD["std"]).view(1, 3, 1, 1))


@pytest.mark.parametrize(("make", "file"), [(scripted, "Tiny Net.pt"), (scripted, "tiny.ts"), (exported, "tiny.pt2")])
def test_runs_only_where_allowed(tmp_path, make, file):
    path = tmp_path / file
    network = make(path)
    with pytest.raises(ModelError, match=r"is a program, not just weights.*trust_code=True.*--trust-code"):
        load_encoder(path)
    with pytest.warns(CodeWarning, match="now runs with all your rights"):
        encoder = load_encoder(path, trust_code=True)
    torch.testing.assert_close(encoder.encode(noise()), expected(network, noise()), rtol=1e-5, atol=1e-5)
    assert (encoder.dimension, encoder.patch_size, encoder.mpp, encoder.spec.library) == (6, 64, 0.5, "program")
    assert encoder.id == path.stem.lower().replace(" ", "-")
    # allowed for the file as it is: not asked again in this process
    assert load_encoder(path) is encoder
    assert lasting_name(path) == str(path)
    moved = encoder.to("cpu")
    assert moved is encoder


def test_another_program_under_the_same_name_is_not_allowed(tmp_path):
    path = tmp_path / "tiny.pt"
    scripted(path)
    with pytest.warns(CodeWarning):
        first = load_encoder(path, trust_code=True)
    scripted(path, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ModelError, match="is a program"):
        load_encoder(path)
    with pytest.raises(ModelError, match="was changed since it was loaded"):
        first.to("meta")
    with pytest.warns(CodeWarning):
        assert load_encoder(path, trust_code=True).digest != first.digest


def test_exported_programs_move(tmp_path):
    path = tmp_path / "tiny.pt2"
    exported(path)
    with pytest.warns(CodeWarning):
        moved = load_encoder(path, trust_code=True).to("cpu:0")
    assert moved.encode(noise(1)).shape == (1, 6)


def test_pixels_are_asked_for(tmp_path):
    path = tmp_path / "tiny.pt"
    scripted(path, card=None)
    trust_program(path)
    with pytest.warns(CodeWarning), pytest.raises(ModelError, match=r'put tiny\.json beside it, such as \{"patch_size": 224'):
        load_encoder(path)
    path.with_suffix(".json").write_text(json.dumps(CARD | {"std": [0, 1, 1]}))
    with pytest.warns(CodeWarning), pytest.raises(ModelError, match=r"std\.0: input should be greater than 0"):
        load_encoder(path)
    path.with_suffix(".json").write_text(json.dumps(CARD | {"resize": 32, "id": "mine", "licence": "own"}))
    with pytest.warns(CodeWarning):
        encoder = load_encoder(path)
    assert (encoder.id, encoder.spec.licence, encoder.encode(noise(2, 100)).shape) == ("mine", "own", (2, 6))


def test_what_is_no_encoder_is_refused(tmp_path):
    path = tmp_path / "state.pt"
    torch.save(Tiny().state_dict(), path)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    trust_program(path)
    with pytest.warns(CodeWarning), pytest.raises(ModelError, match=r"can't be opened as TorchScript"):
        load_encoder(path)
    maps = tmp_path / "maps.pt"
    scripted(maps, Tiny(flat=False))
    trust_program(maps)
    with pytest.warns(CodeWarning), pytest.raises(ModelError, match=r"must give one row of features for each patch.*16, 16"):
        load_encoder(maps)
    fixed = tmp_path / "fixed.pt2"
    exported(fixed, dynamic=False)
    trust_program(fixed)
    with pytest.warns(CodeWarning), pytest.raises(ModelError, match="export it with a batch of any size"):
        load_encoder(fixed)
    with pytest.raises(ModelError, match="has no part 'mean'"):
        load_encoder(f"{fixed}#mean")


def test_packages_with_programs(tmp_path):
    path = tmp_path / "tiny.pt"
    scripted(path)
    with pytest.warns(CodeWarning):
        encoder = load_encoder(path, trust_code=True)
    reference = EncoderReference.to(encoder, lasting_name(path))
    spec = ModelSpec(id="probe", method="mean", classes=("no", "yes"), encoder=reference, mpps=(0.5,), patch_size=64, stride=64)
    save_model(tmp_path / "package", build_mil("mean", 6, 2, {}), spec)
    programs._TRUSTED.clear()
    loading._load_program.cache_clear()
    from napari_wsimil.packages import model

    model._load.cache_clear()
    with pytest.raises(ModelError, match="is a program"):
        load_model(tmp_path / "package")
    with pytest.warns(CodeWarning):
        assert load_model(tmp_path / "package", trust_code=True).encoder.digest == encoder.digest
