"""Answers of servers: whatever a response holds, no exception, and no number that a careful human would read
as another one.

``readings`` is that human: it shares no code and no pattern with popeq's reading. It looks at characters by
their names in Unicode, takes every way to read the marks between digits, and does not say which is right.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from popeq_llm.answer_numbers import read_answer
from popeq_llm.answers import AnswerFormat, Bound, FreeText, MixtureForm, parse_answer
from popeq_llm.served_questions import right_answer
from popeq_llm.served_reply import ErrorBody, listing_of, message_of, read_reply

FORMS: tuple[Bound, ...] = (AnswerFormat(), AnswerFormat(2), MixtureForm())
_DIGITS = {
    word: str(i)
    for i, word in enumerate(["ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE"])
}
_MARKS = {"FULL STOP": ".", "COMMA": ",", "PLUS SIGN": "+", "SEMICOLON": ";"}
_MINUSES = ("HYPHEN-MINUS", "MINUS SIGN", "HYPHEN", "NON-BREAKING HYPHEN", "FIGURE DASH", "EN DASH")


def check(content: bytes) -> bool:
    """Read a response in every way; whether any answer in it was taken."""
    for text in (message_of(content), listing_of(content, "a")):
        assert "\n" not in text
        assert len(text) <= 160
    reply = read_reply(content)
    if reply is None or isinstance(reply, ErrorBody):
        assert reply is None or 400 <= reply.status < 600
        return False
    assert str(reply.source).isprintable()
    taken = False
    for choice in reply.choices:
        assert choice.shown.isprintable()
        assert choice.text or choice.why_empty
        whole = right_answer(choice, FreeText())
        assert whole is None or whole == whole.strip() != ""
        for form in FORMS:
            answer = right_answer(choice, form)
            points = read_answer(choice.text, form)
            assert (answer is None) == (points is None)
            if answer is None or points is None:
                continue
            taken = True
            assert (parse_answer(answer, form) == points).all(), "what is kept reads back the same"
            numbers = tuple(round(float(number), 6) for number in points.ravel())
            assert readings(choice.text, len(numbers)) == {numbers}, (choice.text, numbers)
    return taken


def readings(text: str, count: int) -> set[tuple[float, ...]]:
    """Every sequence of ``count`` numbers that a careful human may read in a text; none if parts of it cannot
    be read with certainty."""
    seen = [_seen(character) for character in text.strip()]
    if None in seen:
        return set()
    plain = "".join(part for part in seen if part is not None)
    found = []  # each number with what stands before it, up to the number before
    start = 0
    for begin, end in _runs(plain):
        before, after = plain[start:begin], plain[end : end + 1]
        sign = before[-1:] if before[-1:] in ("-", "+") else ""
        outside = before[:-1][-1:] if sign else before[-1:]
        # A comma between a blank or a digit and a sign separates; one right before a digit may be decimal.
        separated = sign or before[-2:-1].isspace()
        unclear = ("-", "+", ".") if separated else ("-", "+", ".", ",")
        if outside.isalnum() or outside in unclear or after.isalpha() or after in ("-", "+", "/"):
            return set()
        ways = {_signed(sign, way) for way in _ways(plain[begin:end])}
        found.append((_label(before), ways))
        start = end
    labels = [label for label, _ in found]
    total = set()
    for chosen in itertools.product(*(ways for _, ways in found)):
        numbers = tuple(number for way in chosen for number in way)
        if len(numbers) == count:
            total.add(_in_order(labels, numbers) if any(labels) else numbers)
    return total


def _seen(character: str) -> str | None:
    """What a character looks like, in ASCII where that is certain; None for what cannot be seen or known."""
    if character.isascii():
        return character if character.isprintable() or character in "\n\t\r\x0b\x0c" else None
    if character.isspace():
        return " "
    name = unicodedata.name(character, "")
    if character.isnumeric():
        look, _, word = name.rpartition(" ")
        certain = look.startswith(("FULLWIDTH", "MATHEMATICAL", "SEGMENTED")) and look.endswith("DIGIT")
        return _DIGITS[word] if certain else None
    if name.removeprefix("FULLWIDTH ").removeprefix("SMALL ") in _MINUSES:
        return "-"
    if name.startswith(("FULLWIDTH", "IDEOGRAPHIC")):
        # A wide mark has a blank of its own.
        mark = _MARKS.get(name.split(" ", 1)[1], character)
        return f"{mark} " if mark in ",;" else mark
    return character if unicodedata.category(character)[0] in "LPS" else None


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Where digits and the marks between them begin and end."""
    at = 0
    while at < len(text):
        if text[at] not in "0123456789":
            at += 1
            continue
        end = at
        while end < len(text) and text[end] in "0123456789.,":
            end += 1
        last = end
        while text[last - 1] in ".,":
            last -= 1
        yield at, last
        at = end


