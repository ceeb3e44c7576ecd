"""Workers that die, are of no use or come late, played by a crew that does nothing."""

from __future__ import annotations

import pytest

import napari_wsimil as ws
from napari_wsimil.cohorts import running
from napari_wsimil.cohorts.folder import CohortFolder
from napari_wsimil.cohorts.records import Record, write_record
from napari_wsimil.cohorts.request import Means, Named, Request
from napari_wsimil.cohorts.running import CohortRun, Wish
from napari_wsimil.cohorts.work import Outcome

REQUEST = Request(task="predict", encoder=Named(id="e", digest="1"), classes=("n", "t"), precision="auto")


class PlayedCrew:
    """Ends each slide as the script says: name -> kinds, the last of them for ever."""

    def __init__(self, folder, script, places=2):
        self.folder, self.script, self.places = folder, {name: list(kinds) for name, kinds in script.items()}, places
        self.jobs, self.begun = [], []

    def free(self):
        return self.places - len(self.jobs)

    def start(self, job):
        self.jobs.append(job)
        self.begun.append(job.name)
        return "tcp://played"

    def ended(self, seconds):
        jobs, self.jobs = self.jobs, []
        return [(job, self.outcome(job)) for job in jobs]

    def outcome(self, job):
        kinds = self.script.get(job.name, ["done"])
        kind = kinds.pop(0) if len(kinds) > 1 else kinds[0]
        if kind not in ("done", "lost after its record"):
            return Outcome(kind=kind, error=f"{kind}!")
        record = Record(
            name=job.name, slide=str(job.path), stamp=job.stamp, request=REQUEST.digest, status="done", precision=job.precision
        )
        write_record(self.folder.record_path(job.name), record)
        return Outcome(kind="done", record=record) if kind == "done" else Outcome(kind="lost")

    def settle_precision(self, job):
        return "bf16"


@pytest.fixture
def play(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "BACKOFF_SECONDS", 0.0)
    for name in "abc":
        (tmp_path / f"{name}.tiff").write_text(name)
    folder = CohortFolder(tmp_path / "out")
    events = []

    def run(script, retries=2):
        slides = ws.find_slides([tmp_path / f"{name}.tiff" for name in "abc"])
        crew = PlayedCrew(folder, script)
        with folder.held():
            cohort = folder.begin(REQUEST)
            run = CohortRun(folder, cohort, Wish(slides, REQUEST, Means(model="m"), retries), events.append, lambda: False)
            run.find_done()
            run.go(crew)
        return run.result(), crew, events

    return run


def test_a_slide_that_kills_its_workers_is_given_up_and_the_others_go_on(play):
    result, crew, events = play({"b": ["lost"]})
    assert [record.name for record in result.done] == ["a", "c"]
    assert result.failed[0].error == (
        "b.tiff was given up: its worker died 3 times while at it, probably because the slide needs more memory than there is; "
        "use fewer workers, or one on a larger machine."
    )
    assert crew.begun.count("b") == 3
    assert [event.text for event in events if event.kind == "again"] == ["b will be tried again: its worker died"] * 2


def test_a_worker_that_died_costs_its_slide_an_attempt_only(play):
    result, crew, _ = play({"a": ["lost", "done"]})
    assert (len(result.done), crew.begun.count("a")) == (3, 2)


def test_a_worker_that_died_after_its_record_costs_nothing(play):
    result, crew, _ = play({"a": ["lost after its record"]})
    assert (len(result.done), sorted(crew.begun)) == (3, ["a", "b", "c"])


def test_a_worker_that_does_not_fit_costs_no_attempt(play):
    result, _, events = play({"a": ["unfit", "unfit", "unfit", "unfit", "done"]}, retries=0)
    assert len(result.done) == 3
    assert [event.text for event in events if event.kind == "notice"] == ["unfit!"] * 4


def test_precision_is_decided_once(play, tmp_path):
    result, _, _ = play({"c": ["failed"]})
    assert {record.precision for record in result.done} == {"bf16"}
    assert CohortFolder(tmp_path / "out").about()["precision"] == "bf16"
    again, crew, _ = play({})
    assert (crew.begun, again.records[2].precision) == (["c"], "bf16")
