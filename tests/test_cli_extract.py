"""The command `extract`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from napari_wsimil.cli import main


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code or 0
    return code, *capsys.readouterr()


def test_slides_are_extracted_once(capsys, tiny_slide, random_encoder, tmp_path):
    command = ["extract", tiny_slide, "--encoder", random_encoder[1], "--mpp", "0.5", "--mpp", "1", "--out", tmp_path]
    code, said, _ = run(capsys, *command)
    assert code == 0
    assert re.match(r"tiny\.tiff: \d+ patches at 1 µm per pixel, 12 patches at 0\.5 µm per pixel  \(\d+\.\d s\)\n", said)
    assert len(list(tmp_path.rglob("*.h5"))) == 2
    code, said, _ = run(capsys, *command, "--json")
    (result,) = json.loads(said)
    assert (result["slide"], result["encoded"], list(result["patches"])) == (str(tiny_slide), 0, ["1", "0.5"])
    assert all(str(tmp_path) in file for file in result["files"])
    assert "stored already" in run(capsys, *command)[1]


def test_bad_slides_are_reported_and_the_others_go_on(capsys, tiny_slide, random_encoder, tmp_path):
    bad = tmp_path / "bad.svs"
    bad.write_text("no slide")
    command = ["extract", bad, tiny_slide, "--encoder", random_encoder[1], "--out", tmp_path / "out", "--workers", "0"]
    code, said, complained = run(capsys, *command)
    assert code == 2
    assert "bad.svs" in complained
    assert "Traceback" not in complained
    assert "tiny.tiff: " in said
    code, said, _ = run(capsys, *command, "--json")
    assert [("error" in result) for result in json.loads(said)] == [True, False]


def test_manifests_name_slides_and_their_pixels(capsys, write_slide, random_encoder, tmp_path):
    write_slide(tmp_path / "a.tiff", mpp=None)
    manifest = tmp_path / "m.csv"
    manifest.write_text("slide,label,mpp\na.tiff,x,0.5\n")
    code, said, complained = run(capsys, "extract", manifest, "--encoder", random_encoder[1], "--out", tmp_path / "out")
    assert (code, complained) == (0, "")
    assert "a.tiff: 12 patches at 0.5 µm per pixel" in said
    manifest.write_text("slide,label\nb.tiff,x\n")
    code, _, complained = run(capsys, "extract", manifest, "--encoder", random_encoder[1], "--out", tmp_path / "out")
    assert code == 2
    assert "m.csv, line 2: there is no file" in complained


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--patch-size", "224"], "takes patches of 256 px, not of 224"),
        (["--encoder", "none"], 'There is no encoder "none"'),
        (["--device", "abacus"], "abacus"),
        (["--mpp", "0"], "0.01"),
    ],
)
def test_bad_options_are_said_before_any_work(capsys, tiny_slide, tmp_path, options, words):
    code, said, complained = run(capsys, "extract", tiny_slide, "--out", tmp_path / "out", *options)
    assert (code, said) == (2, "")
    assert words in complained


def test_help_costs_neither_torch_nor_h5py():
    code = (
        "import sys\nfrom napari_wsimil.cli import main\n"
        "try:\n    main(['extract', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'h5py', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONUTF8": "1"}
    )
    assert "TRIDENT's layout" in done.stdout
    assert done.stdout.rstrip().endswith("[]")
