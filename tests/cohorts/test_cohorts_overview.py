"""Many slides as one table: status, uncertainty, labels, sorting; the command; labels saved as a manifest."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

import napari_wsimil as ws
from napari_wsimil.cli.slides import slides
from napari_wsimil.cohorts import save_labels
from napari_wsimil.cohorts.overview import SlideRow, as_text, matches, natural, sorted_rows, usual_results
from napari_wsimil.cohorts.records import uncertainty
from napari_wsimil.training.data.manifest import read_manifest


@pytest.fixture(scope="module")
def study(tmp_path_factory, write_slide, random_model):
    """A folder with four slides, one broken, two of them predicted; a manifest beside them."""
    folder = tmp_path_factory.mktemp("study")
    for name in ("s-2", "s-10", "s-1"):
        write_slide(folder / f"{name}.tiff", width=1024, height=1024)
    (folder / "broken.svs").write_text("no slide")
    result = ws.predict_cohort(
        folder, random_model, folder / "predictions", workers=0, precision="fp32", device="cpu", only=["s-2", "s-1", "broken"]
    )
    assert [(record.name, record.status) for record in result.records] == [
        ("broken", "failed"),
        ("s-1", "done"),
        ("s-2", "done"),
    ]
    predicted = result.done[0].predicted_class
    other = next(name for name in random_model.classes if name != predicted)
    (folder / "m.csv").write_text(
        "slide,label,patient,split,mpp\n"
        f"s-1.tiff,{predicted.upper()},p1,train,\ns-2.tiff,{other},p2,test,0.5\ns-10.tiff,,p3,train,\nbroken.svs,unheard,p4,test,\n"
    )
    return folder, predicted, other


def test_uncertainty_is_a_share_of_the_largest_entropy():
    assert uncertainty({"a": 0.5, "b": 0.5}) == pytest.approx(1)
    assert uncertainty({"a": 1.0, "b": 0.0}) == 0
    assert uncertainty({"a": 0.5, "b": 0.5, "c": 0.0}) == pytest.approx(math.log(2) / math.log(3))
    assert uncertainty({"a": 1.0}) is None
    assert uncertainty({}) is None


def test_what_was_predicted_alone_is_found_too(study, tmp_path):
    """No run over many wrote this folder: one slide was predicted by itself, and another of the same name elsewhere."""
    folder, _, _ = study
    first = ws.load_prediction(folder / "predictions" / "s-1.prediction.h5")
    first.save(tmp_path / "s-1.prediction.h5")
    first.save(tmp_path / "s-2.prediction.h5")
    (tmp_path / "s-10.prediction.h5").write_text("broken")
    rows = {row.name: row for row in ws.slide_table(folder, tmp_path)}
    assert rows["s-1"].status == "done"
    assert rows["s-1"].probabilities == first.probabilities
    assert rows["s-1"].prediction == tmp_path / "s-1.prediction.h5"
    assert rows["s-2"].status == "not predicted"
    assert rows["s-10"].status == "failed"
    assert "s-10.prediction.h5" in rows["s-10"].told


def test_a_folder_with_what_was_predicted(study):
    folder, predicted, _ = study
    rows = {row.name: row for row in ws.slide_table(folder)}
    assert {name: row.status for name, row in rows.items()} == {
        "broken": "failed",
        "s-1": "done",
        "s-10": "not predicted",
        "s-2": "done",
    }
    done = rows["s-1"]
    saved = ws.load_prediction(done.prediction)
    assert dict(done.probabilities) == pytest.approx(dict(saved.probabilities))
    assert (done.predicted_class, done.confidence) == (predicted, max(saved.probabilities.values()))
    assert done.uncertainty == pytest.approx(uncertainty(saved.probabilities))
    assert (done.label, done.agrees) == (None, None)
    assert "broken.svs is no slide" in rows["broken"].told
    # elsewhere, nothing is known of them
    assert {row.status for row in ws.slide_table(folder, folder / "none")} == {"not predicted"}
    with pytest.raises(ws.WsimilError, match="can't be sorted by 'size'"):
        ws.slide_table(folder, sort="size")


def test_a_manifest_gives_labels(study):
    folder, predicted, other = study
    rows = {row.name: row for row in ws.slide_table(folder / "m.csv", folder / "predictions")}
    # what is not the file that was predicted is not done: the manifest says another pixel size
    assert [(rows[name].status, rows[name].agrees) for name in ("s-1", "s-2")] == [("done", True), ("not predicted", None)]
    assert [row.label for row in rows.values()] == [predicted.upper(), other, None, "unheard"]
    assert [row.patient for row in rows.values()] == ["p1", "p2", "p3", "p4"]
    assert rows["broken"].agrees is None


def test_results_tell_how_sure(study):
    folder, _, _ = study
    with (folder / "predictions" / "results.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    known = {row.name: row for row in ws.slide_table(folder)}
    assert rows["s-10"]["status"] == "waiting"
    for name in ("s-1", "s-2"):
        assert float(rows[name]["uncertainty"]) == pytest.approx(known[name].uncertainty)
        assert float(rows[name]["confidence"]) == pytest.approx(known[name].confidence)
    assert (rows["broken"]["uncertainty"], rows["broken"]["confidence"]) == ("", "")
    assert f"{known['s-1'].uncertainty:.2f}</td>" in (folder / "predictions" / "report.html").read_text()


def made(name, tumour=None, label=None):
    if tumour is None:
        return SlideRow(name, None, label=label)
    probabilities = {"normal": 1 - tumour, "tumour": tumour}
    predicted = max(probabilities, key=probabilities.get)
    return SlideRow(name, None, label=label, status="done", predicted_class=predicted, probabilities=probabilities)


def test_sorting_puts_what_to_look_at_first_and_the_unknown_last():
    rows = [made("s-10", 0.9, "Normal"), made("s-2"), made("S-1", 0.45, "tumour"), made("s-3", 0.01, "normal")]

    def order(by, **how):
        return [row.name for row in sorted_rows(rows, by, **how)]

    assert order("name") == ["S-1", "s-2", "s-3", "s-10"]
    assert order("uncertainty") == ["S-1", "s-10", "s-3", "s-2"]
    assert order("uncertainty", backwards=True) == ["s-3", "s-10", "S-1", "s-2"]
    assert order("confidence") == ["S-1", "s-10", "s-3", "s-2"]
    assert order("agrees")[:2] == ["s-10", "S-1"]
    assert order("status")[0] == "s-2"
    assert [row.agrees for row in rows] == [False, None, False, True]
    assert natural("a²10") > natural("a²9")


def test_filter_and_text():
    row = made("Case 7", 0.9, "normal")
    assert all(matches(row, text) for text in ("", "case", "7 TUMOUR", "done normal"))
    assert not matches(row, "8")
    lines = as_text([row, made("b")]).splitlines()
    cells = dict(zip(lines[0].split("\t"), lines[1].split("\t"), strict=True))
    assert (cells["name"], cells["agrees"], cells["prob_tumour"], cells["confidence"]) == ("Case 7", "False", "0.9", "0.9")
    assert lines[2].count("\t") == lines[0].count("\t")


def test_where_results_are_kept_unless_told(tmp_path, tiny_slide):
    assert usual_results(tmp_path) == tmp_path / "predictions"
    assert usual_results([tiny_slide]) == tiny_slide.parent / "predictions"
    assert usual_results(tmp_path / "m.csv") == tmp_path / "predictions"
    zarr = tmp_path / "image.zarr"
    zarr.mkdir()
    (zarr / "zarr.json").write_text("{}")
    assert usual_results(zarr) == tmp_path / "predictions"


def test_labels_are_saved_as_a_manifest_to_train_from(study, tmp_path):
    from dataclasses import replace

    folder, predicted, other = study
    rows = [replace(row, label=other if row.name == "s-10" else row.label) for row in ws.slide_table(folder / "m.csv")]
    before = read_manifest(folder / "m.csv", labelled=False).cases
    for place in (folder / "new.csv", tmp_path / "elsewhere.csv"):
        again = read_manifest(save_labels(rows, place, manifest=folder / "m.csv")).cases
        assert [case.label for case in again] == [predicted.upper(), other, other, "unheard"]
        for attribute in ("name", "patient", "split", "mpp"):
            assert [getattr(case, attribute) for case in again] == [getattr(case, attribute) for case in before]
        assert [case.path.resolve() for case in again] == [case.path.resolve() for case in before]
    # beside the slides, paths are relative: both can be moved together
    assert "\ns-1.tiff," in (folder / "new.csv").read_text()
    plain = save_labels(ws.slide_table(folder), tmp_path / "plain.csv")
    assert plain.read_text().splitlines()[0] == "slide,name,label"
    with pytest.raises(ws.TrainingError, match=r"end it with \.csv"):
        save_labels(rows, tmp_path / "labels.xlsx")
    with pytest.raises(ws.TrainingError, match="can't be written"):
        save_labels(rows, tmp_path / "none" / "labels.csv")


def test_the_command_lists_the_same(run, study):
    folder, predicted, _ = study
    code, out, err = run("slides", folder, "--sort", "uncertainty")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == ["slide", "status", "predicted", "confidence", "uncertainty"]
    assert {lines[1].split()[0], lines[2].split()[0]} == {"s-1", "s-2"}
    assert lines[-1] == "4 slides, 2 done, 1 failed"
    code, out, _ = run("slides", folder / "m.csv", "--json", "--filter", "s-1")
    found = json.loads(out)
    assert [(row["name"], row["predicted"], row["agrees"]) for row in found] == [("s-1", predicted, True), ("s-10", None, None)]
    assert run("slides", folder / "m.csv", "--wrong")[1].splitlines()[-1] == "0 slides, 0 done, 0 failed"
    code, _, err = run("slides", folder / "gone.csv")
    assert code == 2
    assert "There is no table" in err


def test_only_some_slides_now(run, study, tmp_path, random_model):
    folder, _, _ = study
    given = ("predict", folder, "--model", random_model.source, "--out", tmp_path, "--workers", "0", "--device", "cpu")
    code, _, err = run(*given, "--only", "unheard")
    assert code == 2
    assert "no slide named unheard" in err
    assert run(*given, "--only", "s-2")[0] == 0
    assert [(row.name, row.status) for row in ws.slide_table(folder, tmp_path, sort="name")] == [
        ("broken", "not predicted"),
        ("s-1", "not predicted"),
        ("s-2", "done"),
        ("s-10", "not predicted"),
    ]


def test_a_damaged_folder_of_results_is_told_of(study, tmp_path):
    folder, _, _ = study
    (tmp_path / "cohort.json").write_text("{")
    with pytest.raises(ws.WsimilError, match="damaged"):
        ws.slide_table(folder, tmp_path)
    (tmp_path / "cohort.json").write_text('{"id": "1", "request": {"task": "jump"}}')
    with pytest.raises(ws.WsimilError, match="damaged"):
        ws.slide_table(folder, tmp_path)


def test_a_slide_that_is_not_there_is_told(run, tmp_path):
    code, out, err = run("slides", tmp_path / "gone.svs")
    assert code == 0
    assert "not predicted" in out
    assert err == f"napari-wsimil: {tmp_path / 'gone.svs'} is not there; check the name and the folder.\n"
    assert ws.slide_table([]) == []


def slide_row(name, *, label=None, share=0.9, disagreement=None, status="done"):
    shares = {"normal": 1 - share, "tumour": share} if status == "done" else {}
    said = "tumour" if share >= 0.5 else "normal"
    return ws.SlideRow(
        name,
        Path(name),
        label=label,
        status=status,
        predicted_class=said if shares else None,
        probabilities=shares,
        disagreement=disagreement,
    )


def test_the_least_certain_slides_without_a_label_are_to_be_labelled_next():
    rows = [
        slide_row("sure", share=0.99),
        slide_row("right", label="tumour"),
        slide_row("wrong", label="normal", share=0.8),
        slide_row("very wrong", label="normal", share=0.97),
        slide_row("not done", status="not predicted"),
        slide_row("unsure", share=0.45),
        slide_row("apart", share=0.99, disagreement=0.7),
    ]
    assert [one.name for one in ws.label_next(rows)] == ["unsure", "apart", "sure", "very wrong", "wrong"]
    assert sorted_rows(rows, "disagreement")[0].name == "apart"
    assert ws.label_next([]) == []


def test_the_command_lists_what_to_label_next(study):
    folder, _, _ = study
    result = CliRunner().invoke(slides, [str(folder), "--label-next", "--json"])
    told = json.loads(result.stdout)
    assert sorted(one["name"] for one in told) == ["s-1", "s-2"]
    assert told[0]["uncertainty"] >= told[1]["uncertainty"]
    assert CliRunner().invoke(slides, [str(folder), "--label-next", "--sort", "name"]).exit_code == 2


def test_the_command_says_why_nothing_is_to_be_labelled(tmp_path, write_slide):
    write_slide(tmp_path / "a.tiff")
    result = CliRunner().invoke(slides, [str(tmp_path), "--label-next"])
    assert result.exit_code == 0
    assert "none of these slides needs a label now: only slides that were predicted are proposed" in result.stderr
