"""A model for others: whole, the same each time, checked, and without what it knows of this computer."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import napari_wsimil as ws
from napari_wsimil.errors import ModelError
from napari_wsimil.packages import save_model
from napari_wsimil.packages.privacy import private_lines, without_private

SECRET = "/home/smith/Hospital Dr Smith/slides"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def package(random_model, random_encoder, tmp_path):
    """A package as a run makes it, with all that nobody else should read."""
    training = {
        "manifest": {"path": f"{SECRET}/manifest.csv", "sha256": "ab"},
        "command": f"napari-wsimil train '{SECRET}/manifest.csv' --out runs/smith",
        "run": f"{SECRET}/run",
        "slides": {"train": {"run": 3, "tumour": 4}},
        "settings": {"epochs": 3},
        "fine_tuned_from": {
            "id": "base",
            "digest": "12",
            "source": f"{SECRET}/old/model",
            "training": {"manifest": {"path": "C:\\Users\\smith\\old.csv"}, "command": "train old.csv"},
        },
        "regions": {"Tumour": 2},
    }
    card = (
        f"# Card\n\nLearned from {SECRET}/manifest.csv and C:\\Users\\smith\\old.csv, and/or 0.5 µm/px "
        f"(https://arxiv.org/abs/1802.04712).\n\n{private_lines('Slide smith_1953 has no label.')}\n"
    )
    spec = random_model.spec.model_copy(update={"training": training, "title": "Shared"})
    save_model(tmp_path / "package", random_model.mil, spec, card, encoder=random_encoder[1])
    (tmp_path / "package" / "patients.csv").write_text("smith")
    encoder = tmp_path / "package" / "encoder" / "encoder.json"
    encoder.write_text(json.dumps({**json.loads(encoder.read_text()), "training": {"run": SECRET, "epochs": 3}}))
    return tmp_path / "package"


def texts(folder):
    return "\n".join(path.read_text() for path in sorted(folder.rglob("*")) if path.suffix in (".json", ".md", ".csv"))


def test_what_is_private_stays_at_home(package, tmp_path):
    home = texts(package)
    shared = ws.share_model(package, tmp_path / "shared")
    told = texts(shared).lower()
    for private in ("smith", "hospital", "manifest.csv", "old.csv", "napari-wsimil train", "no label", str(tmp_path)):
        assert private not in told, private
    spec = json.loads((shared / "model.json").read_text())
    assert spec["training"]["slides"] == {"train": {"run": 3, "tumour": 4}}, "a class may be called so too"
    assert spec["training"]["fine_tuned_from"] == {"id": "base", "digest": "12", "training": {"manifest": {}}}
    assert spec["training"]["regions"] == {"Tumour": 2}
    assert "and/or 0.5 µm/px (https://arxiv.org/abs/1802.04712)" in (shared / "README.md").read_text()
    assert not (shared / "patients.csv").exists()
    assert json.loads((shared / "encoder" / "encoder.json").read_text())["training"] == {"epochs": 3}
    assert texts(package) == home, "the package at home keeps all"
    assert ws.load_model(shared).digest == ws.load_model(package).digest


def test_everything_goes_along_when_asked_for(package, tmp_path):
    shared = ws.share_model(package, tmp_path / "shared", keep_paths=True)
    assert json.loads((shared / "model.json").read_text()) == json.loads((package / "model.json").read_text())
    assert (shared / "README.md").read_text() == (package / "README.md").read_text()


def test_public_sources_stay(random_model):
    spec = random_model.spec.model_copy(update={"training": {"fine_tuned_from": {"id": "b", "source": "hf:owner/name"}}})
    assert without_private(spec, "")[0].training == {"fine_tuned_from": {"id": "b", "source": "hf:owner/name"}}


def test_one_file_is_the_same_each_time_and_can_be_loaded(package, tmp_path):
    first = ws.share_model(package, tmp_path / "a.zip")
    (package / "README.md").touch()
    second = ws.share_model(package, tmp_path / "sub" / "b.ZIP")
    assert first.read_bytes() == second.read_bytes()
    model = ws.load_model(first)
    assert model.digest == ws.load_model(package).digest
    assert model.card.startswith("# Card")
    unpacked = set((tmp_path / "cache").rglob("model.json"))
    ws.load_model(str(first))
    assert set((tmp_path / "cache").rglob("model.json")) == unpacked, "unpacked once"
    added = ws.add_to_library(first)
    assert ws.load_model(added.name).digest == model.digest
    ws.share_model("bundled", first)
    assert ws.load_model(first).digest == ws.load_model("bundled").digest, "the file was written again"


def test_targets_that_are_refused(package, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ModelError, match=r"is there already; choose a new or empty folder, or a name that ends in \.zip"):
        ws.share_model(package, tmp_path / "full")
    for target in ("full/mine.txt/x", "full/mine.txt/x.zip"):
        with pytest.raises(ModelError, match="can't be written"):
            ws.share_model(package, tmp_path / target)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert ws.share_model(package, tmp_path / "empty").is_dir()


def test_broken_packages_are_not_shared(package, tmp_path):
    weights = (package / "weights.safetensors").read_bytes()
    (package / "weights.safetensors").write_bytes(weights[:-100])
    for target in ("a.zip", "a"):
        with pytest.raises(ModelError, match="safetensors"):
            ws.share_model(package, tmp_path / target)
        assert not (tmp_path / target).exists()


def test_encoders_that_can_not_go_along(random_model, tmp_path):
    program = tmp_path / "encoder.pt"
    program.write_bytes(b"")
    folder = Path(shutil.copytree(random_model.source, tmp_path / "package"))
    spec = json.loads((folder / "model.json").read_text())
    spec["encoder"]["name"] = str(program)
    (folder / "model.json").write_text(json.dumps(spec))
    with pytest.raises(ModelError, match=r"on this computer only .* can't go along"):
        ws.share_model(folder, tmp_path / "a.zip")


def archive(path, package, entries=(), *, without=(), top="", compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as packed:
        for name in ("model.json", "README.md", "weights.safetensors"):
            if name not in without:
                packed.write(package / name, top + name)
        for file in (package / "encoder").iterdir():
            packed.write(file, f"{top}encoder/{file.name}")
        for name, content in entries:
            packed.writestr(name, content)
    return path


def test_archives_of_others(package, tmp_path):
    digest = ws.load_model(package).digest
    made = archive(tmp_path / "top.zip", package, [("__MACOSX/._model.json", b"x"), ("my/run.py", b"x")], top="my/")
    assert ws.load_model(made).digest == digest
    assert not list((tmp_path / "cache").rglob("run.py"))
    for name in ("../model.json", "/etc/passwd", "a/../../b", "..\\b", "C:\\b"):
        with pytest.raises(ModelError, match=r"names a file outside of itself .* do not trust it"):
            ws.load_model(archive(tmp_path / "outside.zip", package, [(name, b"x")]))
    assert not (tmp_path / "model.json").exists()
    with pytest.raises(ModelError, match=r"holds no model package: there is no model\.json in it"):
        ws.load_model(archive(tmp_path / "no.zip", package, without=["model.json"]))
    with pytest.raises(ModelError, match="which no model package does; do not trust it"):
        ws.load_model(
            archive(
                tmp_path / "bomb.zip", package, [("weights.safetensors", bytes(30_000_000))], without=["weights.safetensors"]
            )
        )
    with pytest.raises(ModelError, match=r"holds 2,00[0-9] files"):
        ws.load_model(archive(tmp_path / "many.zip", package, [(f"x/{number}", b"") for number in range(2000)]))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = archive(tmp_path / "twice.zip", package, [("model.json", b"{}")])
    with pytest.raises(ModelError, match=r"holds 'model.json' twice"):
        ws.load_model(twice)


def test_damaged_archives(package, tmp_path):
    made = ws.share_model(package, tmp_path / "a.zip")
    whole = made.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no zip at all", whole[:5000] + bytes(200) + whole[5200:]):
        made.write_bytes(broken)
        with pytest.raises(ModelError, match=r"is damaged .* copy or download it again"):
            ws.load_model(made)
    assert not list((tmp_path / "cache").rglob("*.part"))


class Hub:
    """The Hugging Face hub, as far as it can be seen from here."""

    def __init__(self, monkeypatch):
        self.hub = pytest.importorskip("huggingface_hub", reason="needs the extra napari-wsimil[hub]")
        self.made, self.uploaded, self.tokens = [], {}, []
        self.public, self.error, self.login = False, None, "hf_secret"
        monkeypatch.setattr(self.hub, "HfApi", self)
        monkeypatch.setattr(self.hub, "get_token", lambda: self.login)

    def __call__(self, token=None, **_):
        self.tokens.append(token)
        return self

    def create_repo(self, repo_id, *, private, exist_ok, repo_type):
        if self.error is not None:
            raise self.error
        self.made.append((repo_id, private, exist_ok, repo_type))
        return f"https://huggingface.co/{repo_id}"

    def repo_info(self, repo_id, repo_type):
        return SimpleNamespace(private=not self.public)

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, **_):
        self.uploaded = {name: (Path(folder_path) / name).read_bytes() for name in allow_patterns}
        there = {path.relative_to(folder_path).as_posix() for path in Path(folder_path).rglob("*") if path.is_file()}
        assert there == set(self.uploaded), "nothing but the package is in the folder either"

    def whoami(self):
        return {"name": "somebody"}


@pytest.fixture
def hub(monkeypatch):
    return Hub(monkeypatch)


def test_a_model_is_pushed(hub, package):
    assert ws.push_model(package, "owner/name", licence="cc-by-4.0") == "https://huggingface.co/owner/name"
    assert hub.made == [("owner/name", True, True, "model")]
    inside = ["encoder/README.md", "encoder/encoder.json", "encoder/weights.safetensors"]
    assert sorted(hub.uploaded) == ["README.md", *inside, "model.json", "weights.safetensors"]
    everything = b"\n".join(hub.uploaded.values()).lower()
    for private in (b"smith", b"manifest.csv", b"hf_secret"):
        assert private not in everything
    _, header, page = hub.uploaded["README.md"].decode().split("---\n", 2)
    told = pytest.importorskip("yaml").safe_load(header)
    assert told["license"] == "cc-by-4.0"
    assert told["library_name"] == "napari-wsimil"
    assert told["pipeline_tag"] == "image-classification"
    assert {"pathology", "multiple-instance-learning", "abmil"} <= set(told["tags"])
    assert page.lstrip().startswith("# Card")
    assert 'ws.predict("slide.svs", "hf:owner/name")' in page
    assert not (package / "README.md").read_text().startswith("---")


def test_a_pushed_model_comes_back_as_it_was(hub, package, tmp_path, monkeypatch):
    ws.push_model(package, "owner/name", private=False, token="hf_given")
    assert hub.made[0][1] is False
    assert hub.tokens == ["hf_given"]
    for name, content in hub.uploaded.items():
        path = tmp_path / "down" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.setattr(hub.hub, "snapshot_download", lambda repo, **_: str(tmp_path / "down"))
    model = ws.load_model("hf:owner/name")
    assert model.digest == ws.load_model(package).digest
    assert model.card.startswith("# Card")
    assert "ws.predict" not in model.card
    ws.push_model("hf:owner/name", "owner/again")
    page = hub.uploaded["README.md"].decode()
    assert (page.count("---\n"), page.count("## Use")) == (2, 1)


def response(status):
    return SimpleNamespace(status_code=status, headers={}, request=None)


def test_what_goes_wrong_with_the_hub(hub, package, monkeypatch):
    errors = pytest.importorskip("huggingface_hub.errors")
    for name in ("name", "a/b/c", "owner/", "/name", "ow ner/name", "owner/na--me", "owner/name.", "https://x/y"):
        with pytest.raises(ModelError, match="is no name of a repository: it looks like owner/name"):
            ws.push_model(package, name)
    told = [
        (errors.HfHubHTTPError("no", response=response(401)), "does not know this login or token.*hf auth login"),
        (errors.HfHubHTTPError("no", response=response(403)), "may not write to https://huggingface.co/owner/name"),
        (errors.RepositoryNotFoundError("no", response=response(404)), "may not write to"),
        (errors.HFValidationError("too long"), r"can't be the name of a repository \(too long\)"),
        (errors.OfflineModeIsEnabled("no"), "HF_HUB_OFFLINE forbids"),
        (ConnectionError("no route"), r"can't be reached \(no route\); connect and try again, or share a \.zip"),
        (TimeoutError(), r"can't be reached \(TimeoutError\)"),
        (errors.HfHubHTTPError("oops\nmore", response=response(500)), r"can't be written \(oops\); try again later"),
    ]
    for error, says in told:
        hub.error = error
        with pytest.raises(ModelError, match=says):
            ws.push_model(package, "owner/name")
    hub.error, hub.public = None, True
    with pytest.raises(ModelError, match="is there already and is public; choose another name"):
        ws.push_model(package, "owner/name")
    hub.login = None
    with pytest.raises(ModelError, match=r"Nobody is logged in .* give a token with the right to write"):
        ws.push_model(package, "owner/name")
    assert hub.uploaded == {}


def test_pushing_without_the_hubs_package(package, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install .napari-wsimil\[hub\]"):
        ws.push_model(package, "owner/name")
