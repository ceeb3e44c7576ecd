"""What an evaluation leaves behind: plots that can be drawn for whatever was measured, files all or none, and the report."""

import base64
import csv
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.special import softmax

from napari_wsimil.errors import TrainingError
from napari_wsimil.files import written_together
from napari_wsimil.packages import Calibration
from napari_wsimil.training.evaluation import outputs, plots
from napari_wsimil.training.evaluation.calibration import calibrated, calibration_figures
from napari_wsimil.training.evaluation.learning_curves import learning_curves
from napari_wsimil.training.evaluation.metrics import instance_metrics, measure
from napari_wsimil.training.evaluation.outputs import write_evaluation
from napari_wsimil.training.evaluation.report import write_report
from napari_wsimil.training.evaluation.scoring import Scores
from napari_wsimil.training.events import Event

TWO = ("normal", "tumour")
TEMPERATURE = Calibration(temperature=2.0, cases=40, log_loss_before=0.9, log_loss_after=0.6)


def answers(cases=30, classes=TWO, seed=0, names=None):
    random = np.random.default_rng(seed)
    targets = random.integers(0, len(classes), cases)
    logits = 2 * random.normal(size=(cases, len(classes))) + 2 * np.eye(len(classes))[targets]
    names = names or tuple(f"slide-{number:02}" for number in range(cases))
    return Scores(tuple(names), targets, logits, softmax(logits, axis=1), tuple(classes))


def one_class(cases=5):
    scores = answers(cases)
    return Scores(scores.names, np.zeros(cases, np.int64), scores.logits, scores.probabilities, TWO)


def epochs(count, stage="train"):
    for epoch in range(count):
        told = {"loss": 1 / (epoch + 1), "auc": 1 - 0.5 / (epoch + 1), "f1": None}
        yield Event("step", stage, epoch, {"losses": {"bag": 1.0}})
        yield Event("epoch", stage, epoch, {"losses": {"bag": 1 / (epoch + 1)}, "validation": told, "best_epoch": epoch})


def evaluated(folder, scores=None, calibration=TEMPERATURE, **more):
    scores = scores or answers()
    metrics = measure(calibrated(scores, calibration), draws=20, patients=more.get("patients"))
    return write_evaluation(folder, scores, metrics, calibration, **more)


@pytest.fixture
def sketched(monkeypatch):
    """Pictures with nothing in them, for tests that do not look at them: real ones take a second each."""

    def save(_figure, folder, name):
        for end in ("png", "svg"):
            (folder / f"{name}.{end}").write_text("<?xml?>")

    monkeypatch.setattr(outputs.plots, "save", save)


@pytest.mark.parametrize(
    "scores",
    [answers(2), one_class(), answers(60, [f"class {number}" for number in range(14)])],
    ids=["tiny", "one", "many"],
)
def test_every_plot_can_be_drawn_and_saved(scores, tmp_path):
    metrics = measure(scores, draws=10)
    figures = {
        "roc": plots.roc(scores, metrics),
        "precision": plots.precision_recall(scores, metrics),
        "matrix": plots.confusion_matrix(metrics),
        "reliability": plots.reliability_diagram({"plain": calibration_figures(scores)}),
    }
    for name, figure in figures.items():
        picture, drawing = plots.save(figure, tmp_path, name)
        pixels = imread(picture)
        assert pixels.shape[0] > 900 < pixels.shape[1]
        assert pixels.std() > 0.01
        assert "<svg" in drawing.read_text()


def test_curves_go_where_the_numbers_say():
    scores = Scores(
        tuple("abcd"), np.array([0, 1, 0, 1]), np.zeros((4, 2)), np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9]]), TWO
    )
    figure = plots.roc(scores, measure(scores, draws=10))
    chance, curve = figure.axes[0].lines
    assert chance.get_label() == "by chance"
    assert curve.get_label() == "tumour, 0.750"
    np.testing.assert_allclose(curve.get_xydata(), [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]])
    caption = figure._supxlabel.get_text().replace("\n", " ")
    assert re.fullmatch(r"AUC 0\.750 \(95 % interval 0\.\d+ to 1\.000\); 4 slides \(2 normal, 2 tumour\)\.", caption)


def test_captions_tell_of_patients_and_of_what_is_undefined():
    figure = plots.roc(one_class(), measure(one_class(), draws=0, patients=list("aabbc")))
    assert figure._supxlabel.get_text().replace("\n", " ") == (
        "There is no slide of class tumour. 5 slides (5 normal, 0 tumour) of 3 patients."
    )
    assert len(figure.axes[0].lines) == 1


def test_a_matrix_shows_counts_and_shares():
    texts = [text.get_text() for text in plots.confusion_matrix(measure(one_class(5), draws=0)).axes[0].texts]
    right = int((one_class(5).probabilities[:, 0] >= 0.5).sum())
    assert texts == [f"{right}\n{right / 5:.0%}", f"{5 - right}\n{1 - right / 5:.0%}", "0", "0"]


