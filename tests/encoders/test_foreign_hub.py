"""Encoders from Hugging Face: what is downloaded, what is pinned, and one sentence for whatever goes wrong."""

from __future__ import annotations

import dataclasses
import errno
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from noisy_patches import noise
from safetensors.torch import load_file, save_file

from feature_layouts import trident
from napari_wsimil.encoders import copy_encoder, lasting_name, load_encoder, load_network
from napari_wsimil.encoders.foreign import loading
from napari_wsimil.encoders.foreign.known import KNOWN, known_at
from napari_wsimil.encoders.foreign.names import parse_name
from napari_wsimil.errors import ModelError, TrainingError
from napari_wsimil.inference.extraction import patch_specs
from napari_wsimil.mil import build_mil
from napari_wsimil.packages import EncoderReference, ModelSpec, load_model, save_model

pytest.importorskip("transformers", reason="needs the extra napari-wsimil[hf]")
huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra napari-wsimil[hub]")
errors = pytest.importorskip("huggingface_hub.errors")

A, B = "a" * 40, "b" * 40


@pytest.fixture(name="other")
def _other(checkpoints, tmp_path):
    """The same model with other weights."""
    folder = shutil.copytree(checkpoints / "dinov2", tmp_path / "other")
    weights = load_file(folder / "model.safetensors")
    save_file({name: tensor + 0.01 for name, tensor in weights.items()}, folder / "model.safetensors", {"format": "pt"})
    return folder


def test_download_is_pinned_to_its_commit(checkpoints, hub):
    hub.publish("owner/name", checkpoints / "dinov2", A)
    encoder = load_encoder("hf:owner/name")
    assert torch.equal(encoder.encode(noise()), load_encoder(checkpoints / "dinov2").encode(noise()))
    assert (encoder.id, encoder.spec.revision) == ("owner--name", A)
    assert encoder.digest == load_encoder(checkpoints / "dinov2").digest
    assert encoder.spec.source == lasting_name("hf:owner/name") == f"hf:owner/name@{A}"
    assert lasting_name("hf:owner/name#mean") == f"hf:owner/name@{A}#mean"
    ((repo, revision, patterns),) = {(*asked[:2], tuple(asked[2])) for asked in hub.asked}
    assert (repo, revision) == ("owner/name", None)
    assert set(patterns) == {
        "config.json",
        "preprocessor_config.json",
        "model.safetensors",
        "model-*-of-*.safetensors",
        "model.safetensors.index.json",
    }


def test_once_in_a_process_and_pinned_names_without_a_network(checkpoints, hub, other):
    hub.publish("owner/name", checkpoints / "dinov2", A)
    first = load_encoder("hf:owner/name")
    hub.publish("owner/name", other, B)
    assert load_encoder("hf:owner/name") is first
    assert load_encoder(f"hf:owner/name@{A}") is first
    assert len(hub.asked) == 1
    loading._downloaded.cache_clear()
    assert load_encoder("hf:owner/name").spec.revision == B
    assert load_encoder("hf:owner/name").digest != first.digest
    loading._downloaded.cache_clear()
    hub.error = ConnectionError("no network")
    assert load_encoder(f"hf:owner/name@{A}").digest == first.digest


def test_pickled_weights_only_where_there_are_no_others(checkpoints, hub, tmp_path):
    folder = shutil.copytree(checkpoints / "dinov2", tmp_path / "pickled")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    hub.publish("owner/both", folder)
    load_encoder("hf:owner/both")
    assert not list(hub.cache.rglob("*.bin"))
    (folder / "model.safetensors").unlink()
    hub.publish("owner/pickled", folder)
    found = load_encoder("hf:owner/pickled").encode(noise())
    torch.testing.assert_close(found, load_encoder(checkpoints / "dinov2").encode(noise()))
    assert [asked[1] for asked in hub.asked] == [None, None, A]


def package(hub, checkpoints, folder, name="hf:owner/name"):
    hub.publish("owner/name", checkpoints / "dinov2", A)
    encoder = load_encoder(name)
    spec = ModelSpec(
        id="probe",
        method="mean",
        classes=("no", "yes"),
        encoder=EncoderReference.to(encoder, lasting_name(name)),
        mpps=(0.5,),
        patch_size=64,
        stride=64,
    )
    return save_model(folder, build_mil("mean", encoder.dimension, 2, {}), spec)


