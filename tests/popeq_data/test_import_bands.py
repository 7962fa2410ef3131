"""Settings of graphic equalisers, tone controls and parametric filters become points of the plane."""

from __future__ import annotations

import numpy as np
import pytest

from popeq.dataset_folder import read_dataset, write_dataset
from popeq.eq import GRID_HZ, gain_db, log_frequency
from popeq.errors import InvalidInputError, UsageError
from popeq.space import Space
from popeq_data.importers.band_columns import read_columns
from popeq_data.importers.bands import import_bands
from popeq_data.importers.options import BandsOptions
from popeq_data.importers.plane import better_pair, place

IDS = ["prompt_id", "listener_id"]
BANDS_HZ = [20.0, 200.0, 2000.0, 20000.0]
TILT = log_frequency(BANDS_HZ)
WHO = [["p1", "ann", "warm"], ["p2", "ann", "bright"]]


def table(names, rows):
    """A file of two prompts that carries their texts; a row of gains each."""
    return [[*IDS, "text", *names], *([*who, *row] for who, row in zip(WHO, rows, strict=True))]


@pytest.fixture
def read(write_csv):
    def read(rows, **options):
        return import_bands(write_csv(rows, "eq.csv"), BandsOptions(**options))

    return read


def test_graphic_bands_are_the_curve_itself(read, tmp_path):
    result = read(table(["20", "200 Hz", "2k", "20 kHz"], [2 * TILT + 5, [3.0] * 4]))
    data = result.dataset
    assert data.points("p1").tolist() == [[0.0, 2.0]]  # the level is free
    assert data.points("p2").tolist() == [[0.0, 0.0]]  # equal sliders are a level
    assert list(data.prompts["text"]) == ["warm", "bright"]
    assert result.report["share of variance explained by the plane"] == 1.0
    assert "warning" not in result.report
    assert "4 graphic bands (20 Hz, 200 Hz, 2000 Hz, 20000 Hz)" in result.report["equaliser"]
    assert write_dataset(data, tmp_path / "out", result.readme("bands")).revision == data.revision


def test_gains_can_be_scaled_and_ratios(read):
    rows = table(BANDS_HZ, [2 * TILT, -TILT])
    assert read(rows, scale=0.5).dataset.points("p1").tolist() == [[0.0, 1.0]]
    ratios = table(BANDS_HZ, [10 ** (2 * TILT / 20), 10 ** (-TILT / 20)])
    assert read(ratios, unit="ratio").dataset.responses.equals(read(rows).dataset.responses)


def test_tone_controls_are_shelves_and_a_peak(read):
    names = ["bass_100hz_db", "mid 1 kHz", "treble_10k"]
    data = read(table(names, [[6, 0, 0], [0, 0, 6]]), curves="beosonic").dataset
    # These are the product's own shelves, which have 6 and 8 dB in the corners.
    assert data.points("p1").tolist() == [[6.0, -6.0]]
    assert data.points("p2").tolist() == [[4.5, 4.5]]
    result = read(table(names, [[0, 4, 0], [0, -4, 0]]))
    assert result.dataset.points("p1")[0, 0] < -1 < 1 < result.dataset.points("p2")[0, 0]


@pytest.mark.parametrize("curves", ["beosonic", "shelves:300:3000"])
def test_parametric_filters_of_a_pair_give_its_settings_back(read, curves):
    names = [f"{part}_{i}" for i in (1, 2) for part in ("kind", "frequency", "gain", "q")]
    low_hz, high_hz, most = (100, 10_000, 8.0) if curves == "beosonic" else (300, 3000, 6.0)
    points = [(1.5, -2.0), (-3.0, 4.0)]
    rows = [
        ["low_shelf", low_hz, (x - y) / 2, 0.7, "High shelf", high_hz, (x + y) * most / 12, 0.7]
        for x, y in points
    ]
    data = read(table(names, rows), curves=curves).dataset
    np.testing.assert_allclose(np.concatenate([data.points("p1"), data.points("p2")]), points, atol=1e-3)


def test_a_filter_that_is_not_used_is_empty(read):
    names = ["kind_1", "frequency_1_hz", "gain_1_db", "q_1", "kind_2", "frequency_2", "gain_2", "q_2"]
    off = ["", "", "", ""]
    peak = ["peak", 1000, 6, 1]
    result = read(table(names, [[*peak, *off], [*off, *off]]))
    assert result.dataset.points("p2").tolist() == [[0.0, 0.0]]
    assert result.dataset.points("p1")[0, 0] < -1
    assert list(result.report["by band"])[:2] == ["62.5 Hz", "125 Hz"]


