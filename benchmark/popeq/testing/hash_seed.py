"""Draw a predictor's samples in another process, whose Python hashes strings in another way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.contract import PredictorSpec, load_object
from popeq.runs.confined import receive_job
from popeq.space import Space
from popeq.testing.subject import Subject

#: Two, because a set of few words can come in the same order by chance.
HASH_SEEDS = (1, 2)


def drawn_with_hash_seed(subject: Subject, hash_seed: int) -> NDArray[np.float64]:
    """What ``subject.draw(subject.fitted)`` gives in a new process with that PYTHONHASHSEED.

    Raises RuntimeError with the last line that the process wrote if it fails. The process dies with this one.
    """
    spec, parameters = subject.spec, type(subject.parameters)
    path = os.pathsep.join(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path if entry))
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path}
    with tempfile.TemporaryDirectory(prefix="popeq-check-") as folder:
        samples = Path(folder, "samples.npy")
        job = {
            "name": spec.name,
            "factory": spec.factory,
            "model": f"{parameters.__module__}:{parameters.__qualname__}",
            "parameters": subject.parameters.model_dump(mode="json"),
            "space": asdict(subject.space),
            "wants_groups": spec.wants_groups,
            "samples": str(samples),
        }
        with (
            Path(folder, "log.txt").open("w+b") as log,
            subprocess.Popen(
                [sys.executable, "-P", "-m", "popeq.testing.hash_seed"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,  # it ends its own group when its input closes
            ) as process,
        ):
            assert process.stdin is not None
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            process.wait()
            log.seek(0)
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        if process.returncode != 0 or not samples.exists():
            why = lines[-1] if lines else f"it ended with status {process.returncode}"
            raise RuntimeError(f"with PYTHONHASHSEED={hash_seed}: {why}")
        return np.asarray(np.load(samples))


def main() -> int:
    """The other process: reads what to draw from its input, writes the samples."""
    job = json.loads(receive_job())
    model = load_object(job["model"])
    spec = PredictorSpec(
        job["name"],
        "under examination",
        job["factory"],
        parameters=model,
        wants_groups=job["wants_groups"],
    )
    subject = Subject(spec, model.model_validate(job["parameters"]), Space(**job["space"]))
    np.save(job["samples"], subject.draw(subject.fitted))
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except BaseException:  # sys.exit() too: the thread that watches the parent never ends
        import traceback

        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
