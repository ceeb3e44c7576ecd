"""On Dask: local processes, a running scheduler, workers that die, a run that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("distributed")

import napari_wsimil as ws
from napari_wsimil.cohorts import local
from napari_wsimil.cohorts.folder import CohortFolder


@pytest.fixture
def slides(tmp_path, write_slide):
    folder = tmp_path / "slides"
    folder.mkdir()
    for number, name in enumerate(("a", "b", "poison")):
        write_slide(folder / f"{name}.tiff", width=1024 + 256 * number, height=1024)
    (folder / "bad.svs").write_text("no slide")
    return folder


def poisonous():
    """A plugin that makes a worker die in the middle of the slide called poison; sent to workers by value."""
    from distributed import WorkerPlugin

    class Poison(WorkerPlugin):
        name = "poison"

        def setup(self, worker):
            from napari_wsimil.cohorts import work

            usual = work._predicted

            def predicted(job, *rest):
                if job.name == "poison":
                    os.kill(os.getpid(), signal.SIGKILL)
                return usual(job, *rest)

            work._predicted = predicted

    return Poison()


def test_a_scheduler_with_a_slide_that_kills_its_workers(slides, random_model, tmp_path):
    """Each worker does one slide at a time, whatever its threads; a death costs only the slide in hand."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    events = []
    try:
        with local.local_client([local.Share((0,)), local.Share((0,))]) as client:
            client.register_plugin(poisonous())
            result = ws.predict_cohort(
                slides,
                random_model,
                tmp_path / "out",
                scheduler=client.scheduler.address,
                precision="fp32",
                retries=0,
                on_event=events.append,
            )
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert {record.name: record.status for record in result.records} == {
        "a": "done",
        "b": "done",
        "bad": "failed",
        "poison": "failed",
    }
    assert "its worker died once" in result.records[3].error
    assert [record.attempts for record in result.records] == [1, 1, 1, 1]
    at_once = most = 0
    for event in events:
        at_once += (event.kind == "started") - (event.kind in ("done", "failed", "again"))
        most = max(most, at_once)
    assert most == 2
    # two workers give the same as this process
    alone = ws.predict(slides / "a.tiff", random_model, precision="fp32")
    assert result.records[0].probabilities == pytest.approx(dict(alone.probabilities), abs=1e-6)


def test_the_command_killed_and_repeated_does_each_slide_once(slides, random_model, tmp_path):
    (slides / "bad.svs").unlink()
    out = tmp_path / "out"
    program = "import sys; from napari_wsimil.cli import main; main(sys.argv[1:])"
    wish = ["predict", slides, "--model", random_model.source, "--out", out, "--workers", "0", "--precision", "fp32", "--json"]
    command = [sys.executable, "-c", program, *map(str, wish)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True) as first:
        while not any((out / "records").glob("*.json")):
            assert first.poll() is None
            with pytest.raises(subprocess.TimeoutExpired):
                first.wait(0.02)
        os.killpg(first.pid, signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [result["name"] for result in json.loads(done.stdout)] == ["a", "b", "poison"]
    folder = CohortFolder(out)
    for name in ("a", "b", "poison"):
        lines = folder.attempts_path(name).read_text().splitlines()
        assert sum('"event": "done"' in line for line in lines) <= 1
        assert (out / f"{name}.prediction.h5").is_file()
    assert not (out / ".unfinished").exists()


@pytest.mark.parametrize(
    ("workers", "device", "gpus", "cores", "wanted"),
    [
        (None, "cpu", 2, 4, [((0, 1, 2, 3), "")]),
        (2, "cpu", 0, 4, [((0, 2), ""), ((1, 3), "")]),
        (3, "cpu", 0, 2, [((0,), ""), ((1,), ""), ((0,), "")]),
        (None, "auto", 2, 4, [((0, 2), "0"), ((1, 3), "1")]),
        (3, "cuda", 2, 3, [((0,), "0"), ((1,), "1"), ((2,), "0")]),
        (None, "cuda:1", 2, 2, [((0, 1), "1")]),
    ],
)
def test_workers_share_cores_and_have_a_gpu_each(monkeypatch, workers, device, gpus, cores, wanted):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    monkeypatch.setattr(local, "_cores", lambda: list(range(cores)))
    own, said = local.shares(workers, device)
    assert [(share.cores, share.gpu) for share in own] == wanted
    assert bool(said) == (workers == 3 and gpus == 2)


def test_gpus_that_others_have_are_left_to_them(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-3f")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [share.gpu for share in local.shares(None, "auto")[0]] == ["2", "GPU-3f"]


def test_a_scheduler_that_does_not_answer_is_one_sentence(slides, random_model, tmp_path, monkeypatch):
    monkeypatch.setattr(local, "CONNECT_SECONDS", 1)
    with pytest.raises(ws.WsimilError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        ws.predict_cohort(slides, random_model, tmp_path / "out", scheduler="tcp://127.0.0.1:9")


def test_without_dask_one_sentence_says_how_to_get_it(slides, random_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ws.WsimilError, match=r"pip install 'napari-wsimil\[cluster\]'"):
        ws.predict_cohort(slides, random_model, tmp_path / "out", workers=2)