def test_little_variance_kept_is_a_warning_that_names_a_better_pair(read):
    bands = ["20", "400", "1600", "20k"]
    steps = [[1, 1, -1, -1], [-1, -1, 1, 1]]
    result = read(table(bands, steps), curves="beosonic")
    share = result.report["share of variance explained by the plane"]
    assert share < 0.7
    line = result.report["warning"]
    assert line == (
        f"the plane keeps {share:.0%} of the variance of the curves; --curves shelves:500:2000 keeps 97%, "
        "with 0% of the settings outside the box"
    )
    assert f"warning: {line}" in result.readme("bands")
    better = read(table(bands, steps), curves="shelves:500:2000").report
    assert better["share of variance explained by the plane"] == pytest.approx(0.97, abs=0.005)
    assert "warning" not in better


def test_a_pair_that_is_best_already_is_not_replaced():
    best = place(gain_db([[2.0, 1.0], [-1.0, 3.0]], GRID_HZ), 1.0)
    assert better_pair(best) is None


def test_shares_by_band_say_where_the_plane_leaves_most():
    space = Space(curves="shelves:300:3000")
    held = place(gain_db([[2.0, 1.0], [-1.0, 3.0]], GRID_HZ, space), 1.0, space)
    assert all(share > 0.999 for share, _, _ in held.by_band([60, 250, 1000, 1001, 8000]))
    narrow = 6 * np.exp(-((log_frequency(GRID_HZ) / 0.05) ** 2))
    shares = place(narrow[None], 1.0).by_band([100, 630, 8000])
    assert shares[1][2] == max(total for _, _, total in shares)
    assert shares[1][0] < 0.5
    with np.errstate(all="raise"):
        assert place(np.zeros((2, 256)), 1.0).by_band([100, 1000]) == [(1.0, 0.0, 0.0)] * 2


def test_prompts_come_from_the_rows_or_from_a_file(read, write_csv):
    rows = [[*IDS, *BANDS_HZ], ["p1", "ann", *TILT], ["p2", "ann", *TILT]]
    with pytest.raises(UsageError, match=r"has no column text; add it, or give the prompts by --prompts"):
        read(rows)
    prompts = write_csv(
        [["prompt_id", "text", "category", "split"], ["p1", "a", "c", "train"], ["p2", "b", "c", "test"]],
        "prompts.csv",
    )
    assert list(read(rows, prompts=prompts).dataset.prompts["split"]) == ["train", "test"]
    own = [
        [*IDS, "text", "category", "fold", "mood", *BANDS_HZ],
        ["p1", "ann", "warm", "c", 1, "calm", *TILT],
        ["p1", "bob", "warm", "c", 1, "calm", *TILT],
        ["p2", "bob", "bright", "c", 0, "calm", *TILT],
    ]
    asked = read(own, grouping=("mood",)).dataset.prompts
    assert list(asked[["fold", "category", "mood"]].itertuples(index=False, name=None)) == [
        (1, "c", "calm"),
        (0, "c", "calm"),
    ]
    own[2][2] = "cold"
    with pytest.raises(
        InvalidInputError, match="row 3, column text: is not that of row 2, which has the same"
    ):
        read(own, grouping=("mood",))
    with pytest.raises(UsageError, match="has no column tempo for --grouping"):
        read(own, grouping=("mood", "tempo"))


