"""The parts of the prediction benchmark: turns, agreement, tables, and a run with the network that costs nothing."""

import os
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def parts():
    """The benchmark's modules can be imported, and the cache is a new one."""
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def measured(name, rates, **choices):
    from predict_turns import Cost, Measured, Way

    way = Way(name, {"": lambda: None}, 10, **choices)
    return Measured(way, "", [Cost(10 / rate, 20 / rate) for rate in rates])


def test_the_first_round_chooses_the_setting_and_does_not_count():
    from predict_turns import Way, take_turns

    called = []

    def waits(name, seconds):
        def run():
            called.append(name)
            time.sleep(seconds)

        return run

    ways = [Way("one", {"slow": waits("slow", 0.2), "fast": waits("fast", 0)}, 5), Way("two", {"": waits("two", 0)}, 5)]
    found = take_turns(ways, 2, told=lambda line: None)
    assert called == ["slow", "fast", "two", "fast", "two", "two", "fast"]
    assert found["one"].setting == "fast"
    assert [len(one.costs) for one in found.values()] == [2, 2]


def test_processor_time_of_threads_and_processes_counts():
    import subprocess

    from predict_turns import once

    def burn():
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass

    def threads():
        both = [threading.Thread(target=burn) for _ in range(2)]
        [thread.start() for thread in both]
        [thread.join() for thread in both]

    assert once(threads)[0].cpu > 0.19
    code = "import time\nwhile time.process_time() < 0.3: pass"
    assert once(lambda: subprocess.run([sys.executable, "-c", code], check=True))[0].cpu > 0.29


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    from predict_turns import ratio

    assert ratio(measured("a", [10, 40, 30]), measured("b", [10, 10, 10])) == pytest.approx(3)


def test_features_are_compared_by_place():
    from predict_turns import Features, agreement

    random = np.random.default_rng(0)
    corners, rows = np.arange(12).reshape(6, 2), random.normal(5, 1, (6, 4)).astype(np.float32)
    order = [3, 1, 5, 0]
    same = agreement(Features(corners[order], rows[order]), Features(corners, rows))
    assert (same.patches, round(same.lowest, 6), round(same.centred, 6)) == (4, 1, 1)
    exps = np.exp(rows - rows.max(1, keepdims=True))
    softmax = Features(corners, exps / exps.sum(1, keepdims=True))
    assert agreement(softmax, Features(corners, rows), softmax=True).lowest == pytest.approx(1, abs=1e-6)
    mixed = agreement(Features(corners, rows[::-1]), Features(corners, rows))
    assert mixed.lowest > 0.8
    assert mixed.centred < 0.8
    assert agreement(Features(corners + 100, rows), Features(corners, rows)).patches == 0


def test_the_page_says_what_was_missed():
    import predict_page as page
    from predict_ceiling import LIMIT, PIPELINE, READING, Case, Ceiling

    case = Case("ResNet-50", None, "40x", None, "cpu", None, 1, False, 3)
    limit = measured(LIMIT, [100, 100, 100], whole=False, ours=True, precision="bf16")
    read = measured(READING, [300, 300, 300], whole=False, ours=True)
    near, far = (
        Ceiling(case, {LIMIT: limit, READING: read, PIPELINE: measured(PIPELINE, [rate] * 3, ours=True)}) for rate in (96, 94)
    )
    assert near.of_both(PIPELINE) == pytest.approx(96 / 75)
    assert "**0.96** | 1.28 |" in page.ceilings([near])
    ways = {
        "encoder": measured("encoder", [1000], whole=False),
        page.EXACT: measured(page.EXACT, [600], ours=True),
        page.PLAIN: measured(page.PLAIN, [400], ours=True),
        "peer": measured("peer", [100]),
        "other peer": measured("other peer", [90]),
    }
    told = page.verdicts([near, far], {"global mean": ways})
    assert [line.rsplit("|", 2)[1].strip() for line in told.splitlines()[2:]] == [
        "0.96",
        "0.94: **missed**",
        "6.00",
        "4.00: **missed**",
    ]
    assert page.against_peers({name: one for name, one in ways.items() if "peer" not in name}, page.EXACT) is None
    row = next(line for line in page.contest(ways).splitlines() if line.startswith("| peer"))
    assert [cell.strip() for cell in row.split("|")[4:8]] == ["100.0", "0.10", "20.0", "6.00"]


def test_a_run_with_the_free_network(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))
    import predict_contest
    import predict_networks
    import predict_page as page

    threads = torch.get_num_threads()
    network = predict_networks.free(tmp_path)
    found = predict_contest.measure(network, 2048, 1, "cpu")
    assert torch.get_num_threads() == threads
    told = page.contest(found)
    for name in (page.EXACT, page.SCALED, page.PLAIN):
        row = next(line for line in told.splitlines() if line.startswith(f"| {name} |"))
        patches, lowest, _ = [cell.strip() for cell in row.split("|")[-4:-1]]
        assert patches == "16"
        assert float(lowest) > 0.999
    assert not [way for way in found.values() if way.way.whole and not way.way.ours] or "PYTHONPATH" in os.environ


def test_a_box_takes_the_patches_that_are_wanted():
    from predict_ours import box_around

    corners = np.stack(np.meshgrid(np.arange(20), np.arange(20)), -1).reshape(-1, 2) * 256
    outline = np.array(box_around(corners, 25).inside[0])
    centres = corners + 128
    assert 25 <= ((centres > outline.min(0)) & (centres < outline.max(0))).all(1).sum() <= 36


def test_one_prediction_tells_memory_and_time(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_WSIMIL_CACHE", str(tmp_path / "cache"))
    import predict_once
    from predict_slides import sample_slide

    seconds = predict_once.first(str(sample_slide(quick=True)))
    assert 0 < seconds["warm"] <= seconds["warm_end"]
    told = predict_once.memory(str(sample_slide(quick=True)), "bundled")
    assert 100 < told["loaded"] <= told["peak"]
    assert told["patches"] > 10


def test_the_page_is_whole_without_peers(tmp_path):
    import predict

    chosen = Namespace(rounds=1, quick=True, devices=["cpu"], parts=["once"])
    told = predict.report(chosen, [], {}, {"first": {"cold": 1, "cold_end": 2, "warm": 3, "warm_end": 4}})
    assert "1.00 s" in told
    assert "A quick run" in told