def test_packages_refer_to_a_commit(checkpoints, hub, tmp_path, other):
    saved = package(hub, checkpoints, tmp_path / "package")
    assert saved.spec.encoder.name == f"hf:owner/name@{A}"
    hub.publish("owner/name", other, B)
    loading._downloaded.cache_clear()
    assert load_model(tmp_path / "package").encoder.spec.revision == A
    # a name without a commit is asked again, and refused where something else is found
    spec = json.loads((tmp_path / "package" / "model.json").read_text())
    spec["encoder"]["name"] = "hf:owner/name"
    (tmp_path / "package" / "model.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match=r"was made for encoder owner--name \(.*use a package made for that"):
        load_model(tmp_path / "package")


def test_packages_take_any_size_that_the_encoder_takes(checkpoints, hub, tmp_path):
    package(hub, checkpoints, tmp_path / "package")
    spec = json.loads((tmp_path / "package" / "model.json").read_text())
    (tmp_path / "package" / "model.json").write_text(json.dumps(spec | {"patch_size": 512}))
    assert load_model(tmp_path / "package").spec.patch_size == 512
    encoder = load_encoder("hf:owner/name")
    assert [spec.size for spec in patch_specs(encoder)] == [64]
    assert [spec.size for spec in patch_specs(encoder, size=224)] == [224]
    with pytest.raises(ModelError, match="not of 16"):
        patch_specs(encoder, size=16)


def test_others_encoders_stay_where_they_are(checkpoints, hub, tmp_path):
    hub.publish("owner/name", checkpoints / "dinov2")
    for use in (load_network, lambda name: copy_encoder(name, tmp_path / "copy")):
        with pytest.raises(ModelError, match="was made by others and stays as it is"):
            use("hf:owner/name")


def test_table_applies_by_short_name_and_by_repository(checkpoints, hub, tmp_path, monkeypatch):
    entry = KNOWN["phikon-v2"].model_copy(update={"dimension": 32, "patch_size": 96, "mpp": 0.25, "licence": "own"})
    monkeypatch.setitem(KNOWN, "phikon-v2", entry)
    hub.publish("owkin/phikon-v2", checkpoints / "dinov2")
    encoder = load_encoder("phikon-v2")
    assert (encoder.id, encoder.patch_size, encoder.mpp, encoder.spec.licence) == ("phikon-v2", 96, 0.25, "own")
    assert load_encoder("timm:hf-hub:owkin/phikon-v2") is load_encoder("hf:owkin/phikon-v2") is encoder
    assert lasting_name("phikon-v2#mean") == f"hf:owkin/phikon-v2@{A}#mean"
    assert load_encoder("phikon-v2#mean").id == "phikon-v2-mean"
    loading._load.cache_clear()
    monkeypatch.setitem(KNOWN, "phikon-v2", entry.model_copy(update={"dimension": 1024}))
    with pytest.raises(ModelError, match="gives 32 features, not the 1024 that are known of it"):
        load_encoder("phikon-v2")
    # its own configuration comes first, then the table
    bare = shutil.copytree(checkpoints / "dinov2", tmp_path / "bare")
    (bare / "preprocessor_config.json").unlink()
    hub.publish("kaiko-ai/midnight", bare)
    pixels = {"resize": (84, 84), "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    known = KNOWN["midnight"].model_copy(update={"dimension": 64, "pixels": KNOWN["midnight"].pixels.model_copy(update=pixels)})
    monkeypatch.setitem(KNOWN, "midnight", known)
    midnight = load_encoder("midnight")
    assert (midnight.dimension, midnight.spec.pooling, midnight.spec.pixels.resize) == (64, "cls+mean", (84, 84))


def test_features_that_trident_made_are_known_by_its_name(checkpoints, hub, tmp_path, monkeypatch):
    from napari_wsimil.training.data.manifest import read_manifest
    from napari_wsimil.training.runs.plan import TrainingPlan
    from napari_wsimil.training.runs.sources import find_source

    monkeypatch.setitem(
        KNOWN, "uni", KNOWN["phikon"].model_copy(update={"trident": "uni_v1", "dimension": 32, "repo": "own/uni"})
    )
    hub.publish("own/uni", checkpoints / "vit")
    features = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    rows = ["slide,label"]
    for name, label in (("one", "no"), ("two", "yes")):
        rows.append(f"{trident(tmp_path / f'{name}.h5', features)},{label}")
    (tmp_path / "slides.csv").write_text("\n".join(rows) + "\n")
    plan = TrainingPlan(manifest=tmp_path / "slides.csv", method="abmil", out=tmp_path / "run", encoder="uni")
    source = find_source(plan, read_manifest(plan.manifest), (1, 1))
    assert source.reference == EncoderReference.to(load_encoder("uni"), f"hf:own/uni@{A}")
    assert any("says that uni_v1 made it; it is taken to be uni, as you say" in notice for notice in source.notices)
    monkeypatch.setitem(KNOWN, "virchow", KNOWN["uni"].model_copy(update={"trident": "virchow", "repo": "own/virchow"}))
    hub.publish("own/virchow", checkpoints / "vit")
    with pytest.raises(TrainingError, match="was made by encoder uni_v1, not by virchow"):
        find_source(dataclasses.replace(plan, encoder="virchow"), read_manifest(plan.manifest), (1, 1))


def test_cached_encoders_are_seen(checkpoints, hub):
    hub.publish("owkin/phikon-v2", checkpoints / "dinov2")
    assert not loading.in_cache("owkin/phikon-v2")
    hub.snapshot_download("owkin/phikon-v2", allow_patterns=["*"])
    assert loading.in_cache("owkin/phikon-v2")
    assert not loading.in_cache("owkin/phikon")


RESPONSE = SimpleNamespace(headers={}, request=None, status_code=401)
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            errors.GatedRepoError("401", response=RESPONSE),
            r"gated: accept its terms on https://huggingface\.co/owner/name.*hf auth",
        ),
        (
            errors.RepositoryNotFoundError("401", response=RESPONSE),
            r"There is no https://huggingface\.co/owner/name, or it is priv",
        ),
        (errors.RevisionNotFoundError("404", response=RESPONSE), "has no revision 'v9'"),
        (errors.LocalEntryNotFoundError("no"), r"can't be reached; connect, or copy Hugging Face's cache \(HF_HOME\)"),
        (ConnectionError("no"), "can't be reached; connect"),
        (
            errors.HfHubHTTPError("server is busy\nmore", response=RESPONSE),
            r"can't be downloaded \(server is busy\); try again",
        ),
        (FULL, "the disk is full; free some space, or set HF_HOME"),
        (PermissionError("no"), "can't be downloaded"),
    ],
)
def test_failures_are_sentences(hub, error, says):
    hub.error = error
    with pytest.raises(ModelError, match=says):
        load_encoder("hf:owner/name@v9")