@pytest.mark.parametrize(
    ("names", "hz"),
    [
        (["60", "60.5 Hz", "gain_250hz_db", "1k", "1.5 kHz", "2,5 kHz", "band 4 kHz", "16k"],
         [60, 60.5, 250, 1000, 1500, 2500, 4000, 16000]),
        (["gain_60hz", "Gain 1KHZ (dB)"], [60, 1000]),
    ],
)  # fmt: skip
def test_forms_of_band_names(names, hz):
    columns = read_columns(names, "eq.csv", "dB")
    assert columns.layout == "graphic bands"
    assert [band.frequency_hz for band in columns.bands] == hz


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["60", "1k", "250"], "the bands are not ascending: '250' follows '1k'"),
        (["60", "60 Hz"], "the bands are not ascending: '60 Hz' follows '60'"),
        (["60"], "has a single band, '60'; a curve needs two bands or more"),
        ([], "has no band"),
        (["60_db", "1k_ratio"], "mixed units: column '60_db' is in dB, '1k_ratio' a ratio"),
        (["60_ratio", "1k"], "mixed units: column '60_ratio' is in ratio; give --unit ratio"),
        (["1", "60"], "column 1: 1 Hz is outside the audible range, 20 to 20000 Hz"),
        (["60", "25k"], "column 25k: 25000 Hz is outside the audible range"),
        (["60", "1,250 Hz"], "column 1,250 Hz: 1,250 can be two frequencies"),
        (["60", "loud"], "column loud: is no band; name graphic bands by their frequency"),
        (["bass", "treble_10k"], "column bass: has no frequency; write bass_100hz, say"),
        (["bass_100hz", "1k", "treble_10k"], "tone controls are bass, mid and treble, each once"),
        (["bass_100hz", "bass_1k"], "tone controls are bass, mid and treble, each once"),
        (["kind_1", "frequency_1", "gain_1"], "filter 1 has no column q_1"),
        (["kind_1", "frequency_1", "gain_1", "q_1", "60"], "column 60: belongs to no parametric filter"),
        (["kind_1", "frequency_1", "gain_1", "gain_1_db", "q_1"], "column gain_1_db: filter 1 has this"),
        (["kind_1", "frequency_1", "gain_1_ratio", "q_1"], "mixed units: column 'gain_1_ratio' is in ratio"),
    ],
)  # fmt: skip
def test_columns_that_are_no_equaliser_are_one_line(read, names, message):
    with pytest.raises(UsageError) as caught:
        read_columns(names, "eq.csv", "dB")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_problems_of_rows_are_reported_at_once(read):
    names = [f"{part}_1" for part in ("kind", "frequency", "gain", "q")]
    rows = [
        [*IDS, "text", *names],
        ["p1", "ann", "warm", "bell", 100, 1, 1],
        ["p1", "bob", "warm", "peak", 10, 1, 1],
        ["p1", "cat", "warm", "peak", 100, 70, 0],
        ["p2", "dan", "loud", "", 100, "", ""],
        ["p2", "dan", "loud", "peak", "x", 1, 1],
    ]
    with pytest.raises(InvalidInputError) as caught:
        read(rows)
    assert {(p.row, p.column) for p in caught.value.problems} == {
        (2, "kind_1"),
        (3, "frequency_1"),
        (4, "gain_1"),
        (4, "q_1"),
        (5, "frequency_1"),
        (6, "frequency_1"),
        (6, "listener_id"),
    }
    graphic = table(BANDS_HZ, [[0, 0, 0, 61], [0, 0, 0, 0]])
    with pytest.raises(InvalidInputError, match=r"row 2, column 20000.0: 61 dB is no gain from -60 to 60 dB"):
        read(graphic)


def test_settings_outside_the_box_are_refused_or_clipped(read):
    rows = table(BANDS_HZ, [9 * TILT, TILT])
    with pytest.raises(UsageError, match=r"outside the box .*row 2; give --box -9,9 to keep them all"):
        read(rows)
    assert read(rows, box="-9,9").dataset.points("p1").tolist() == [[0.0, 9.0]]
    clipped = read(rows, outside="clip")
    assert clipped.dataset.points("p1").tolist() == [[0.0, 6.0]]
    assert clipped.report["responses moved to the edge of the box"] == {
        "y_db": "1 of 2, by 3 dB on average and 3 dB at most"
    }


def test_a_setting_in_the_corner_of_the_box_is_not_outside(read):
    corner = [gain_db([x, y], BANDS_HZ) for x, y in ((0, 6), (0, -6))]
    assert read(table(BANDS_HZ, corner)).dataset.points("p1").tolist() == [[0.0, 6.0]]


def test_the_command_reads_a_european_file(popeq_inside, tmp_path):
    lines = [";".join([*IDS, "text", "60", "1,5 kHz", "12k"])]
    for who, gains in zip(WHO, ("3,5;0;-2", "-4;0,5;8,25"), strict=True):
        lines.append(";".join([*who, gains]))
    (tmp_path / "eq.csv").write_bytes("\r\n".join(lines).encode("utf-16"))
    words = ("data", "import", "bands", tmp_path / "eq.csv", "--box", "-12,12", "--step", "0.5")
    made = popeq_inside(*words, "--curves", "shelves:300:3000", "-o", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    assert "share of variance explained by the plane: 0." in made.stdout
    data = read_dataset(tmp_path / "out")
    assert data.space == Space(-12, 12, -12, 12, 0.5, "shelves:300:3000")
    assert "12000 Hz: " in (tmp_path / "out" / "README.md").read_text()
    refused = popeq_inside(*words, "--decimal", ".", "-o", tmp_path / "no")
    assert refused.returncode == 2
    assert "row 2, column 60: '3,5' is not a number" in refused.stderr
    wrong = popeq_inside(*words[:-1], "7", "-o", tmp_path / "no")
    assert wrong.stderr.startswith("popeq: import bands: --box and --step: step_db 7 does not divide the box")
