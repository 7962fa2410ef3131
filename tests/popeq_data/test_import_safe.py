"""SAFE-DB: who the listeners are, what is dropped, what never gets out, and the figures of the real file."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from popeq.dataset_folder import write_dataset
from popeq.eq import GRID_HZ, project
from popeq.errors import InvalidInputError, UsageError
from popeq_data.importers.options import SafeOptions
from popeq_data.importers.plane import place
from popeq_data.importers.safe import import_safe
from popeq_data.importers.safe_listeners import B_DESK_ENDS, B_LAST_ENDS, TRACKS, clean, recover
from popeq_data.importers.safe_rows import COLUMNS, curves, read_rows
from popeq_data.importers.source import Source
from popeq_data.importers.words import normalise, prompt_ids, sentence

WORDS = ("warm", "bright")


def settings_of(path):
    return recover(read_rows(Source(path, "a file")))


@pytest.fixture
def part_b(safe_row):
    """Part B as documented: a desk that served eleven, two further addresses, and a last block of four."""
    cells = [(word, track) for track in TRACKS for word in WORDS]
    spelling = (str.lower, str.title, str.upper)

    def run(first, last, address):
        ids = range(first, last + 1)
        return [
            safe_row(
                row_id,
                cells[min(i, 19)][0].title() if i % 3 else f"{cells[min(i, 19)][0]} ",
                address,
                gain=1 + 0.25 * i,
                genre=spelling[i % 3](cells[min(i, 19)][1]),
            )
            for i, row_id in enumerate(ids)
        ]

    rows = []
    for before, end in pairwise((844, *B_DESK_ENDS, 1076)):
        rows += run(before + 1, end, "192.0.2.7")
    rows += run(1077, 1097, "192.0.2.8") + run(1098, 1118, "192.0.2.9")
    for before, end in pairwise((1123, *B_LAST_ENDS)):
        rows += run(before + 1, end, "192.0.2.7")
    for row in rows:
        row[1] = {"980": "brght", "985": "wawrm "}.get(row[0], row[1])
    return rows


def test_part_b_has_17_listeners_who_each_begin_at_jazz1(part_b, write_csv):
    settings = [s for s in settings_of(write_csv(part_b)) if s.part == "B"]
    assert len(settings) == 354
    runs = defaultdict(list)
    for setting in settings:
        runs[setting.listener].append(setting)
    assert len(runs) == 17
    restarts = []
    for before, now in pairwise([None, *settings]):
        back = before is None or TRACKS.index(now.track) < TRACKS.index(before.track)
        restarts += [now.row.row_id] if back else []
    assert sorted(run[0].row.row_id for run in runs.values()) == restarts
    assert {run[0].track for run in runs.values()} == {"jazz1"}


def test_part_b_becomes_laboratory_prompts(part_b, write_csv):
    result = import_safe(write_csv(part_b), SafeOptions())
    assert result.report["listeners by part"] == {"B": 17}
    assert result.report["prompts"] == 20
    assert result.report["responses kept"] == 16 * 20 + 19


def test_a_misspelt_row_of_part_b_needs_the_rest_of_its_run(part_b, write_csv):
    alone = [row for row in part_b if row[0] in ("980", "985")]
    assert [(s.part, s.listener) for s in settings_of(write_csv(alone))] == [("B", "")] * 2


def test_participants_blocks_and_addresses_are_the_listeners(safe_row, write_csv):
    rows = [
        safe_row(430, "warm", "192.0.2.7"),
        safe_row(431, "warm", "192.0.2.7", genre="01", instrument="Jazz1"),
        safe_row(830, "Bright ", "192.0.2.7", genre="26", instrument="metal5"),
        *[safe_row(i, "warm", "192.0.2.8") for i in (1479, 1498, 1499, 1678)],
        safe_row(1679, "warm", ""),
    ]
    settings = settings_of(write_csv(rows))
    listeners = [s.listener for s in settings]
    assert listeners == ["home:192.0.2.7", "A:01", "A:26", "C:0", "C:0", "C:1", "C:9", ""]
    assert [s.track for s in settings[1:4]] == ["jazz1", "metal5", None]


def test_cleaning_gives_each_dropped_row_its_reason_and_keeps_the_last_setting(safe_row, write_csv):
    rows = [
        safe_row(1, "warm", gain=3),
        safe_row(2, "airy", gain=2),
        safe_row(3, "airy", gain=2),
        safe_row(4, "warn", gain=4),
        safe_row(5, "Warm ", "192.0.2.2", gain=3),
        safe_row(6, "thin", gain=0.05),
        safe_row(7, "Test_warm"),
        safe_row(8, "RE27"),
        safe_row(9, " ,"),
        safe_row(10, "boomy", ""),
        safe_row(431, "warm", genre="01", instrument="rock1"),
    ]
    kept, dropped = clean(settings_of(write_csv(rows)))
    assert [s.row.row_id for s in kept] == [3, 4, 5]
    assert Counter(dropped) == {
        "test rows (descriptor begins with 'test')": 1,
        "not a word (re27, jammy, kickclean, mix 1, empty)": 2,
        "flat setting (every gain under 0.1 dB)": 1,
        "listener not recorded": 1,
        "laboratory row without a known word and track": 1,
        "exact repeat by the same listener": 1,
        "replaced by the same listener's later setting": 1,
    }


def test_only_part_c_may_answer_a_word_again_until_one_a_listener_is_kept(safe_row, write_csv):
    rows = [
        safe_row(1479 + i, word, gain=(1 + i) / 2) for i, word in enumerate(["bright"] * 10 + ["warm"] * 10)
    ]
    rows += [
        safe_row(1500 + i, word, gain=(2 + i) / 2) for i, word in enumerate(["bright"] * 10 + ["warm"] * 9)
    ]
    path = write_csv(rows)
    kept, _ = clean(settings_of(path))
    assert len(kept) == 39
    result = import_safe(path, SafeOptions(part="all", min_responses=2))
    assert list(result.dataset.prompts["prompt_id"]) == ["word-bright", "word-warm"]
    assert result.report["responses kept"] == 4
    assert result.report["rows dropped"]["part C: another track for the same word, the last is kept"] == 35


def test_words_put_the_laboratory_and_people_at_home_in_groups(safe_row, write_csv):
    rows = [safe_row(i, "warm", f"192.0.2.{i}", gain=1 + i / 4) for i in (1, 2)]
    rows += [safe_row(i, "thin", f"192.0.2.{i}", gain=1 + i / 4) for i in (3, 4)]
    rows += [safe_row(431, "warm", genre="01", instrument="jazz1", gain=2)]
    rows += [safe_row(432, "warm", genre="01", instrument="jazz2", gain=4)]
    rows += [safe_row(1479, "warm", gain=3)]
    result = import_safe(write_csv(rows), SafeOptions(part="words", min_responses=2))
    data = result.dataset
    assert data.name == "safe-words"
    assert data.listener_groups == ("home", "lab")
    assert {p.prompt.prompt_id: sorted(p.groups) for p in data.labelled(data.test_ids)} == {
        "word-thin": ["home", "home"],
        "word-warm": ["home", "home", "lab", "lab"],
    }
    assert result.report["listeners by part"] == {"home": 4, "lab": 2}
    reason = "laboratory: another track for the same word, the last is kept"
    assert result.report["rows dropped"] == {reason: 1}


@pytest.mark.parametrize(
    ("typed", "word"),
    [
        (" Brite", "bright"),
        ("brght,", "bright"),
        ("birght ", "bright"),
        ("wawrm", "warm"),
        ("WARN", "warm"),
        ("bright  Agressive\tstrong", "bright aggressive strong"),
        ("Bass boost", "bass boost"),
    ],
)
def test_one_spelling_for_each_word(typed, word):
    assert normalise(typed) == word


def test_sentences_and_identifiers():
    assert sentence("tinny") == "make it sound tinny"
    assert sentence("radio") == "make it sound like a radio"
    assert sentence("bite") == "give it more bite"
    assert sentence("vocals") == "make it suit the vocals"
    ids = prompt_ids(["calido", "cálido", "温かい", "too much!"], "word-")
    assert ids["calido"] == "word-calido"
    assert ids["too much!"] == "word-too-much"
    assert len(set(ids.values())) == 4
    assert all(i.isascii() for i in ids.values())


def test_every_problem_is_reported_at_once_with_row_and_column(safe_row, write_csv):
    rows = [safe_row(i, "warm") for i in range(1, 7)]
    rows[0].pop()
    rows[1][5] = "loud"
    rows[2][16] = ""
    rows[3][9] = "0"
    rows[3][17] = "30000"
    rows[4][0] = "x1"
    rows[5][0] = "2.5"
    path = write_csv([*rows, safe_row(9, "warm"), safe_row(9, "warm")])
    with pytest.raises(InvalidInputError) as caught:
        import_safe(path, SafeOptions())
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (1, None),
        (2, "5 (low_shelf_gain_db)"),
        (3, "16 (high_shelf_gain_db)"),
        (4, "9 (peak1_q)"),
        (4, "17 (high_shelf_hz)"),
        (5, "0 (id)"),
        (6, "0 (id)"),
        (8, "0 (id)"),
    ]
    assert "has 24 columns" in str(caught.value)
    assert "'loud' is not a number" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\xef\xbb\xbf", "no rows"),
        (b"1,caf\xe9,\n", "row 1: byte 5 is not UTF-8"),
        (None, "the file is missing"),
    ],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "safe.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=message):
        import_safe(path, SafeOptions())


def test_a_gain_that_no_knob_has_is_refused(safe_row, write_csv):
    path = write_csv([safe_row(1, "warm", gain=99999.0)])
    with pytest.raises(InvalidInputError, match="beyond the plug-in's knobs"):
        import_safe(path, SafeOptions())


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="folder"):
        import_safe(tmp_path, SafeOptions())


@pytest.mark.parametrize(("part", "advice"), [("home", "--min-responses"), ("lab", "431-830")])
def test_a_part_with_nothing_left_is_refused(safe_row, write_csv, part, advice):
    path = write_csv([safe_row(1, "warm"), safe_row(2, "bright"), safe_row(3, "thin")])
    with pytest.raises(UsageError, match=advice):
        import_safe(path, SafeOptions(part=part))


def test_nothing_personal_gets_out(safe_row, write_csv, tmp_path):
    personal = ("PLACE", "EXPERIENCE", "AGE", "LANGUAGE", "HASH")
    rows = [
        safe_row(
            i, word, f"198.51.100.{i}", gain=i % 5 + 1, genre="GENRE", instrument="TOOL", personal=personal
        )
        for i, word in enumerate(("warm", "bright") * 5, 1)
    ]
    result = import_safe(write_csv(rows), SafeOptions(part="home", salt="pepper"))
    write_dataset(result.dataset, tmp_path / "out", str(result.report))
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir()).decode()
    for secret in ("198.51", "GENRE", "TOOL", "pepper", *personal):
        assert secret not in written


def test_listeners_are_hashes_that_only_a_given_salt_repeats(part_b, write_csv):
    path = write_csv(part_b)
    results = [import_safe(path, SafeOptions(salt=salt)) for salt in ("", "", "s", "s")]
    listeners = [set(r.dataset.responses["listener_id"]) for r in results]
    assert not listeners[0] & listeners[1]
    assert listeners[2] == listeners[3]
    assert all(len(i) == 12 and set(i) <= set("0123456789abcdef") for group in listeners for i in group)
    assert results[0].dataset.revision != results[1].dataset.revision
    assert results[2].dataset.revision == results[3].dataset.revision


def test_the_real_file_lets_nothing_personal_out(safe_csv, tmp_path):
    with safe_csv.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    secrets = {row[2].strip() for row in rows}
    secrets |= {row[i].strip() for row in rows for i in (20, 22, 23, 24)}
    participants = {row[18] for row in rows if 431 <= int(row[0]) <= 830}
    notes = {row[i].strip() for row in rows for i in (18, 21) if not row[i].strip().isdecimal()} - {""}
    for part in ("lab", "home", "all", "words"):
        folder = tmp_path / part
        result = import_safe(safe_csv, SafeOptions(part=part))
        readme = "\n".join(f"{k}: {v}" for k, v in result.report.items())
        written = write_dataset(result.dataset, folder, readme)
        assert written.revision == result.dataset.revision
        text = "\n".join(path.read_text(encoding="utf-8") for path in folder.iterdir())
        assert not [s for s in secrets - {""} if s in text]
        assert "203.0.113" not in text
        cells = set()
        for path in folder.glob("*.csv"):
            with path.open(encoding="utf-8", newline="") as stream:
                cells |= {cell for row in list(csv.reader(stream))[1:] for cell in row}
        assert not cells & participants
        assert not cells & notes - set(TRACKS)
        assert "-0.0" not in cells


def test_figures_of_the_laboratory_part(safe_csv, panel_distance):
    result = import_safe(safe_csv, SafeOptions(salt="figures"))
    data, report = result.dataset, result.report
    assert report["share of variance explained by the plane"] == pytest.approx(0.763, abs=0.001)
    assert report["share of responses clipped"] == pytest.approx(0.045, abs=0.0005)
    assert data.by_folds
    assert len(data.stages) == 10
    assert {len(stage.test) for stage in data.stages} == {2}
    by_word = {
        word: [
            data.points(f"lab-{word}-{track}") for track in TRACKS if f"lab-{word}-{track}" in data.test_ids
        ]
        for word in WORDS
    }
    assert [len(points) for points in by_word["warm"]] == [20] * 10
    clouds = [points for group in by_word.values() for points in group]
    spread = np.sqrt(np.mean([points.var(axis=0, ddof=1) for points in clouds], axis=0))
    np.testing.assert_allclose(spread, [2.0, 1.9], atol=0.2)
    pool = np.concatenate(clouds)
    uniform = np.random.default_rng(0).uniform(-6, 6, (4000, 2))
    # Part A alone has 20 listeners, so two panels of different people have 10 each.
    panels = [(c, c) for c in clouds]
    assert panel_distance(panels, size=10, disjoint=True) == pytest.approx(1.80, abs=0.15)
    tracks = [(a, b) for group in by_word.values() for a in group for b in group if a is not b]
    assert panel_distance(tracks, size=10, disjoint=True) == pytest.approx(1.96, abs=0.15)
    assert panel_distance([(c, pool) for c in clouds]) == pytest.approx(2.67, abs=0.15)
    assert panel_distance([(c, uniform) for c in clouds]) == pytest.approx(3.66, abs=0.25)
    others = [(a, b) for a in by_word["warm"] for b in by_word["bright"]]
    assert panel_distance(others) == pytest.approx(3.94, abs=0.4)


def test_listeners_of_the_laboratory_part_differ_in_strength_and_taste(safe_csv):
    data = import_safe(safe_csv, SafeOptions(salt="figures")).dataset
    rows = data.responses.assign(word=data.responses["prompt_id"].str.split("-").str[1])
    strength = (
        np.log(np.hypot(rows["x_db"], rows["y_db"]).clip(lower=0.05)).groupby(rows["listener_id"]).mean()
    )
    assert strength.std() == pytest.approx(0.39, abs=0.05)
    for axis, expected in (("x_db", 0.48), ("y_db", 0.56)):
        shared = []
        for _, group in rows.groupby("word"):
            table = group.pivot_table(index="listener_id", columns="prompt_id", values=axis)
            between = table.corr().to_numpy()
            shared.append(between[~np.eye(len(between), dtype=bool)].mean())
        assert np.mean(shared) == pytest.approx(expected, abs=0.07)


def test_block_a_before_clipping_and_all_cleaned_settings(safe_csv):
    cleaned, dropped = clean(settings_of(safe_csv))
    a = [s for s in cleaned if s.part == "A"]
    assert len(a) == 400
    assert len({s.listener for s in a}) == 20
    assert len({s.listener for s in cleaned if s.part == "C"}) == 10
    assert dropped["test rows (descriptor begins with 'test')"] == 184
    placed = place(curves([s.row for s in a]), 0.5)
    for word, centre in (("bright", [-0.54, 2.71]), ("warm", [-1.22, -1.40])):
        index = [i for i, s in enumerate(a) if s.row.word == word]
        np.testing.assert_allclose(placed.points[index].mean(axis=0), centre, atol=0.02)
    everything = curves([s.row for s in cleaned])
    assert place(everything, 1.0).share_clipped == pytest.approx(0.5, abs=0.02)
    assert place(everything, 0.5).share_clipped == pytest.approx(0.07, abs=0.01)


def test_a_quarter_of_the_listeners_make_warm_brighter(safe_csv):
    warm = [s for s in clean(settings_of(safe_csv))[0] if s.row.word == "warm"]
    tilts = defaultdict(list)
    for setting, point in zip(warm, place(curves([s.row for s in warm]), 0.5).clipped, strict=True):
        tilts[setting.listener].append(point[1])
    assert np.mean([np.mean(t) > 0 for t in tilts.values()]) == pytest.approx(0.25, abs=0.04)


def test_home_and_all_of_the_real_file(safe_csv):
    home = import_safe(safe_csv, SafeOptions(part="home"))
    counts = home.dataset.responses.groupby("prompt_id").size()
    assert home.report["prompts"] == len(counts) == 11
    assert counts.min() >= 4
    assert counts["word-warm"] > 20
    assert len(home.dataset.stages) == 5
    assert set(home.dataset.listeners["group"]) == {"home"}
    everything = import_safe(safe_csv, SafeOptions(part="all"))
    data = everything.dataset
    assert len(data.prompts) == data.prompts["prompt_id"].nunique() == 31
    assert everything.report["listeners by part"]["C"] == 10
    assert data.responses.groupby("prompt_id").size()["word-warm"] == counts["word-warm"] + 10
    for result in (home, everything):
        report = result.report
        assert sum(report["rows dropped"].values()) + report["responses kept"] == report["rows read"]
        assert report["published file"].startswith("no")


def test_there_are_25_names_for_25_columns(safe_row):
    assert len(COLUMNS) == len(set(COLUMNS)) == len(safe_row(1, "warm")) == 25


@pytest.mark.parametrize("name", ["beosonic", "shelves:300:3000"])
def test_the_pair_of_curves_is_the_data_sets(safe_row, write_csv, tmp_path, name):
    rows = [safe_row(431 + i, "warm", genre=f"{i // 2:02d}", instrument=f"jazz{i % 2 + 1}") for i in range(4)]
    path = write_csv(rows)
    usual = import_safe(path, SafeOptions(salt="s"))
    other = import_safe(path, SafeOptions(salt="s", curves=name))
    assert usual.dataset.space.curves == usual.report["curves"] == "orthogonal"
    assert usual.dataset.card.version == "1-scale-0.5"
    assert other.dataset.space.curves == other.report["curves"] == name
    assert other.dataset.card.version == f"1-scale-0.5-{name}"
    assert other.dataset.card.title.endswith(f"at scale 0.5, curves {name}")
    wanted = project(0.5 * curves([read_rows(Source(path, "a file"))[0]]), GRID_HZ, other.dataset.space)
    np.testing.assert_allclose(other.dataset.points("lab-warm-jazz1")[0], wanted[0], atol=6e-4)
    assert write_dataset(other.dataset, tmp_path / "out", "card").space.curves == name
    with pytest.raises(UsageError, match="no pair of curves is called 'beo'; did you mean"):
        import_safe(path, SafeOptions(curves="beo"))
