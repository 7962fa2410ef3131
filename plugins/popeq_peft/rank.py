"""One of the processes that train together: ``python -m popeq_peft.rank JOB``, started by accelerate."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Any

from popeq.atomic import write_text
from popeq.contract import load_object
from popeq.errors import PopeqError
from popeq.runs.job import report_progress
from popeq.runs.worker import peak_memory_mb
from popeq_llm.loading import torch_threads
from popeq_peft import popeq_predictors
from popeq_peft.launch import ERROR, MEMORY, RankJob
from popeq_peft.team import most_on_card_mb, open_team
from popeq_peft.tuned import FineTuned

_WATCH_S = 0.5


def main(file: Path) -> int:
    """Train, leave the memory taken; 1 after an error, of which a line is left."""
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        job = RankJob.model_validate_json(file.read_bytes())
        spec = {spec.name: spec for spec in popeq_predictors()}[job.predictor]
        parameters: Any = spec.parameters.model_validate(job.parameters)
        predictor: FineTuned[Any, Any] = load_object(spec.factory)(parameters, job.space)
        predictor.use_folder(job.state)
        predictor.report_to(partial(report_progress, job.state))
        with torch_threads(parameters.threads):
            team = open_team(cpu=job.cpu)
            predictor.train_members(job.seeds, job.train, job.validation, team)
    except Exception as error:
        known = isinstance(error, PopeqError)
        line = str(error) if known else f"{type(error).__name__}: {' '.join(str(error).split())}"
        if not known:
            traceback.print_exc()
        write_text(file.parent / ERROR, line)
        return 1
    resident, card = round(peak_memory_mb(), 1), most_on_card_mb()
    taken = {"rank": team.rank, "peak_memory_mb": resident, "gpu_memory_mb": card}
    write_text(file.parent / MEMORY.format(rank=team.rank), json.dumps(taken))
    return 0


def _die_with_parent(parent: int) -> None:
    """accelerate gives each process a session of its own, so nobody's group takes it along."""
    while os.getppid() == parent:
        time.sleep(_WATCH_S)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
