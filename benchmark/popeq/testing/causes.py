"""Where in a plugin's code a failed check has its cause, so that one cause is said once."""

from __future__ import annotations

import inspect
import re
import traceback
from dataclasses import dataclass
from pathlib import Path

from popeq.contract import PredictorSpec, load_object
from popeq.runs.worker import ContractError

_HARNESS = Path(__file__).resolve().parents[1]
#: What a message about a result of the plugin begins with.
_METHOD = re.compile(r"(\w+)\(\) ")
#: What in a message changes with the prompts and the number of samples of a check.
_VALUES = re.compile(r"'[^']*'|-?\d+(\.\d+)?")


@dataclass(frozen=True)
class Cause:
    """Why a check failed: ``came``, what came in place of what was asked, ``where``, file and line of the
    plugin's code if they are known, and ``kind``, equal for failures of one cause."""

    came: str
    where: str
    kind: str


def cause_of(error: BaseException, spec: PredictorSpec) -> Cause:
    """The cause of what a check raised."""
    origin = error.__cause__ if isinstance(error, ContractError) and error.__cause__ else error
    message, own = (" ".join(str(each).split()) for each in (error, origin))
    wrong_result = isinstance(origin, ContractError)
    where = _method_in(own, spec) if wrong_result else _raised_in(origin, spec)
    came = message if isinstance(error, ContractError) else f"raised {type(error).__name__}: {message}"
    alike = "" if where and not wrong_result else _VALUES.sub("0", own)
    return Cause(came, where, f"{type(origin).__name__} {where} {alike}")


def _raised_in(error: BaseException, spec: PredictorSpec) -> str:
    """The innermost line of the plugin, else of any code that is not popeq's own, else nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    home = _home(spec)
    own = [f for f in frames if home is not None and Path(f.filename).resolve().is_relative_to(home)]
    others = [f for f in frames if not Path(f.filename).resolve().is_relative_to(_HARNESS)]
    found = (own or others)[-1:]
    return f"{_shown(found[0].filename)}:{found[0].lineno}, in {found[0].name}()" if found else ""


def _method_in(message: str, spec: PredictorSpec) -> str:
    """Where the method is written that a message about its result names."""
    if not (named := _METHOD.match(message)):
        return ""
    try:
        method = inspect.unwrap(getattr(load_object(spec.factory), named[1]))
        file, (_, line) = inspect.getsourcefile(method), inspect.getsourcelines(method)
    except Exception:
        return ""
    return f"{_shown(file)}:{line}, in {named[1]}()" if file else ""


def _home(spec: PredictorSpec) -> Path | None:
    """The folder, or the single file, of the package that holds the predictor."""
    try:
        module = inspect.getmodule(load_object(spec.factory))
        file = Path(inspect.getsourcefile(module) or "") if module else None
    except Exception:
        return None
    if module is None or file is None or not file.name:
        return None
    depth = module.__name__.count(".") + (file.name == "__init__.py")
    return file.resolve() if depth == 0 else file.resolve().parents[depth - 1]


def _shown(file: str) -> str:
    """A path from here, if it lies below here."""
    path = Path(file).resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
