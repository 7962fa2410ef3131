"""Every measurement and simulation of this folder in a small form: it runs through and prints its rows.

No time is checked here; ``make bench`` does it.
"""

from __future__ import annotations

import numpy as np
import pytest

import popeq as package
from tests.bench import (
    big_board,
    coverage,
    curves,
    draw_noise,
    leaks,
    learning,
    personal,
    ranks,
    reference_lines,
)
from tests.bench import rendered_mmd as rendered
from tests.bench.__main__ import MEASUREMENTS, main, measure
from tests.bench.ratios import Row, table
from tests.conftest import write_small_dataset


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: m.__name__)
def test_measurement(measurement):
    rows = list(measurement(False))
    assert rows
    shown = table(rows, [])
    for row in rows:
        assert row.measurement in shown
        assert row.seconds > 0
        assert row.peer in shown
    assert "processor: " in shown


def fine(whole):
    yield Row(measurement="fine", size="1", seconds=1.0, peer="slow", peer_s=3.0, least_ratio=2.0)


def breaks_down(whole):
    yield Row(measurement="measured before", size="1", seconds=1.0)
    raise ValueError("no such model\nsecond line")


def slower_than_its_peer(whole):
    yield Row(measurement="slow", size="7", seconds=1.0, peer="quick", peer_s=1.5, least_ratio=2.0)


def test_the_table_is_printed_whatever_failed(capsys):
    assert measure([breaks_down, fine], True) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:2] == ["measured", "before"] for line in lines)
    assert any(line.split() == ["fine", "1", *line.split()[2:-1], "yes"] for line in lines)
    assert "FAILED breaks_down: ValueError: no such model" in lines


def test_a_limit_that_is_not_met_is_named(capsys):
    assert measure([fine], True) == 0
    assert "limits not met" not in capsys.readouterr().out
    assert measure([fine, slower_than_its_peer], True) == 1
    assert "limits not met: slow (7) quick" in capsys.readouterr().out.splitlines()
    too_long = Row(measurement="long", size="1", seconds=2.0, most_s=1.0)
    assert too_long.limit == ("<= 1 s", False)
    assert Row(measurement="wrong", size="1", seconds=2.0, claim=("small", False)).limit == ("small", False)


def test_measurements_are_chosen_by_name(capsys):
    assert main(["--small", "raw_points"]) == 0
    shown = capsys.readouterr().out
    assert "sample_kantorovich" in shown
    assert "popeq list" not in shown
    with pytest.raises(SystemExit):
        main(["--small", "no such measurement"])


