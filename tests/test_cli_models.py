"""`napari-wsimil models`: the list, the user's own, and how others get them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import napari_wsimil as ws
from napari_wsimil.packages import sharing
from napari_wsimil.packages.privacy import private_lines


def test_the_users_own_models(run, random_model, tmp_path):
    code, out, _ = run("models", "add", random_model.source, "--title", "Lymph nodes")
    assert (code, out) == (0, "added Lymph nodes; it is known as lymph-nodes\n")
    found = {model["name"]: model for model in json.loads(run("models", "--json")[1])}
    assert list(found) == ["bundled", "lymph-nodes"]
    assert (found["lymph-nodes"]["title"], found["lymph-nodes"]["origin"]) == ("Lymph nodes", "library")
    assert "Lymph nodes: abmil" in run("models")[1]
    assert run("models", "rename", "lymph-nodes", "Nodes")[1] == "lymph-nodes is called Nodes now\n"
    assert run("models", "show", "lymph-nodes")[1] == "# Nodes\n"
    about = json.loads(run("models", "show", "lymph-nodes", "--json")[1])
    assert (about["title"], about["card"]) == ("Nodes", "# Nodes\n")
    card = Path(os.environ["NAPARI_WSIMIL_LIBRARY"]) / "lymph-nodes" / "README.md"
    card.write_text(f"# Nodes\n\n{private_lines('- run: /data/run')}\n")
    assert run("models", "show", "lymph-nodes")[1] == "# Nodes\n\n- run: /data/run\n"
    code, out, _ = run("models", "remove", "lymph-nodes")
    assert code == 0
    assert "`napari-wsimil models restore lymph-nodes` brings it back" in out
    assert "lymph-nodes" not in run("models")[1]
    assert run("models", "restore")[1].startswith("lymph-nodes, removed on ")
    assert "it is known as lymph-nodes" in run("models", "restore", "lymph-nodes")[1]
    assert run("models", "restore")[1] == "no removed models\n"
    added = json.loads(run("models", "add", "lymph-nodes", "--name", "copy", "--json")[1])
    assert (added["name"], added["title"]) == ("copy", "Nodes")


def test_sharing(run, random_model, tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))
    assert run("models", "share", random_model.source, tmp_path / "a.zip")[1] == f"wrote {tmp_path / 'a.zip'}\n"
    assert ws.load_model(tmp_path / "a.zip").classes == random_model.classes
    asked = []
    monkeypatch.setattr(
        sharing, "upload", lambda folder, spec, name, **how: asked.append((spec.id, name, how)) or f"https://hub/{name}"
    )
    code, out, _ = run("models", "push", random_model.source, "me/model", "--licence", "mit", "--token", "hf_x")
    assert (code, out) == (0, "uploaded to https://hub/me/model; others load it as hf:me/model\n")
    assert asked == [("random", "me/model", {"private": True, "licence": "mit", "token": "hf_x"})]
    run("models", "push", random_model.source, "me/model", "--public")
    assert asked[1][2]["private"] is False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("add", "nowhere"), "There is no model"),
        (("add", "bundled", "--name", "no name"), "can't be the name of a model"),
        (("remove", "nothing"), "has no model 'nothing'"),
        (("restore", "nothing"), "No removed model is called"),
        (("rename", "nothing", "x"), "has no model 'nothing'"),
        (("show", "nothing"), "There is no model"),
        (("share", "bundled", "."), "is there already"),
        (("push", "bundled", "no-slash"), "is no name of a repository"),
    ],
)
def test_bad_input_is_one_sentence(run, arguments, says, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("models", *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1