def _ways(run: str) -> set[tuple[str, ...]]:
    """The numbers, as Python writes them, that a run of digits and marks may be."""
    marks = [character for character in run if character in ".,"]
    ways: set[tuple[str, ...]] = set()
    if not marks:
        ways.add((run,))
    if len(marks) == 1:
        whole, part = run.replace(",", ".").split(".")
        ways.add((f"{whole}.{part}",))
        if len(part) == 3 and whole != "0":
            ways.add((whole + part,))  # thousands
    if "," in marks:
        pieces = run.split(",")
        if all(piece.count(".") <= 1 and piece.strip(".") == piece and piece for piece in pieces):
            ways.add(tuple(pieces))
            if any(len(piece.partition(".")[2]) == 3 for piece in pieces):
                ways.add(tuple(piece.replace(".", "") for piece in pieces))
    return ways


def _signed(sign: str, numbers: tuple[str, ...]) -> tuple[float, ...]:
    first, *rest = (float(number) for number in numbers)
    return (round(-first if sign == "-" else first, 6) + 0.0, *(round(number, 6) + 0.0 for number in rest))


def _label(before: str) -> str:
    """The name x or y that a number has, if it has one."""
    words = "".join(c if c.isalnum() else " " for c in before).split()
    return words[-1].lower() if words and words[-1].lower() in ("x", "y") else ""