def test_offline_says_so(hub, monkeypatch):
    hub.error = errors.OfflineModeIsEnabled("no")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"not on this computer and HF_HUB_OFFLINE forbids to download it; unset that"):
        load_encoder("uni")


def test_without_huggingface_hub(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r'needs the package huggingface_hub: pip install "napari-wsimil\[hub\]"'):
        load_encoder("hf:owner/unheard-of")


@pytest.mark.parametrize(
    "name", ["hf:name", "hf:owner/na me", "hf:../../etc", "hf:", "timm:hf-hub:name", "timm:../up", "timm:"]
)
def test_strange_names(name):
    with pytest.raises(ModelError, match="is not the name of a"):
        load_encoder(name)


@pytest.mark.parametrize("name", ["hf:microsoft/resnet-50@v1#stage3", f"hf:a/b@{A}", "hf:a/b#cls+mean"])
def test_names_go_there_and_back(name):
    assert str(parse_name(name)) == name


def test_every_entry_of_the_table_can_be_named():
    assert {"uni", "uni2-h", "virchow", "virchow2", "h-optimus-0", "h-optimus-1", "gigapath", "conch-trunk"} <= set(KNOWN)
    assert {"phikon", "phikon-v2", "plip", "midnight", "kaiko-vitb16", "lunit-vits8"} <= set(KNOWN)
    for name, entry in KNOWN.items():
        assert parse_name(name).place == entry.repo
        assert known_at(entry.repo.upper()) == (name, entry)
        assert entry.pixels is None or entry.pixels.output(entry.patch_size) == (entry.input_size,) * 2
