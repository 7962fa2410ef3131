"""Print what ``make bench`` measured: seconds, the peer's seconds, their ratio, and the target for each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tabulate import tabulate

#: Most seconds, or least ratio to the peer.
MOST_S = {"test_four_scores_of_30_prompts": 1.0, "test_start[import]": 0.4, "test_start[list]": 0.8}
LEAST_RATIO = {"test_grid_solve[all]": 5.0, "test_sample_kantorovich": 20.0}


def _print_sampling(benchmarks: list[dict]) -> None:
    """Samples per second of each way to sample a language model, and how many times faster splitting is."""
    speed = {
        b["params"]["way"]: b["extra_info"]["samples"] / b["stats"]["median"]
        for b in benchmarks
        if b["name"].startswith("test_sampling")
    }
    rows = [[way, per_s, speed["split"] / per_s] for way, per_s in speed.items()]
    if rows:
        print()
        print(
            tabulate(rows, ["sampling (stand-in)", "samples_per_s", "split_is_times_faster"], floatfmt=".1f")
        )


def main(path: str) -> None:
    """Read pytest-benchmark's JSON and print one row a measurement."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    medians = {b["name"]: b["stats"]["median"] for b in found["benchmarks"]}
    rows = []
    for name, median in medians.items():
        if "peer" in name or name.startswith("test_sampling"):
            continue
        peer = next(
            (m for n, m in medians.items() if "peer" in n and n == name.replace("ours", "peer")), None
        )
        label = name.replace("[ours]", "").replace("[ours-", "[").replace("-ours]", "]")
        ratio = peer / median if peer and "ours" in name else None
        target, met = "", ""
        if label in MOST_S:
            target, met = f"<= {MOST_S[label]} s", median <= MOST_S[label]
        elif label in LEAST_RATIO and ratio:
            target, met = f">= {LEAST_RATIO[label]:g} x", ratio >= LEAST_RATIO[label]
        shown = {True: "yes", False: "NO", "": ""}[met]
        rows.append([label.removeprefix("test_"), median, peer, ratio, target, shown])
    headers = ["measurement", "median_s", "peer_s", "times_faster", "target", "met"]
    print(tabulate(rows, headers, floatfmt=("", ".4f", ".4f", ".1f"), missingval=""))
    _print_sampling(found["benchmarks"])
    missed = [row[0] for row in rows if row[-1] == "NO"]
    print(f"\nmachine: {found['machine_info']['cpu'].get('brand_raw', 'unknown')}; medians; JSON: {path}")
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1])