def rows_of(text: str) -> list[str]:
    """The rows of printed tables, their headers left out."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [line for i, line in enumerate(lines) if i and "---" not in line]


def test_coverage_goes_on_from_what_was_kept(tmp_path, capsys):
    arguments = ["--prompts", "4", "--samples", "11", "--jobs", "1", "--keep", str(tmp_path)]
    tables = []
    for studies in ("2", "3", "3"):
        coverage.main([*arguments, "--worlds", studies])
        tables.append(capsys.readouterr().out)
    assert tables[0].count("| 4 | 2 |") == 2 * 6
    assert tables[1].count("| 4 | 3 |") == 2 * 6
    assert tables[1] == tables[2]


def test_ranks(capsys):
    ranks.main(["--boards", "1", "--prompts", "4", "--samples", "11", "--jobs", "1"])
    assert len(rows_of(capsys.readouterr().out)) == 2


def test_leaks(tmp_path, capsys):
    runs = tmp_path / "runs"
    runs.mkdir()
    first = min(folder for folder in leaks.COMMITTED.iterdir() if (folder / "run.json").is_file())
    (runs / first.name).symlink_to(first)
    leaks.main(["--panels", "1", "--samples", "11", "--runs", str(runs), "--real", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "| simulated-120, new panels | knn | 0.2 dB |" in shown
    assert "| 50% leaked, 1 dB |" in shown
    assert "0 of 1 runs flagged" in shown


def test_draw_noise(capsys):
    draw_noise.main(["random", "--blocks", "2", "--counts", "11"])
    (row,) = rows_of(capsys.readouterr().out)
    assert row.startswith("| random | 11 |")


def test_learning(capsys):
    learning.main(["--worlds", "2"])
    assert len(rows_of(capsys.readouterr().out)) == 12


def test_personal(capsys):
    personal.main(["--worlds", "2", "--people", "6"])
    gains, shrinkage, strength = capsys.readouterr().out.split("\n\n")
    assert [len(rows_of(each)) for each in (gains, shrinkage, strength)] == [40, 3, 4]


def test_rendered_mmd(tmp_path, capsys):
    few = ["--studies", "2", "--prompts", "6", "--samples", "22", "--distances", "3"]
    rendered.main(["unbiased", "--studies", "2"])
    assert len(rows_of(capsys.readouterr().out)) == 4
    rendered.main(["power", *few])
    assert len(rows_of(capsys.readouterr().out)) == 4
    rendered.main(["widths", *few])
    assert len(rows_of(capsys.readouterr().out)) == len(rendered.WIDTHS)
    rendered.main(["scales"])
    assert len(rows_of(capsys.readouterr().out)) == 6
    data = write_small_dataset(tmp_path / "data")
    runs = tmp_path / "runs"
    package.run(["random", "prior", "static-flat"], data, runs_dir=runs)
    rendered.main(["boards", str(runs), "-o", str(tmp_path / "picture.svg")])
    (row,) = rows_of(capsys.readouterr().out)
    assert row.startswith("| small (simulated) | 3 | ")
    assert "<svg" in (tmp_path / "picture.svg").read_text(encoding="utf-8")


def test_reference_lines(capsys):
    reference_lines.main(
        ["--prompts", "2", "--listeners", "5", "--populations", "simulated-120", "two groups"]
    )
    names = [row.split(" | ")[0] for row in rows_of(capsys.readouterr().out)]
    assert names == ["| simulated-120", "| two groups"]


def write_settings(folder):
    """Settings of the two published layouts: two tracks and two words of SAFE, two words of SocialEQ."""
    safe, socialeq, rng = folder / "safe.csv", folder / "socialeq.csv", np.random.default_rng(0)
    rows = []
    for i in range(24):
        word, track, who = ("warm", "bright")[i % 2], f"jazz{i // 2 % 2 + 1}", f"{i // 4:02d}"
        low, high = np.clip(rng.normal([8, -6] if word == "warm" else [-6, 9], 3), -12, 12).round(2)
        peaks = ["0", "500", "0.71", "0", "1000", "0.71", "0", "3300", "0.71"]
        knobs = [f"{low}", "150", *peaks, f"{high}", "5000"]
        rows.append([str(431 + i), word, "192.0.2.1", "2", "2", *knobs, who, track, *[""] * 5])
    safe.write_text("\n".join(map(",".join, rows)))
    bands = np.geomspace(20, 20_000, 40)
    header = ["descriptor", "audio_id", "ratings_consistency", *(f"RSC_{f:.2f}Hz_band" for f in bands)]
    rows = [header]
    for i in range(16):
        word, slope = ("warm", -1.2) if i % 2 else ("bright", 1.2)
        gains = slope * np.linspace(-1, 1, 40) + rng.normal(0, 0.2, 40)
        rows.append([word, "English", "8", "0.5", *(f"{g:.3f}" for g in gains)])
    socialeq.write_text("\n".join(map(",".join, rows)))
    return safe, socialeq


def test_curves(tmp_path, capsys):
    safe, socialeq = map(str, write_settings(tmp_path))
    few = ["--pairs", "orthogonal", "--predictors", "random", "prior", "--low-hz", "300", "--high-hz", "3000"]
    curves.main(["--safe", safe, "--socialeq", socialeq, *few, "--samples", "22"])
    shown = capsys.readouterr().out
    rows = rows_of(shown)
    kept = [row.split(" | ")[1] for row in rows if row.startswith(("| SAFE", "| SocialEQ"))]
    pairs = ["orthogonal", "shelves:300:3000 (best of the search)", "two principal components"]
    assert [name.strip() for name in kept] == 2 * pairs
    order = [row for row in rows if row.startswith(("| safe-lab", "| socialeq"))]
    assert len(order) >= 4
    assert all(row.split("|")[-2].strip() == "1.00" for row in order if "orthogonal" in row)


def test_the_scale_that_clips_alike_clips_no_more_and_is_the_largest(tmp_path):
    settings = curves.safe(write_settings(tmp_path)[0])
    share = settings.placed("orthogonal").share_clipped
    scale = curves.matched_scale(settings, "beosonic", share)
    assert scale < settings.scale
    assert settings.placed("beosonic", scale).share_clipped <= share
    assert settings.placed("beosonic", 1.03 * scale).share_clipped > share
    assert curves.matched_scale(settings, "orthogonal", share) == settings.scale


def test_big_board(tmp_path, capsys):
    data = write_small_dataset(tmp_path / "data", folds=True, prompts=6)
    big_board.main(["--methods", "2", "--jobs", "1", "--data", str(data)])
    shown = capsys.readouterr().out
    assert shown.startswith("1 methods, 6 prompts: ")
    assert "one more: " in shown
    assert "index.html: " in shown
