"""Options that commands share."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from napari_wsimil.cli.options import extraction_options, patch_options
from napari_wsimil.inference.options import PatchOptions


def chosen(decorator, *arguments):
    """(what a command with these options is given, its output)."""
    found = []

    @click.command()
    @click.option("--name", default="x")
    @decorator
    def command(name, options):
        """Do nothing."""
        found.append((name, options))

    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return found[0] if found else None, result.output


def test_nothing_chosen():
    assert chosen(patch_options) == (("x", PatchOptions()), "")
    assert chosen(extraction_options, "--name", "y") == (("y", PatchOptions()), "")


def test_everything_chosen(tmp_path):
    path = tmp_path / "drawn.geojson"
    path.touch()
    given = ["--overlap", 0.5, "--at", 0.5, "--at", 1, "--whole-slide", "--inside", path, "--stain", "macenko"]
    expected = PatchOptions(overlap=0.5, mpps=(1.0, 0.5), tissue_only=False, inside=path, stain="macenko")
    assert chosen(patch_options, *given)[0] == ("x", expected)
    expected = PatchOptions(tissue_only=False, inside=path, stain="macenko")
    assert chosen(extraction_options, *given[6:])[0] == ("x", expected)
    assert isinstance(expected.inside, Path)


@pytest.mark.parametrize("arguments", [("--overlap", 0.95), ("--at", 0), ("--inside", "no-such-file"), ("--stain", "vahadane")])
def test_refused(arguments):
    found, output = chosen(patch_options, *arguments)
    assert found is None
    assert "Error: Invalid value" in output
