"""Children of one process that has loaded all libraries: a training in the background begins in milliseconds.

`python warm_children.py` reads lines of JSON {"run", "trust_code", "environment"} and answers each with the id of the process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path


class Warm:
    """The process, and the children that it was asked for; `launch` stands in for `launching.launch`."""

    def __init__(self) -> None:
        self.pids: dict[Path, int] = {}
        self._process: subprocess.Popen[str] | None = None

    def launch(self, folder, *, trust_code: bool = False) -> None:
        from napari_wsimil.training.background import launching

        if self._process is None:
            command = [sys.executable, __file__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin
        assert self._process.stdout
        chosen = {name: value for name, value in os.environ.items() if name.startswith("NAPARI_WSIMIL")}
        self._process.stdin.write(json.dumps({"run": str(folder.run), "trust_code": trust_code, "environment": chosen}) + "\n")
        self._process.stdin.flush()
        self.pids[folder.run] = int(self._process.stdout.readline())
        launching._launched[folder.run] = Child(self.pids[folder.run])

    def kill(self, run: Path) -> None:
        os.kill(self.pids[run], signal.SIGKILL)

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


class Child:
    """What is asked of a `Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return -1
        return None


def serve() -> None:
    import matplotlib.backends.backend_agg
    import matplotlib.backends.backend_svg
    import matplotlib.figure  # noqa: F401
    import sklearn.metrics
    import sklearn.model_selection  # noqa: F401
    import torch._dynamo

    from napari_wsimil.training.background import child, keeping  # noqa: F401
    from napari_wsimil.training.evaluation import results
    from napari_wsimil.training.fine_tuning import run  # noqa: F401

    torch.set_num_threads(1)
    results.measure = partial(results.measure, draws=20)
    # other tests run at the same time: a gentle one would wait for them
    child.be_gentle = lambda: None
    # nobody waits for them, so the system buries them
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    pids = []
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            _train(child, asked)
        pids.append(pid)
        print(pid, flush=True)  # noqa: T201
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _train(child, asked) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.update(asked["environment"])
    log = os.open(Path(asked["run"]) / ".background" / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nothing, log, log)):
        os.dup2(file, number)
    try:
        code = child.main([asked["run"], *([child.TRUST] if asked["trust_code"] else [])])
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
