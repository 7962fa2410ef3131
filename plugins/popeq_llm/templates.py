"""Prompt templates: jinja2 files that a person can read and replace, checked when they are read."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
from jinja2 import meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from popeq.errors import UsageError
from popeq.others_files import UnreadableFileError, read_text
from popeq.space import PLANE, Space
from popeq.typing import Floats
from popeq_llm.answers import AnswerFormat, MixtureForm, answer_text, mixture_text
from popeq_llm.known import DEFAULT_WORDING
from popeq_llm.models import Chat, Message
from popeq_llm.wordings import Wording, wording_of

Kind = Literal["zero", "few", "qa", "verbal", "paraphrase"]
#: A sentence and the settings (m, 2) in dB that listeners chose for it, or these in words.
Example = tuple[str, Floats | str]

#: Two sentences: what the chats of both begin with, all chats of a template do.
PROBES = ("Make it warmer", "a bright sound")
_BLOCKS = ("system", "user")
_OFFERED = ("role", "setting", "meaning", "mixture")
_MIXTURE = ((60, 1.5, -2.0, 1.2), (40, -3.0, 0.5, 0.8))
_ONE = AnswerFormat()
_EXAMPLE = {"sentence": "<an example's sentence>", "settings": "<an example's settings>"}
#: The variables of each kind, with values that a check can find again in the text. Every one must be used.
_VARIABLES: dict[Kind, dict[str, Any]] = {
    "zero": {"sentence": "<the sentence>"},
    "few": {"sentence": "<the sentence>", "examples": [_EXAMPLE]},
    "qa": {"sentence": "<the sentence>", "examples": [_EXAMPLE]},
    "verbal": {"sentence": "<the sentence>", "examples": [_EXAMPLE]},
    "paraphrase": {"sentence": "<the sentence>", "count": "<the count>"},
}
#: A section of the format before jinja2.
_OLD_SECTION = re.compile(r"^---[ \t]+(system|example|user)[ \t]*$", re.MULTILINE)
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
)


@dataclass(frozen=True)
class Template:
    """A checked template with the blocks ``user`` and, unless the chat has no system message, ``system``."""

    name: str
    sha256: str
    compiled: jinja2.Template
    wording: Wording
    #: A single setting, as the wording and the space have it.
    form: AnswerFormat

    def chat(self, sentence: str, examples: Sequence[Example] = (), count: int = 1) -> Chat:
        """The turns before the answer. Sentences are inserted as they are and never read as a template.

        ``count``: how many paraphrases are asked for, in a template of that kind.
        """
        shown = [
            {
                "sentence": text,
                "settings": chosen if isinstance(chosen, str) else settings_text(chosen, self.form),
            }
            for text, chosen in examples
        ]
        return self.rendered({"sentence": sentence, "examples": shown, "count": count})

    def rendered(self, values: Mapping[str, Any]) -> Chat:
        """The turns with these values of the variables. Raises UsageError if the template fails."""
        try:
            texts = {
                name: "".join(block(self.compiled.new_context({**self._offered(), **values})))
                for name, block in self.compiled.blocks.items()
            }
        except Exception as error:  # a template can call any operator of Python
            raise UsageError(f"template {self.name}: cannot be filled in: {error}") from None
        user = Message("user", texts["user"].removesuffix("\n"))
        system = texts.get("system", "").strip()
        return (Message("system", system), user) if system else (user,)

    def _offered(self) -> dict[str, str]:
        """What a template is given besides the variables of its kind; none of it has to be used."""
        parts = (self.wording.role, self.wording.setting, self.wording.meaning)
        mixture = mixture_text(_MIXTURE, MixtureForm(space=self.form.space))
        return dict(zip(_OFFERED, (*parts, mixture), strict=True))


def settings_text(points: Floats, form: AnswerFormat = _ONE) -> str:
    """Settings (m, 2) in dB as an example shows them: ``[x, y], [x, y]``, each moved to the nearest one that
    the control offers."""
    return ", ".join(answer_text([point], form) for point in points)


def load_template(
    kind: Kind, file: str | Path | None = None, wording: str = DEFAULT_WORDING, space: Space = PLANE
) -> Template:
    """The bundled template of a kind, or a person's own ``file`` in its place, with a bundled wording about
    the settings of a space.

    ``zero`` asks about a sentence alone; ``few``, ``qa`` and ``verbal`` show examples, ``qa`` asks for a list
    and ``verbal`` for a mixture in words; ``paraphrase`` asks for other wordings of a sentence, one a line.
    Raises UsageError in one line: the file cannot be read, which blocks and variables are missing or unknown,
    or that the wording is about other curves.
    """
    if not file:
        bundled = importlib.resources.files("popeq_llm").joinpath("templates", f"{kind}.txt")
        return parse_template(bundled.read_text(encoding="utf-8"), kind, f"{kind}.txt", wording, space)
    try:
        text = read_text(file, follow=True)
    except UnreadableFileError as error:
        raise UsageError(f"template {error}") from None
    return parse_template(text, kind, str(file), wording, space)


def parse_template(
    text: str, kind: Kind, name: str, wording: str = DEFAULT_WORDING, space: Space = PLANE
) -> Template:
    """A template from its text; ``name`` is what errors call it. Raises UsageError."""
    if old := _OLD_SECTION.search(text):
        raise UsageError(
            f"template {name}: is in popeq's former format ({old[0].strip()!r}); write a jinja2 template "
            "with {% block system %} and {% block user %}, see docs/language-models.md"
        )
    try:
        tree = _ENVIRONMENT.parse(text)
        compiled = _ENVIRONMENT.from_string(text)
    except jinja2.TemplateSyntaxError as error:
        raise UsageError(f"template {name}: line {error.lineno}: {error.message}") from None
    described = wording_of(wording, space)
    whole = json.dumps([text, asdict(described)], ensure_ascii=False)
    form = AnswerFormat(gains=described.gains, space=space)
    template = Template(name, hashlib.sha256(whole.encode()).hexdigest(), compiled, described, form)
    variables = _VARIABLES[kind]
    problems = _problems(tree, variables)
    if not problems:
        chat = "".join(message.content for message in template.rendered(variables))
        probes = {name: value for name, value in variables.items() if name != "examples"}
        if "examples" in variables:
            probes |= {f"example.{name}": value for name, value in _EXAMPLE.items()}
        problems = [f"does not use {{{{ {name} }}}}" for name, probe in probes.items() if probe not in chat]
    if problems:
        raise UsageError(f"template {name}: {'; '.join(problems)}")
    return template


def _problems(tree: nodes.Template, variables: Mapping[str, Any]) -> list[str]:
    """What is wrong with the blocks and the names of the variables, a phrase each."""
    blocks = [block.name for block in tree.find_all(nodes.Block)]
    problems = [f"unknown block {b!r}" for b in blocks if b not in _BLOCKS]
    if "user" not in blocks:
        problems.append("has no {% block user %}")
    outside = [node for part in tree.body if isinstance(part, nodes.Output) for node in part.nodes]
    if any(not isinstance(node, nodes.TemplateData) or node.data.strip() for node in outside):
        problems.append("has text outside of its blocks")
    known = [*variables, *_OFFERED]
    unknown = sorted(meta.find_undeclared_variables(tree) - set(known))
    return [*problems, *(f"unknown variable {v!r} (known here: {', '.join(known)})" for v in unknown)]
