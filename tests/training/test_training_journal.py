"""The state after each step survives whatever moment the process ends at."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch

from napari_wsimil.errors import TrainingError
from napari_wsimil.training.journal import Journal


def state(number: int):
    tensors = {
        "weights": torch.full((37, 11), float(number)),
        "half": torch.full((3,), number, dtype=torch.bfloat16),
        "count": torch.tensor(number),
        "empty": torch.zeros((0, 4)),
        "flags": torch.tensor([True, False, True]),
    }
    return tensors, {"number": number, "text": "ü", "inf": float("inf")}


def same(a, b):
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and torch.equal(a[k], b[k]) for k in a
    )


def test_what_was_saved_last_comes_back(tmp_path):
    journal = Journal(tmp_path / "journal")
    for number in range(1, 6):
        journal.save(*state(number))
        tensors, numbers = Journal(tmp_path / "journal").load()
        wanted = state(number)
        assert same(tensors, wanted[0])
        assert numbers == wanted[1]


def test_nothing_is_there_before_the_first_save(tmp_path):
    assert Journal(tmp_path / "journal").load() is None
    (tmp_path / "journal").write_bytes(b"something else entirely, long enough to look at")
    assert Journal(tmp_path / "journal").load() is None


def test_a_journal_that_was_loaded_is_gone_on_with(tmp_path):
    Journal(tmp_path / "journal").save(*state(1))
    journal = Journal(tmp_path / "journal")
    journal.load()
    journal.save(*state(2))
    assert Journal(tmp_path / "journal").load()[1]["number"] == 2


def test_new_tensors_and_longer_texts_make_new_room(tmp_path):
    journal = Journal(tmp_path / "journal")
    journal.save(*state(1))
    more = {**state(2)[0], "momentum": torch.arange(5.0)}
    journal.save(more, {"number": 2})
    assert same(Journal(tmp_path / "journal").load()[0], more)
    journal.save(more, {"long": "x" * 200_000})
    assert len(Journal(tmp_path / "journal").load()[1]["long"]) == 200_000


def test_a_slot_that_is_not_whole_gives_way_to_the_one_before(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in (1, 2):
        journal.save(*state(number))
    journal.flush()
    content = bytearray(path.read_bytes())
    newest = max(place for place in range(len(content) - 4) if content[place : place + 4] == np.float32(2).tobytes())
    content[newest] ^= 255
    path.write_bytes(content)
    assert Journal(path).load()[1]["number"] == 1


def test_a_slot_that_was_being_written_gives_way_to_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in (1, 2):
        journal.save(*state(number))
    monkeypatch.setattr("napari_wsimil.training.journal._sum", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        journal.save(*state(3))
    monkeypatch.undo()
    assert Journal(path).load()[1]["number"] == 2


def test_no_room_is_one_sentence(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(TrainingError, match="No space left on device"):
        Journal(tmp_path / "journal").save(*state(1))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_leaves_its_last_whole_step(tmp_path):
    program = textwrap.dedent(
        """
        import sys, torch
        from pathlib import Path
        from napari_wsimil.training.journal import Journal
        journal = Journal(Path(sys.argv[1]))
        number = 0
        while True:
            number += 1
            journal.save({"a": torch.full((250_000,), float(number)), "b": torch.tensor(number)}, {"number": number})
            sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
        """
    )
    path, random = tmp_path / "journal", np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(float(random.uniform(0, 0.1)))
        process.kill()
        told = [int(line) for line in process.communicate()[0].splitlines() if line.strip()]
        tensors, numbers = Journal(path).load()
        assert (tensors["a"] == numbers["number"]).all()
        assert int(tensors["b"]) == numbers["number"]
        assert numbers["number"] >= max(told, default=1)
        path.unlink()
