"""What a reporter hears of runs, in which order."""

from __future__ import annotations

import popeq


class Diary(popeq.Reporter):
    def __init__(self):
        self.lines = []

    def planned(self, plans):
        self.lines.append(f"planned {len(plans)}")

    def started(self, prompts, done):
        self.lines.append(f"started {prompts}, {done} done")

    def prompt_done(self, record, prompt_id):
        self.lines.append(f"{record.seed} {prompt_id}")

    def ended(self, run, drawn):
        self.lines.append(f"ended {run.record.seed} {run.record.status} {drawn}")

    def close(self):
        self.lines.append("closed")


def test_a_reporter_hears_of_every_run_and_prompt_once(small, tmp_path):
    settings = popeq.RunSettings(runs_dir=tmp_path / "runs", jobs=2)
    first, second = Diary(), Diary()
    popeq.run("prior", small, seeds=0, settings=settings, reporter=first)
    assert first.lines[:2] == ["planned 1", "started 4, 0 done"]
    assert sorted(first.lines[2:6]) == ["0 p08", "0 p09", "0 p10", "0 p11"]
    assert first.lines[6:] == ["ended 0 complete True", "closed"]
    popeq.run("prior", small, seeds=[0, 1], settings=settings, reporter=second)
    assert second.lines[:3] == ["planned 2", "ended 0 complete False", "started 4, 0 done"]
    assert second.lines[-2:] == ["ended 1 complete True", "closed"]
    assert len(second.lines) == 9