def test_dollar_signs_and_long_names_in_plots(tmp_path):
    scores = answers(classes=("costs $5 or $6 a slide", "x" * 90))
    matrix = plots.confusion_matrix(measure(scores, draws=0))
    plots.save(plots.roc(scores, measure(scores, draws=0)), tmp_path, "roc")
    plots.save(matrix, tmp_path, "matrix")
    assert {path.name for path in tmp_path.iterdir()} == {"roc.png", "roc.svg", "matrix.png", "matrix.svg"}
    labels = [label.get_text().replace("\n", " ") for label in matrix.axes[0].get_yticklabels()]
    assert any("$5" in label for label in labels)


def test_learning_curves_have_a_row_for_each_stage():
    figure = learning_curves([*epochs(3, "teacher"), *epochs(2, "student")])
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Teacher: losses",
        "Teacher: validation slides",
        "Student: losses",
        "Student: validation slides",
    ]
    training, validation, best = figure.axes[0].lines
    assert (training.get_label(), validation.get_label(), best.get_label()) == (
        "training: bag",
        "validation: loss",
        "best epoch, 3",
    )
    np.testing.assert_allclose(training.get_xydata(), [[1, 1], [2, 1 / 2], [3, 1 / 3]])
    assert [line.get_label() for line in figure.axes[1].lines] == ["ROC AUC", "best epoch, 3"]
    both = {"loss": 0.5, "bag": 0.5}
    once = learning_curves([Event("epoch", data={"losses": both, "validation": {"auc+f1": 1.7}, "best_epoch": -1})])
    assert [[line.get_label() for line in axes.lines] for axes in once.axes] == [["training: loss"], []]
    assert learning_curves([Event("start"), Event("step", data={"losses": {}})]) is None


def test_an_evaluation_is_a_folder_of_files(tmp_path, sketched):
    folder = tmp_path / "run" / "evaluation"
    scores = answers(30)
    patients = [f"p{number // 3}" for number in range(30)]
    files = evaluated(folder, scores, patients=patients, events=epochs(2), more={"seconds": 3.5})
    names = [file.relative_to(folder).as_posix() for file in files]
    kinds = ("confusion_matrix", "precision_recall", "reliability", "roc", "training")
    assert names == ["metrics.json", "predictions.csv", *(f"plots/{kind}.{end}" for kind in kinds for end in ("png", "svg"))]
    assert sorted(entry.name for entry in folder.iterdir()) == ["metrics.json", "plots", "predictions.csv"]
    told = json.loads((folder / "metrics.json").read_text())
    assert (told["split"], told["cases"], told["patients"], told["seconds"]) == ("test", 30, 10, 3.5)
    assert told["calibration"]["fit"]["temperature"] == 2
    assert list(told["calibration"]["figures"]) == ["calibrated", "as the model gives them"]
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    half = softmax(scores.logits / 2, axis=1)
    assert rows[4]["slide"] == "slide-04"
    assert rows[4]["patient"] == "p1"
    assert rows[4]["label"] == TWO[scores.targets[4]]
    assert rows[4]["predicted"] == TWO[int(half[4].argmax())]
    assert rows[4]["correct"] == str(int(half[4].argmax() == scores.targets[4]))
    assert float(rows[4]["prob_tumour"]) == pytest.approx(half[4, 1], rel=1e-5)
    assert float(rows[4]["uncalibrated_tumour"]) == pytest.approx(scores.probabilities[4, 1], rel=1e-5)


def test_without_a_calibration_there_is_one_set_of_probabilities(tmp_path, sketched):
    evaluated(tmp_path, calibration=None)
    assert list(json.loads((tmp_path / "metrics.json").read_text())["calibration"]["figures"]) == ["as the model gives them"]
    assert (tmp_path / "predictions.csv").read_text().splitlines()[0] == "slide,label,predicted,correct,prob_normal,prob_tumour"
    assert not (tmp_path / "plots" / "training.svg").exists()


def test_an_evaluation_replaces_the_one_before_and_leaves_other_files(tmp_path, sketched):
    evaluated(tmp_path, events=epochs(2))
    (tmp_path / "settings.json").write_text("{}")
    evaluated(tmp_path, one_class(), calibration=None)
    assert json.loads((tmp_path / "metrics.json").read_text())["cases"] == 5
    assert not (tmp_path / "plots" / "training.svg").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["metrics.json", "plots", "predictions.csv", "settings.json"]


def test_an_evaluation_that_fails_leaves_the_one_before(tmp_path, sketched, monkeypatch):
    evaluated(tmp_path, events=epochs(2))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(outputs.plots, "save", full)
    with pytest.raises(TrainingError, match=r"can't be written \(No space left on device\); choose another folder"):
        evaluated(tmp_path, answers(8))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def half_written(folder):
    with written_together(folder, "done") as part:
        (part / "table").write_text("half")
        (part / "missing").read_text()