def _in_order(labels: list[str], numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Numbers with names, pair by pair, x before y; without names where these do not go in pairs."""
    if len(labels) != len(numbers) or len(numbers) % 2:
        return ()
    made: list[float] = []
    for i in range(0, len(numbers), 2):
        pair = dict(zip(labels[i : i + 2], numbers[i : i + 2], strict=True))
        if pair.keys() == {"x", "y"}:
            made += [pair["x"], pair["y"]]
        elif pair.keys() == {""} or labels[i : i + 2] == ["", ""]:
            made += numbers[i : i + 2]
        else:
            return ()
    return tuple(made)


_RIGHT_SIGNS = st.sampled_from(["", "", "-", "\u2212", "\u2013", "\uff0d", "+"])
_SIGNS = st.sampled_from([*"-\u2010\u2011\u2012\ufe63\u2014\u00ad\u207b\uff0b", "--", "- ", "~", ""])
_POINTS = st.sampled_from([".", ",", "\uff0e", "\uff0c", "\u066b", "\u00b7", " .", "'"])
_ZEROS = st.sampled_from([0, 0, 0, 0xFF10, 0x1D7CE, 0x660, 0x6F0, 0x9E6, 0x966, 0x1FBF0, 0x2080, 0x2460])
_RIGHT_BETWEEN = st.sampled_from([", ", ", ", "; ", ";", "\uff0c", ",\u00a0"])
_BETWEEN = st.sampled_from([",", " ,", "\u3001", " ", "/", ", , ", "\t", " and "])
_FRAMES = st.sampled_from(["{}"] * 10 + ["```json\n{}\n```", "```\n{}```", " {}\n", "Sure: {}", "{}."])
_THOUGHTS = [*[""] * 12, "<think>[1.0, 1.0]</think>", "<think>", "hm</think>\n", "[THINK]x[/THINK]"]


@st.composite
def _numbers(draw: DrawFn, point: str) -> str:
    """A number as somebody may write it, more often right than not."""
    if draw(st.sampled_from([True] * 11 + [False])):
        whole, part = draw(st.sampled_from("012345")), draw(st.sampled_from(["0", "3", "5", "50"]))
        return f"{draw(_RIGHT_SIGNS)}{whole}{point}{part}"
    whole = draw(st.sampled_from([*"0123456", "10", "12", "01", ""]))
    part = draw(st.sampled_from(["", "", "0", "25", "500", "000", "5e0", "5.1"]))
    text = whole + (draw(_POINTS) + part if part else "")
    if zero := draw(_ZEROS):
        text = "".join(chr(zero + int(c)) if c in "0123456789" else c for c in text)
    return draw(_SIGNS) + text


@st.composite
def _pairs(draw: DrawFn) -> str:
    """A setting, in a list or as an object."""
    point = draw(st.sampled_from("...,"))
    x, y = draw(_numbers(point)), draw(_numbers(point))
    quote = draw(st.sampled_from(["", '"']))
    form = draw(st.sampled_from(["list"] * 12 + ["object", "turned", "wide", "round", "twice", "more"]))
    if form in ("object", "turned", "twice", "more"):
        names = {"object": "xy", "turned": "yx", "twice": "xx", "more": "xyz"}[form]
        values = [x, y, x][: len(names)]
        inside = ", ".join(f'"{n}": {quote}{v}{quote}' for n, v in zip(names, values, strict=True))
        return f"{{{inside}}}"
    odd = draw(st.sampled_from([False] * 7 + [True]))
    between = draw(_BETWEEN if odd else _RIGHT_BETWEEN)
    blank = draw(st.sampled_from([" ", "\u200b", "\u202e", "\n"])) if odd else ""
    left, right = {"wide": "\uff3b\uff3d", "round": "()"}.get(form, "[]")
    return f"{left}{blank}{x}{between}{y}{right}"


@st.composite
def _texts(draw: DrawFn) -> str:
    """The text of an answer."""
    pairs = draw(st.lists(_pairs(), min_size=1, max_size=2))
    quoted = [json.dumps(pair, ensure_ascii=draw(st.booleans())) for pair in pairs]
    words = "; ".join(f"50% at {pair} spread 1.2" for pair in pairs) + "."
    several = f"[{', '.join(pairs)}]"
    text = draw(
        st.sampled_from(
            [
                pairs[0] if len(pairs) == 1 else several,
                several,
                f'{{"settings": {several}}}',
                f'{{"settings": [{", ".join(quoted)}]}}',
                f'{{"setting": {pairs[0]}}}',
                words,
                json.dumps({"settings": [words]}),
            ]
        )
    )
    text = draw(_FRAMES).replace("{}", text)
    if draw(st.sampled_from([False] * 6 + [True])):  # a character put in anywhere
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.characters(codec="utf-8")) + text[at:]
    return draw(st.sampled_from(_THOUGHTS)) + text


@st.composite
def responses(draw: DrawFn) -> bytes:
    """A response of a server, right or not."""
    text = draw(_texts())
    cut = draw(st.integers(0, len(text)))
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "[1.0, 1.0]"}]}]
    parts += [{"type": "text", "text": text[:cut]}, {"type": "text", "text": text[cut:]}]
    message = draw(
        st.sampled_from(
            [
                *[{"content": text}] * 9,
                {"content": parts},
                {"content": [text, 3]},
                {"content": None, "reasoning_content": text},
                {"content": "", "refusal": text},
                {"content": None, "tool_calls": [{}]},
                {"content": {"text": text}},
                {},
            ]
        )
    )
    finish = draw(st.sampled_from(["stop", "stop", "length", "content_filter", None, 3]))
    choice = {"index": 0, "message": message, "finish_reason": finish}
    error = {"message": text, "code": draw(st.sampled_from([400, "502", 99, None, "x"]))}
    held = draw(
        st.sampled_from(
            [
                *[{"choices": [choice], "model": text[:9], "system_fingerprint": "fp"}] * 12,
                {"choices": [choice] * 3},
                {"choices": [{**choice, "error": error}]},
                {"error": error},
                {"error": text, "choices": []},
                {"choices": [message]},
                {"choices": message},
                {"data": [{"id": "a", "root": text}], "choices": [choice]},
                [choice],
            ]
        )
    )
    return json.dumps(held, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


def seeds() -> list[bytes]:
    """Responses with an answer that is taken, one for each way to write it."""
    texts = [
        "[-1.5, 2.0]",
        "[\u22121,5; 2,0]",
        '```json\n{"y": 2, "x": -1.5}\n```',
        '{"settings": [[1.5, 2], [0, -1]]}',
        "60% at [1.5, -2.0] spread 1.2; 40% at [-3.0, 0.5] spread 0.8.",
    ]
    messages = [{"content": text} for text in texts]
    messages += [{"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": texts[0]}]}]
    held = [{"choices": [{"message": message, "finish_reason": "stop"}]} for message in messages]
    return [json.dumps(each, ensure_ascii=False).encode() for each in held]
