"""Print what ``make bench`` measured: seconds, the peer's seconds, their ratio, and the target for each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tabulate import tabulate

#: Most seconds, or least ratio to the peer.
MOST_S = {"test_four_scores_of_30_prompts": 1.0, "test_start[import]": 0.4, "test_start[list]": 0.8}
LEAST_RATIO = {"test_grid_solve[all]": 5.0, "test_sample_kantorovich": 20.0}
LEAST_RATIO |= {"test_sinkhorn_step[loop]": 50.0, "test_lora_head_training": 1 / 1.5}
LEAST_RATIO |= {"test_sinkhorn_step[geomloss]": 1.0, "test_sinkhorn_step[solve_sample_batch]": 1.0}

#: How many times as many samples per second splitting draws as each peer, at least, with either model.
LEAST_SPLIT = {"generate": 40.0, "num_return_sequences": 8.0, "shared_prefix": 3.0}


def _print_sampling(benchmarks: list[dict]) -> list[str]:
    """Print samples per second of each way to draw from each language model; return the targets missed."""
    missed = []
    sampling = [b for b in benchmarks if b["name"].startswith("test_sampling")]
    for model in dict.fromkeys(b["params"]["name"] for b in sampling):
        ways = {b["params"]["way"]: b for b in sampling if b["params"]["name"] == model}
        speed = {way: b["extra_info"]["samples"] / b["stats"]["median"] for way, b in ways.items()}
        rows = []
        for way, per_s in speed.items():
            ratio, told = speed["split"] / per_s, ways[way]["extra_info"]
            least = LEAST_SPLIT.get(way)
            shown = ("", "") if least is None else (f">= {least:g} x", "yes" if ratio >= least else "NO")
            rows.append([way, per_s, told["valid"], told["distinct"], ratio, *shown])
            if "NO" in shown:
                missed.append(f"split against {way} ({model})")
        tokens = ways["split"]["extra_info"]["tokens"]
        headers = [f"{model} (a setting has up to {tokens} tokens)", "samples_per_s", "valid", "distinct"]
        print()
        print(
            tabulate(
                rows,
                [*headers, "split_is_times_faster", "target", "met"],
                floatfmt=("", ".1f", ".3f", ".1f", ".1f"),
            )
        )
    return missed


HEADERS = [
    "measurement",
    "size",
    "seconds",
    "floor_s",
    "floor",
    "times_floor",
    "peer_s",
    "peer",
    "times_faster",
    "target",
    "met",
]


def _row(benchmark: dict) -> list:
    """A row from what a test left in ``extra_info`` (see ``test_scale``)."""
    told = benchmark["extra_info"]
    seconds = told.get("seconds", benchmark["stats"]["min"])
    floor, peer, target = told.get("floor_s"), told.get("peer_s"), told.get("target")
    times = peer / seconds if peer else None
    words, met = "", ""
    if target and target[0] == "times":
        words, met = f">= {target[1]:g} x", times >= target[1]
    elif target and target[0] == "seconds":
        words, met = f"<= {target[1]:g} s", seconds <= target[1]
    elif target:
        words, met = target[2], target[1]
    return [
        told["row"],
        told["size"],
        seconds,
        floor,
        told.get("floor") if floor else None,
        seconds / floor if floor else None,
        peer,
        told.get("peer") if peer else None,
        times,
        words,
        {True: "yes", False: "NO", "": ""}[met],
    ]


def _rows(benchmarks: list[dict]) -> list[list]:
    medians = {b["name"]: b["stats"]["median"] for b in benchmarks}
    rows = []
    for benchmark in benchmarks:
        name, median = benchmark["name"], benchmark["stats"]["median"]
        if "row" in benchmark["extra_info"]:
            rows.append(_row(benchmark))
        if "row" in benchmark["extra_info"] or "peer" in name or name.startswith("test_sampling"):
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
        title, _, size = label.removeprefix("test_").rstrip("]").partition("[")
        rows.append(
            [title.replace("_", " "), size, median, None, None, None, peer, None, ratio, target, shown]
        )
    return rows


def main(path: str) -> None:
    """Read pytest-benchmark's JSON, print one row a measurement, and exit with 1 if a target is missed."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    rows = _rows(found["benchmarks"])
    formats = ("", "", ".4f", ".4f", "", ".1f", ".4f", "", ".1f")
    print(tabulate(rows, HEADERS, floatfmt=formats, missingval=""))
    figures = [
        f"{b['extra_info']['row']}, {b['extra_info']['size']}: {b['extra_info']['figure']}"
        for b in found["benchmarks"]
        if "figure" in b["extra_info"]
    ]
    print("\n".join(["", *figures]))
    missed = [f"{row[0]} ({row[1]})" for row in rows if row[-1] == "NO"]
    missed += _print_sampling(found["benchmarks"])
    print(f"\nmachine: {found['machine_info']['cpu'].get('brand_raw', 'unknown')}; JSON: {path}")
    if missed:
        sys.exit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main(sys.argv[1])