def test_files_take_their_places_together(tmp_path):
    (tmp_path / "done").write_text("old")
    (tmp_path / "kept").write_text("kept")
    with written_together(tmp_path, "done") as part:
        (part / "table").write_text("new")
        (part / "done").write_text("new")
        assert not (tmp_path / "table").exists()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"done": "new", "kept": "kept", "table": "new"}
    with pytest.raises(FileNotFoundError):
        half_written(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"done": "new", "kept": "kept", "table": "new"}


class Page(HTMLParser):
    """Tags that are open, addresses, and the text of every table row, with the numbers of its notes."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.rows, self.tags = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action", "background")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th", "sup") and "caption" not in self.open:
            self.rows[-1][-1] += data


def test_a_report_is_one_page_with_everything_in_it(tmp_path, sketched):
    hostile = ("<script>alert(1)</script>", *(f"slide-{number:02}" for number in range(1, 30)))
    patients = [f"p{number // 3}" for number in range(30)]
    labels = {name: np.array([0, 1, 1, 0]) for name in hostile[:4]}
    evidence = {name: np.array([0.1, 0.9, 0.4, 0.5]) for name in hostile[:4]}
    scores = answers(names=hostile)
    beside = measure(answers(12), draws=0)
    more = {"instances": instance_metrics(labels, evidence), "validation": beside, "training": {"epochs": 9, "best_epoch": 4}}
    evaluated(tmp_path, scores, patients=patients, events=epochs(3), more=more)
    about = {
        "identity": {"settings": {"epochs": 3, "betas": [0.9, 0.999]}},
        "title": "A <b>bold</b> run",
        "notices": ["Mind the gap."],
        "versions": {"torch": "2.13"},
    }
    (tmp_path / "settings.json").write_text(json.dumps(about))
    lines = [
        f"/s/{number}.svs,n{number},{TWO[number % 2]},p{number // 2},{('train', 'test')[number % 4 // 2]}"
        for number in range(8)
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(["slide,name,label,patient,split", *lines]))
    path = write_report(tmp_path)
    assert path == tmp_path / "report.html"
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "b" in page.tags
    assert '<p class="notice">Mind the gap.</p>' in text
    assert "&lt;b&gt;bold&lt;/b&gt; run" in text
    assert len(page.addresses) == 5
    for address in page.addresses:
        kind, data = address.split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        assert base64.b64decode(data).lstrip().startswith(b"<?xml")
    rows = {row[0]: row[1:] for row in page.rows}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    auc = metrics["figures"]["roc_auc"]
    assert rows["ROC AUC"][:2] == [f"{auc['value']:.3f}", f"{auc['low']:.3f} to {auc['high']:.3f}"]
    assert rows["ROC AUC"][2] == f"{beside['figures']['roc_auc']['value']:.3f}"
    assert "The model is that of epoch 4 of 9, the best on the validation slides." in text
    assert rows["training"] == ["4", "2", "2", "2"]
    assert rows["settings: betas"] == ["0.9, 0.999"]
    assert rows["torch"] == ["2.13"]
    assert rows["ROC AUC, mean of the slides"][0] == "0.750"
    at = [row[0] for row in page.rows].index("Slide")
    slides = page.rows[at + 1 : at + 31]
    true = softmax(scores.logits / 2, axis=1)[np.arange(30), scores.targets]
    assert [row[0] for row in slides] == [hostile[row] for row in np.argsort(true, kind="stable")]
    assert slides[0][-1] == f"{true.min():.3f}"


def test_a_report_of_what_can_not_be_told(tmp_path, sketched):
    evaluated(tmp_path, one_class(), calibration=Calibration(method="none", cases=3, note="Slides are too few."))
    text = write_report(tmp_path).read_text()
    assert "could not be calibrated. Slides are too few." in text
    assert "There is no slide of class tumour." in text
    rows = {row[0]: row[1:] for row in Page(text).rows}
    assert rows["ROC AUC"] == rows["Sensitivity"] == ["–", "1"]
    assert "<sup>1</sup> There is no slide of class tumour." in text


def test_a_report_is_called_after_the_model(tmp_path, sketched):
    evaluated(tmp_path, more={"model": {"id": "abmil-7"}})
    assert "<title>Evaluation of abmil-7</title>" in write_report(tmp_path).read_text()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text('{"id": "x", "title": "ABMIL: a & b"}')
    assert "<h1>ABMIL: a &amp; b</h1>" in write_report(tmp_path).read_text()


def test_only_the_worst_of_many_slides_are_listed(tmp_path, sketched):
    evaluated(tmp_path, answers(230))
    text = write_report(tmp_path).read_text()
    assert "30 more slides, all with a higher probability of the true class, are in predictions.csv." in text


def test_no_report_without_an_evaluation(tmp_path, sketched):
    with pytest.raises(TrainingError, match=r"no evaluation in .*: metrics\.json is missing"):
        write_report(tmp_path)
    evaluated(tmp_path)
    (tmp_path / "predictions.csv").write_text("slide,label\na,b\n")
    with pytest.raises(TrainingError, match="is damaged"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text('{"cases": 3')
    with pytest.raises(TrainingError, match="is damaged"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
