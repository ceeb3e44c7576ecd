"""What a user installs: the wheel and the editable install alike show napari their manifest, and the weights travel along."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ("napari_wsimil/encoders/bundled/", "napari_wsimil/packages/bundled/")
VALIDATE = (
    "import napari_wsimil, npe2; manifest = npe2.PluginManifest.from_distribution('napari-wsimil'); "
    "manifest.validate_imports(); print(napari_wsimil.__file__); print(manifest.package_version)"
)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module", name="wheel")
def _wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module", name="installed")
def _installed(wheel, tmp_path_factory):
    """The wheel, and nothing of the source tree, first on the path of a subprocess."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", folder, wheel)
    return {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(folder)}}


def test_manifest_of_the_editable_install_is_valid(tmp_path):
    run(sys.executable, "-m", "npe2", "validate", "napari-wsimil", cwd=tmp_path)
    where, version = run(sys.executable, "-c", VALIDATE, cwd=tmp_path).splitlines()[-2:]
    assert Path(where).resolve().is_relative_to(ROOT / "src")
    assert version == "0.1.0"


def test_manifest_of_the_wheel_is_valid(installed):
    run(sys.executable, "-m", "npe2", "validate", "napari-wsimil", **installed)
    where, version = run(sys.executable, "-c", VALIDATE, **installed).splitlines()[-2:]
    assert Path(where).is_relative_to(installed["cwd"])
    assert version == "0.1.0"


def test_wheel_holds_the_manifest_of_the_repository(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("napari_wsimil/napari.yaml") == (ROOT / "napari.yaml").read_bytes()
        assert "napari_wsimil/py.typed" in archive.namelist()


def test_wheel_holds_the_bundled_weights_and_they_are_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        files = [entry for entry in archive.infolist() if entry.filename.startswith(WEIGHTS)]
    names = [entry.filename for entry in files]
    for folder in WEIGHTS:
        assert [name for name in names if name.startswith(folder) and name.endswith(".safetensors")], names
    assert "napari_wsimil/packages/bundled/README.md" in names
    assert "napari_wsimil/packages/bundled/model.json" in names
    assert sum(entry.file_size for entry in files) <= 12e6


def test_wheel_has_no_qt_binding_in_its_hard_dependencies(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        needs = [line for line in archive.read(name).decode().splitlines() if line.startswith("Requires-Dist:")]
    hard = [line.lower() for line in needs if "extra ==" not in line]
    assert any("torch" in line for line in hard)
    assert not [
        line for line in hard if line.startswith(("requires-dist: pyqt5", "requires-dist: pyqt6", "requires-dist: pyside"))
    ]


def test_importing_the_package_costs_neither_torch_nor_napari_nor_qt():
    code = "import sys, napari_wsimil; print([m for m in ('torch', 'napari', 'qtpy', 'numpy', 'dask') if m in sys.modules])"
    assert run(sys.executable, "-c", code).strip() == "[]"


def test_headless_packages_import_no_qt():
    code = (
        "import sys, napari_wsimil as ws; [getattr(ws, name) for name in ws.__all__]; "
        "print([m for m in ('napari', 'qtpy', 'magicgui') if m in sys.modules])"
    )
    assert run(sys.executable, "-c", code).strip() == "[]"
