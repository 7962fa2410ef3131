"""What is asked, heard, shown and exported follows the data set's own box, step and pair of curves."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from tests.popeq_audio.conftest import RATE, SPACES

import popeq
from popeq.cli import popeq as command_line
from popeq.contract import Audio, Prompt
from popeq.eq import CurvePair, Section, curves, gain_db
from popeq.errors import UsageError
from popeq.space import PLANE, Space
from popeq_audio import bands
from popeq_audio.asking import Answer, ask
from popeq_audio.demo.oracle import plane_json
from popeq_audio.descriptors import describe, names
from popeq_audio.filtering import filter_taps
from popeq_audio.fitted import open_fitted
from popeq_audio.listening.analysis import chosen_settings, to_dataset
from popeq_audio.listening.making import ListeningSettings, make_test
from popeq_audio.listening.plan import Plan
from popeq_audio.listening.results import Rating
from popeq_audio.pictures import summary, terminal_plot
from popeq_audio.settings import box_in_words, in_words, space_json
from popeq_audio.track_effect import features_of

ABOUT = {"predictor": "prior", "dataset": "some", "simulated": True}


def answered(samples, space):
    return Answer("a sentence", np.asarray(samples, dtype=float), space, ABOUT)


def command(*arguments):
    return CliRunner().invoke(command_line, [str(a) for a in arguments])


@pytest.mark.parametrize("name", ["wide", "uneven"])
def test_what_is_recommended_is_offered_by_the_control_and_can_be_heard(spaces, own_cache, loop_file, name):
    space = SPACES[name].space
    answer = ask(open_fitted("prior", spaces[name]), "a slow waltz", 60)
    x, y = answer.recommended
    assert space.contains([x, y])
    assert (x, y) == tuple(space.nearest([x, y]))
    assert x > space.low[0] + 0.8 * space.size[0]
    content = answer.to_json()
    assert content["recommended"] == {"x_db": x, "y_db": y}
    assert content["modes"][0]["x_db"] == x
    assert content["space"]["curves"] == space.curves
    assert [content["space"][axis]["high_db"] for axis in "xy"] == space.high.tolist()
    target = loop_file.with_name("out.wav")
    heard = command(
        "render", loop_file, target, "--at", f"{x},{y}", "--dataset", spaces[name], "--quiet", "--no-match"
    )
    assert heard.exit_code == 0, heard.output
    assert f"setting {in_words((x, y), space)}: gain" in heard.output
    before, after = soundfile.read(loop_file)[0], soundfile.read(target)[0]
    size = 1 << 18
    frequency = np.fft.rfftfreq(size, 1 / RATE)
    there = np.abs(np.fft.rfft(before[:, 0], size))
    band = (frequency > 100) & (frequency < 10_000) & (there > np.median(there))
    gain = 20 * np.log10(np.abs(np.fft.rfft(after[:, 0], size))[band] / there[band])
    wanted = gain_db((x, y), frequency[band], space)
    assert np.abs(gain - wanted - np.median(gain - wanted)).max() < 0.5


def test_what_is_rendered_for_a_sentence_is_the_recommended_setting_of_its_space(
    spaces, own_cache, loop_file
):
    data, asked, given = spaces["uneven"], loop_file.with_name("asked.wav"), loop_file.with_name("given.wav")
    made = command(
        *("render", loop_file, asked, "--ask", "a slow waltz"),
        *("-p", "prior", "--dataset", data, "--quiet"),
    )
    assert made.exit_code == 0, made.output
    x, y = ask(open_fitted("prior", data), "a slow waltz").recommended
    assert f"recommended (X): {in_words((x, y), SPACES['uneven'].space)}\n" in made.output
    command("render", loop_file, given, "--at", f"{x},{y}", "--dataset", data, "--quiet")
    assert asked.read_bytes() == given.read_bytes()


@pytest.mark.parametrize("name", ["wide", "uneven"])
def test_a_setting_outside_the_box_is_refused_with_the_box_and_its_unit(spaces, loop_file, name):
    space = SPACES[name].space
    outside = f"{space.x_high_db + 0.5},0"
    refused = command("render", loop_file, "out.wav", "--at", outside, "--dataset", spaces[name]).exception
    assert isinstance(refused, UsageError)
    assert str(refused) == f"--at {outside}: is outside the box of {name}: {box_in_words(space)}"
    assert f"{curves(space).y.name} from {space.y_low_db:g} to {space.y_high_db:g} dB" in str(refused)
    for wrong in ("nan,0", "1", "a,b", "1,2,3", "inf,inf"):
        refused = command("render", loop_file, "out.wav", "--at", wrong, "--dataset", spaces[name])
        assert refused.exit_code == 2
        assert "must be two numbers, x and y in dB" in refused.output


def test_the_recommended_setting_is_on_the_steps_and_the_modes_too():
    space = Space(0.0, 10.0, -3.0, 3.0, 0.5, "beosonic")
    rng = np.random.default_rng(1)
    samples = [rng.normal((1.7, -1.6), 0.2, (40, 2)), rng.normal((8.2, 1.9), 0.2, (60, 2))]
    answer = answered(space.clip(np.concatenate(samples)), space)
    assert answer.settings == [(8.0, 2.0), (1.5, -1.5)]
    lines = summary(answer)
    assert lines[0] == "recommended (X): energy +8 dB, brightness +2 dB"
    assert lines[2] == "2 modes: 60% around (+8, +2); 40% around (+1.5, -1.5)"
    plot = terminal_plot(answer)
    assert "brightness y (dB)" in plot
    assert "energy x (dB)" in plot
    assert plot.count("X") == 2  # in the plane and in the summary


def test_chance_counts_only_settings_of_the_box():
    for space in (PLANE, Space(0.0, 3.0, -1.0, 1.0), Space(0.0, 1.0, 0.0, 1.0), Space(-9.0, 9.0, 0.0, 2.0)):
        uniform = np.random.default_rng(2).uniform(space.low, space.high, (100_000, 2))
        near = np.linalg.norm(uniform - (space.low + space.high) / 2, axis=1) <= 2.0
        found = answered([[space.x_low_db, space.y_low_db]], space).chance_share
        assert found == pytest.approx(near.mean(), abs=0.006)
        assert found <= 1.0


def test_a_setting_has_the_names_of_its_axes_and_as_many_decimals_as_it_needs():
    assert in_words((2.5, -1.0), PLANE) == "smile +2.5 dB, tilt -1 dB"
    assert in_words((0.0, -0.0001), PLANE) == "smile +0 dB, tilt +0 dB"
    fine = Space(step_db=0.125, curves="beosonic")
    assert in_words((0.125, -5.875), fine) == "energy +0.125 dB, brightness -5.875 dB"


def test_the_page_is_told_the_axes_the_corners_and_the_gains():
    space = Space(0.0, 10.0, -3.0, 3.0, 0.5, "beosonic")
    plane = plane_json(space)
    assert plane["x"]["name"] == "energy"
    assert plane["y"]["offered_db"] == [-3.0, 3.0]
    assert (plane["step_db"], plane["decimals"], plane["corners"]) == (0.5, 1, [])
    assert (plane["most_db"], plane["loudest_db"]) == (12.0, 9.0)  # 2 (10 + 3) / 3 dB of treble
    assert [b["kind"] for b in plane["bands"]] == ["low_shelf", "high_shelf"]
    wide = plane_json(Space(-12.0, 12.0, -12.0, 12.0))
    assert (wide["most_db"], wide["loudest_db"]) == (24.0, 24.0)
    assert {(c["right"], c["top"]): c["text"] for c in wide["corners"]} == curves(PLANE).corners
    assert json.loads(json.dumps(wide)) == wide
    assert space_json(Space(-1.0, 1.0, -1.0, 1.0, 0.3))["x"]["offered_db"] == [-0.9, 0.9]


def pair_of(kind, q):
    """A pair for tests: x moves one section, y another of the same kind."""

    def made(point):
        x, y = np.asarray(point).tolist()
        return Section(kind, 200.0, x, q), Section(kind, 3000.0, y, q)

    def curve_db(points, frequency_hz):
        flat = [bands.response_db(made(p), frequency_hz) for p in points.reshape(-1, 2)]
        return np.reshape(flat, (*points.shape[:-1], len(frequency_hz)))

    beosonic = curves(Space(curves="beosonic"))
    return CurvePair("mine", beosonic.x, beosonic.y, beosonic.corners, curve_db, sections=made)


def test_a_browser_gets_the_sections_of_a_pair_where_its_filters_are_those(monkeypatch):
    space = Space(curves="beosonic")
    table = bands.band_table(space, 4)
    assert table.shapes == (("low_shelf", 100.0, 0.7), ("high_shelf", 10_000.0, 0.7))
    np.testing.assert_allclose(table.gains_db[0, 4], [-6.0, 0.0], atol=1e-12)  # x -6, y 6: bass alone down
    np.testing.assert_allclose(table.gains_db[4, 4], [0.0, 8.0], atol=1e-12)
    for kind, q, own in (("peak", 2.0, True), ("low_shelf", 2.0, False), ("low_shelf", 0.71, True)):
        pair = pair_of(kind, q)
        monkeypatch.setattr(bands, "curves", lambda _, pair=pair: pair)
        monkeypatch.setattr(bands, "gain_db", lambda p, f, _, pair=pair: pair.curve_db(p, f))
        assert (bands.band_table(PLANE, 2).shapes != bands.BANDS) == own
        assert bands.fit_bands((1.5, -2.0)).exact  # an export can have any Q
    monkeypatch.setattr(bands, "curves", lambda _: dataclasses.replace(pair, sections=None))
    found = bands.fit_bands((1.5, -2.0))
    assert (found.exact, len(found.bands)) == (False, 5)
    assert found.error_db < 0.3


def test_descriptors_of_tracks_are_in_the_space_and_move_with_a_setting():
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=4 * RATE))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0))  # pink
    for curve in ("beosonic", "shelves:300:3000"):
        space = Space(curves=curve)
        pair, taps = curves(space), filter_taps((3.0, -2.0), RATE, space)
        before = describe(noise, RATE, space)
        after = describe(np.convolve(noise, taps[:4096])[: len(noise)], RATE, space)
        assert tuple(before) == names(space)
        assert after[f"{pair.x.name}_db"] - before[f"{pair.x.name}_db"] == pytest.approx(3.0, abs=0.3)
        assert after[f"{pair.y.name}_db"] - before[f"{pair.y.name}_db"] == pytest.approx(-2.0, abs=0.3)
    assert {"energy_db", "brightness_db"} < set(names(Space(curves="beosonic")))


def test_the_command_features_describes_in_the_space_of_the_data_set(spaces, tmp_path, loop):
    folder = tmp_path / "data"
    (folder / "audio").mkdir(parents=True)
    (folder / "dataset.toml").write_text((spaces["uneven"] / "dataset.toml").read_text())
    soundfile.write(folder / "audio" / "loop.wav", loop, RATE)
    made = command("features", folder)
    assert made.exit_code == 0, made.output
    assert "17 descriptors" in made.output
    header = (folder / "features.csv").read_text().splitlines()[0]
    assert header == ",".join(["audio_id", *names(SPACES["uneven"].space)])
    track = Prompt("p", "warm", "c", audio_id="loop", audio=Audio({}, folder / "audio" / "loop.wav"))
    assert tuple(features_of(track, SPACES["uneven"].space)) == names(SPACES["uneven"].space)
    (folder / "dataset.toml").unlink()
    assert "is not a data set folder" in str(command("features", folder, "--fresh").exception)


def test_exports_of_the_command_follow_the_space_and_say_where_they_go(spaces, own_cache, tmp_path):
    question = ("ask", "a slow waltz", "-p", "prior", "--dataset", spaces["uneven"], "-n", "40")
    made = command(*question, "--export", "easyeffects", "--to", tmp_path / "a.json")
    assert made.exit_code == 0, made.output
    assert "easyeffects: 2 bands, exactly the curve at 48 kHz, preamp" in made.output
    assert "~/.local/share/easyeffects/output" in made.output
    assert "~/.config/easyeffects/output" in made.output
    fir = command(
        *(*question, "--json", "--export", "fir.wav", "--to", tmp_path / "a.wav"),
        *("--rate", "44100", "--channels", "2"),
    )
    assert fir.exit_code == 0, fir.output
    assert "the exact curve, 44100 Hz, 2 channels" in fir.output
    info = soundfile.info(tmp_path / "a.wav")
    assert (info.samplerate, info.channels) == (44_100, 2)
    for form in ([], ["--export", "csv"]):
        refused = command(*question, *form, "--channels", "2")
        assert refused.exit_code == 2
        assert "--rate and --channels need --export fir.wav" in refused.output
    for flags in (["--rate", "7000"], ["--channels", "9"]):
        assert command(*question, "--export", "fir.wav", *flags).exit_code == 2


@pytest.fixture(scope="module")
def wide_run(spaces, tmp_path_factory):
    """Verified predictions on +-12 dB, half of them outside +-6 dB."""
    (run,) = popeq.run("prior", spaces["wide"], runs_dir=tmp_path_factory.mktemp("runs"))
    return run


def test_a_listening_test_keeps_the_box_of_its_data_set(spaces, wide_run, loop_file, tmp_path):
    space = SPACES["wide"].space
    options = ListeningSettings(points=((-12.0, 12.0),), count=2, seconds=1.0)
    plan = make_test([wide_run], [loop_file], tmp_path / "test", options)
    assert plan.space.space == space
    assert Plan.read(tmp_path / "test") == plan
    conditions = [c for t in plan.trials for c in t.conditions if c.x_db is not None]
    recommended = [(c.x_db, c.y_db) for c in conditions if c.method == wide_run.record.run_id]
    assert len(recommended) == 2
    assert min(min(point) for point in recommended) > 6.0
    np.testing.assert_array_equal(space.nearest(recommended), recommended)
    ratings = [
        Rating(listener, trial, c, 80.0 if c.method != "anchor" else 10.0)
        for listener in ("a", "b")
        for trial in plan.trials
        for c in trial.conditions
    ]
    data = to_dataset(ratings, plan, tmp_path / "chosen", simulated=True)
    assert data.space == space
    assert popeq.load_dataset(tmp_path / "chosen").space == space
    assert set(chosen_settings(ratings).values()) <= {(-12.0, 12.0), *recommended}


def test_a_listening_test_refuses_a_setting_outside_the_box_of_its_data_set(spaces, loop_file, tmp_path):
    points = ((1.0, 1.0), (5.0, 3.5))
    with pytest.raises(UsageError, match=r"--at 5,3.5: is outside the box of uneven: energy from 0 to 10 dB"):
        make_test(
            [],
            [loop_file],
            tmp_path / "test",
            ListeningSettings(points=points),
            popeq.load_dataset(spaces["uneven"]),
        )
    assert not (tmp_path / "test").exists()


def test_a_test_on_curves_of_sections_is_heard_with_them(spaces, loop_file, tmp_path):
    data = popeq.load_dataset(spaces["beosonic"])
    options = ListeningSettings(points=((6.0, 6.0), (0.0, 0.0)), count=1, seconds=2.0, kind="preference")
    plan = make_test([], [loop_file], tmp_path / "test", options, data)
    (trial,) = plan.trials
    folder = tmp_path / "test/webmushra/configs/resources" / plan.plan_id / trial.trial_id
    sounds = {c.method: soundfile.read(folder / f"{c.name}.wav")[0][:, 0] for c in trial.conditions}
    frequency = np.fft.rfftfreq(len(sounds["at 0,0"]), 1 / RATE)
    power = {method: np.abs(np.fft.rfft(sound)) ** 2 for method, sound in sounds.items()}

    def level(method, low, high):
        return 10 * np.log10(power[method][(frequency >= low) & (frequency < high)].sum())

    def lifted(low, high):
        return level("at 6,6", low, high) - level("at 0,0", low, high)

    assert lifted(14_000, 16_000) - lifted(300, 2000) == pytest.approx(
        gain_db((6.0, 6.0), [15_000.0], data.space)[0], abs=0.5
    )
