from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_wsimil.errors import ModelError
from napari_wsimil.packages import load_model

huggingface_hub = pytest.importorskip("huggingface_hub", reason="needs the extra napari-wsimil[hub]")
errors = pytest.importorskip("huggingface_hub.errors")


def test_hub_package(random_model, monkeypatch):
    asked = {}

    def snapshot_download(repo, **named):
        asked.update(named, repo=repo)
        return random_model.source

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    model = load_model("hf:owner/name@v1.2")
    assert model.digest == random_model.digest
    assert model.source == "hf:owner/name@v1.2"
    assert (asked["repo"], asked["revision"]) == ("owner/name", "v1.2")
    assert sorted(asked["allow_patterns"]) == ["README.md", "model.json", "weights.safetensors"]


RESPONSE = SimpleNamespace(headers={}, request=None, status_code=404)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.GatedRepoError("no", response=RESPONSE), "gated: accept its terms on https://huggingface.co/owner/name"),
        (errors.RepositoryNotFoundError("no", response=RESPONSE), "There is no https://huggingface.co/owner/name"),
        (errors.RevisionNotFoundError("no", response=RESPONSE), "has no revision"),
        (errors.LocalEntryNotFoundError("no"), "not on this computer and Hugging Face can't be reached"),
        (errors.OfflineModeIsEnabled("no"), "not on this computer"),
        (errors.HfHubHTTPError("server is busy", response=RESPONSE), "can't be downloaded .*server is busy"),
        (OSError("disk full"), "can't be downloaded .*disk full"),
    ],
)
def test_hub_failures_are_sentences(monkeypatch, error, says):
    def snapshot_download(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    with pytest.raises(ModelError, match=says):
        load_model("hf:owner/name")


@pytest.mark.parametrize("name", ["hf:name", "hf:owner/na me", "hf:../../etc", "hf:"])
def test_strange_hub_names(name):
    with pytest.raises(ModelError, match="is not the name of a Hugging Face repository"):
        load_model(name)
