"""Numbers in the forms that models write: read where a careful reader has one reading, refused otherwise."""

from __future__ import annotations

import pytest

from popeq_llm.answer_numbers import read_answer
from popeq_llm.answers import AnswerFormat, MixtureForm, parse_answer

ONE, TWO = AnswerFormat(), AnswerFormat(2)

READ = {
    "[-1.5, 2.0]": (-1.5, 2.0),
    "[\u22121.5, \u20132.0]": (-1.5, -2.0),
    "[\uff0d1.5, \u20102.0]": (-1.5, -2.0),
    "[+1.5, -0.0]": (1.5, 0.0),
    "[-1,5; 2,0]": (-1.5, 2.0),
    "[1,5, \u22122,0]": (1.5, -2.0),
    "[1.5,2.0]": (1.5, 2.0),
    "[ 1.5 ;\u00a02.0 ]": (1.5, 2.0),
    "[1, -2]": (1.0, -2.0),
    "[1.50, 2]": (1.5, 2.0),
    "\uff3b\uff11\uff0e\uff15\uff0c\uff0d\uff12\uff0e\uff10\uff3d": (1.5, -2.0),
    "[\U0001d7cf.\U0001d7d3, 0.0]": (1.5, 0.0),
    "```json\n[1.5, 2.0]\n```": (1.5, 2.0),
    '```\n{"x": -1.5, "y": 2}\n```': (-1.5, 2.0),
    '{"y": 2.0, "x": -1.5}': (-1.5, 2.0),
    '{"X": "\u22121.5", "Y": "2,0"}': (-1.5, 2.0),
    '{"settings": [{"y": 2, "x": 1}]}': (1.0, 2.0),
    '{"settings": [[1, 2]]}': (1.0, 2.0),
    '{"setting": [1.5, 2]}': (1.5, 2.0),
    '{"settings": ["[\u22121.5, 2.0]"]}': (-1.5, 2.0),
}


@pytest.mark.parametrize(("text", "setting"), READ.items())
def test_what_models_write_is_read(text, setting):
    assert read_answer(text, ONE).tolist() == [list(setting)]


@pytest.mark.parametrize(
    "text",
    [
        "[1,5]",  # 1.5, or 1 and 5
        "[1,2]",
        "[1,5,2,0]",
        "[1,5, 2.0]",
        "[1.500, 2.0]",  # thousands in some countries
        "[1,500; 2,000]",
        "[1.5.2, 0.0]",
        "[1.5, 2.0].",
        "I think [1.5, 2.0]",
        "[1.5, 2.0] or [0.5, 1.0]",
        "[[1.5, 2.0]]",
        "[1.25, 0.0]",
        "[6.1, 0.0]",
        "[16, 0]",
        "[- 1.5, 2.0]",
        "[\u20141.5, 2.0]",  # an em dash is no minus
        "[1\u20132, 3.0]",
        "[--1.5, 2.0]",
        "[01.5, 2.0]",
        "[.5, 2.0]",
        "[1., 2.0]",
        "[1e0, 2.0]",
        "[1.5\u00b2, 2.0]",
        "[\u0661\u066b\u0665, 2.0]",  # digits of other scripts: the Arabic 5 looks like an 0
        "[\u09ea.0, 2.0]",  # the Bengali 4 looks like an 8
        "[\u202e1.5, 2.0]",  # what is seen is in another order
        "[1\u00ad.5, 2.0]",
        "[-\u200b1.5, 2.0]",
        '{"x": 1, "x": 2, "y": 3}',
        '{"x": 1, "y": 2, "z": 3}',
        '{"x": 1}',
        '{"x": true, "y": 0}',
        '{"x": 1e0, "y": 2}',
        '{"x": 1.500, "y": 2}',
        '{"x": NaN, "y": 2}',
        '{"x": "1,500", "y": "2"}',
        '{"bass": 1, "treble": 2}',
        '{"settings": [1, 2, 3]}',
        '{"settings": []}',
        "{}",
        "[]",
        "1",
        "",
        "[" * 3000,
        "```json\n[1.5, 2.0]",
    ],
)
def test_what_may_be_another_number_is_refused(text):
    assert read_answer(text, ONE) is None


def test_lists_of_settings():
    for text in ("[[\u22121.5, 2.0], [1, 2]]", '{"settings": [[-1.5, 2], {"y": 2, "x": 1}]}'):
        assert read_answer(text, TWO).tolist() == [[-1.5, 2.0], [1.0, 2.0]]
    for text in ("[[1.5, 2.0]]", "[[1,2],[3,4]]", "[[1,5; 2,0], [1.5, 2.0]]", "[1.0, 2.0], [1.0, 2.0]"):
        assert read_answer(text, TWO) is None


def test_a_mixture_has_its_own_words_and_gains_have_no_x_and_y():
    words = "60% at [\u22121.5, 2.0] spread 1.2; 40% at [0.0, 0.0] spread 1.0."
    expected = parse_answer(words.replace("\u2212", "-"), MixtureForm())
    assert read_answer(words, MixtureForm()).tolist() == expected.tolist()
    assert read_answer(f'```\n{{"settings": ["{words}"]}}\n```', MixtureForm()).tolist() == expected.tolist()
    assert read_answer('{"x": 1, "y": 2}', AnswerFormat(gains=True)) is None
