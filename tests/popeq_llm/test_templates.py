"""Templates are checked when read, and sentences go into them as they are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popeq.errors import UsageError
from popeq_llm.answers import AnswerFormat, answer_text, parse_answer
from popeq_llm.parameters import QaParameters, RetrievalParameters, ZeroParameters
from popeq_llm.templates import load_template, parse_template, settings_text
from popeq_llm.wordings import wording_names, wording_of

FEW = """\
{% block system %}
Go.
{% endblock %}
{% block user %}
Look.
{% for example in examples %}
S: {{ example.sentence }} = {{ example.settings }}

{% endfor %}
S: {{ sentence }}
{% endblock %}
"""


def block(text, name="user"):
    return f"{{% block {name} %}}{text}{{% endblock %}}"


@pytest.mark.parametrize("name", wording_names())
def test_every_wording_describes_the_settings_that_examples_show(name):
    few = load_template("few", wording=name)
    system, user = few.chat("dull", [("warm", np.array([[1.0, -2.0]]))])
    wording = wording_of(name)
    for part in (wording.role, wording.setting, wording.meaning):
        assert part in system.content
    assert f"Settings: {'[3.0, -1.0]' if name == 'gains' else '[1.0, -2.0]'}\n" in user.content
    others = {load_template("few", wording=other).sha256 for other in wording_names()}
    assert len(others) == len(wording_names())


def test_gains_are_those_of_the_setting_at_both_ends_of_the_spectrum():
    """x P2(u) + y P1(u) at u = -1 and u = 1; every setting of the plane has its own answer, and back."""
    form = AnswerFormat(2, gains=True)
    points = np.array([[6.0, -6.0], [-1.5, 0.3]])
    u = np.array([-1.0, 1.0])
    gains = points[:, :1] * (3 * u**2 - 1) / 2 + points[:, 1:] * u
    text = answer_text(points, form)
    np.testing.assert_allclose(np.array(json.loads(text)), gains, atol=1e-9)
    np.testing.assert_array_equal(parse_answer(text, form), points)
    for wrong in ("[[1.0, 2.1], [0.0, 0.0]]", "[[12.1, 0.0], [0.0, 0.0]]", "[[12.0, 12.0], [0.0, 0.0]]"):
        assert parse_answer(wrong, form) is None


def test_the_bundled_texts():
    system, user = load_template("zero").chat("make it warmer")
    assert (system.role, user.role) == ("system", "user")
    assert system.content.startswith("You choose a point on a map of equaliser settings. Answer")
    assert user.content == "Sentence: make it warmer"
    points = np.array([[1.0, -2.04], [-0.04, 6.0]])
    few = load_template("few").chat("dull", [("warm", points), ("cold", points[:1])])
    assert few[0] == system
    assert few[1].content == (
        "Listeners chose these settings for other sentences.\n"
        "Sentence: warm\nSettings: [1.0, -2.0], [0.0, 6.0]\n\n"
        "Sentence: cold\nSettings: [1.0, -2.0]\n\n"
        "Sentence: dull"
    )
    qa = load_template("qa").chat("dull", [("warm", points), ("cold", points[:1])])
    assert (
        "a list of 11 settings [[x, y], ...] in dB, as 11 different listeners would choose" in qa[0].content
    )
    assert qa[1] == few[1]


@given(st.lists(st.tuples(st.integers(-60, 60), st.integers(-60, 60)), min_size=1, max_size=30))
def test_settings_read_back(rows):
    points = np.array(rows) / 10
    pairs = re.findall(r"\[[^]]*\]", settings_text(points))
    np.testing.assert_array_equal([parse_answer(p, AnswerFormat())[0] for p in pairs], points)
    as_list = parse_answer(f"[{settings_text(points)}]", AnswerFormat(len(rows)))
    if len(rows) > 1:
        np.testing.assert_array_equal(as_list, points)


ODD = [
    "{{ examples }}",
    "{{ sentence }} {% raw %}",
    "{% endblock %}",
    "}{0}",
    "{# no comment #}",
    "line\n\n",
    "a\\1b\\g<0>",
    "日本語で暖かく",
    "é" * 9000,
    "",
]


@pytest.mark.parametrize("sentence", ODD)
def test_sentences_are_inserted_as_they_are(sentence):
    template = parse_template(FEW, "few", "t.txt")
    chat = template.chat(sentence, [(sentence, np.zeros((1, 2)))])
    assert chat[1].content == f"Look.\nS: {sentence} = [0.0, 0.0]\n\nS: {sentence}"
    (alone,) = parse_template(block("{{ sentence }}"), "zero", "t").chat(f"{sentence}.")
    assert alone.content == f"{sentence}."


def test_no_system_block_no_system_message():
    template = parse_template(block("{{ sentence }}"), "zero", "t")
    assert [m.role for m in template.chat("a")] == ["user"]


def test_single_braces_are_text():
    template = parse_template(block('{"x": 1} {} {sentence} {{ sentence }}'), "zero", "t")
    assert template.chat("a")[0].content == '{"x": 1} {} {sentence} a'


BAD = [
    ("few", FEW.replace("{{ sentence }}", ""), "does not use {{ sentence }}"),
    ("few", FEW.replace("{{ example.settings }}", ""), "does not use {{ example.settings }}"),
    (
        "few",
        block("{{ sentence }}"),
        "use {{ example.sentence }}; does not use {{ example.settings }}",
    ),
    ("few", FEW.replace("example.settings", "example.setings"), "cannot be filled in: .*setings"),
    ("qa", FEW.replace("system", "sytem"), "unknown block 'sytem'"),
    (
        "few",
        FEW.replace("Look", "{{ sentance }}"),
        r"'sentance' \(known here: sentence, examples, role",
    ),
    ("few", FEW.replace("{% endfor %}", ""), "line 11: .*endblock"),
    ("few", FEW + block("{{ sentence }}"), "line 12: block 'user' defined twice"),
    ("zero", FEW, r"unknown variable 'examples' \(known here: sentence, role, setting, meaning, mixture\)"),
    ("zero", "{{ sentence }}", "has no {% block user %}; has text outside of its blocks"),
    ("zero", "hello " + block("{{ sentence }}"), "has text outside of its blocks"),
    ("zero", "", "has no {% block user %}"),
    ("zero", block("{{ sentence.__class__.__mro__ }}"), "cannot be filled in: .*unsafe"),
    ("few", "--- system\nGo.\n--- user\n{examples}{sentence}\n", r"former format \('--- system'\)"),
]


@pytest.mark.parametrize(("kind", "text", "message"), BAD)
def test_a_wrong_template_is_one_line_with_its_name(tmp_path, kind, text, message):
    file = tmp_path / "mine.txt"
    file.write_text(text)
    with pytest.raises(UsageError, match=f"mine.txt: .*{message}") as caught:
        load_template(kind, file)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match=r"absent.txt: cannot be read: the file is missing"):
        load_template("zero", tmp_path / "absent.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        load_template("zero", tmp_path)
    (tmp_path / "latin.txt").write_bytes(b"{{ sentence }} \xe9")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_template("zero", tmp_path / "latin.txt")


def test_windows_files_are_the_same_template(tmp_path):
    (tmp_path / "unix.txt").write_bytes(FEW.encode())
    (tmp_path / "windows.txt").write_bytes(b"\xef\xbb\xbf" + FEW.replace("\n", "\r\n").encode())
    unix, windows = (load_template("few", tmp_path / f) for f in ("unix.txt", "windows.txt"))
    assert unix.sha256 == windows.sha256
    shown = [("b", np.zeros((1, 2)))]
    assert unix.chat("a", shown) == windows.chat("a", shown)


def test_a_runs_parameters_hold_the_templates_content(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text(FEW)
    first = RetrievalParameters(template=str(file))
    assert first.template_sha256 == load_template("few", file).sha256
    assert RetrievalParameters.model_validate(first.model_dump()) == first
    assert RetrievalParameters().template_sha256 is None
    file.write_text(FEW.replace("Look", "See"))
    assert RetrievalParameters(template=str(file)) != first
    with pytest.raises(UsageError, match=r"mine.txt: has changed since"):
        RetrievalParameters.model_validate(first.model_dump())


def test_a_template_is_checked_for_the_predictor_it_is_given_to(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text(FEW)
    assert QaParameters(template=str(file)).template == str(file)
    with pytest.raises(UsageError, match="unknown variable 'examples'"):
        ZeroParameters(template=str(file))
