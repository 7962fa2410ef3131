"""The command line: ``popeq``. Expected errors are one clear line; exit codes are in popeq.errors."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from popeq import activity
from popeq.cli.boards import compare, leaderboard, show_run
from popeq.cli.checking import check
from popeq.cli.creating import new
from popeq.cli.data import data
from popeq.cli.interchange import export, schema
from popeq.cli.learning import learn
from popeq.cli.listing import list_
from popeq.cli.process import INTERRUPTED, UNWRITTEN, give_up_output, prepared, print_error
from popeq.cli.regressing import regress
from popeq.cli.running import run
from popeq.cli.studies import ablate, ceiling, personal, power, sizes, transfer
from popeq.cli.submitting import score, submit
from popeq.cli.sweeping import sweep
from popeq.cli.tuning import tune
from popeq.cli.verifying import verify
from popeq.errors import PopeqError
from popeq.output import PlainHelp, make_messages_plain, say, say_usage


class _Program(PlainHelp, click.Group):
    """The harness's commands and those of plugins, which are imported only when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from popeq.plugins import registry

        own = super().list_commands(ctx)
        return [*own, *sorted(set(registry().commands) - set(own))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        from popeq.plugins import registry

        spec = registry().commands.get(cmd_name)
        return None if spec is None else spec.load()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from popeq.plugins import registry

        rows = []
        for name in self.list_commands(ctx):
            own = super().get_command(ctx, name)
            rows.append(
                (name, registry().commands[name].summary if own is None else own.get_short_help_str(80))
            )
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from popeq import __version__

        say(f"popeq {__version__}")
        context.exit()


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
def popeq() -> None:
    """Benchmark for population-aligned equalisation: from a sentence to the settings listeners choose.

    \b
    popeq list                       what can be run, on what
    popeq run prior random           draw predictions (resumes what was stopped)
    popeq leaderboard show           the ranked, tested table
    popeq ask "make it warmer"       the predicted settings for a sentence of yours

    Exit codes: 0 done, 1 something ran and failed, 2 wrong use or input, 130 interrupted (docs/runs.md).
    """


for _command in (
    list_,
    data,
    run,
    sweep,
    learn,
    show_run,
    leaderboard,
    compare,
    verify,
    ceiling,
    power,
    transfer,
    ablate,
    sizes,
    personal,
    score,
    submit,
    regress,
    tune,
    check,
    new,
    export,
    schema,
):
    popeq.add_command(_command)


def _words(arguments: list[str] | None) -> str:
    """The command without what it is given, such as ``popeq leaderboard show``."""
    given = sys.argv[1:] if arguments is None else arguments
    command: click.Command = popeq
    words = ["popeq"]
    for word in given:
        inner = command.commands.get(word) if isinstance(command, click.Group) else None
        if inner is None:
            break
        command = inner
        words.append(word)
    return " ".join(words) if len(words) > 1 else " ".join([*words, *given[:1]])


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the program ``popeq``."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in the processes of runs (popeq.runs.scrubbed)
    make_messages_plain()
    try:
        with prepared(), activity.shown(_words(arguments)):
            status = popeq.main(args=arguments, prog_name="popeq", standalone_mode=False)
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            say_usage(error)
        status = error.exit_code
    except PopeqError as error:
        print_error(*f"popeq: {error}".split("\n"))
        status = error.exit_code
    except (KeyboardInterrupt, click.exceptions.Abort):  # click turns the one into the other
        print_error("popeq: interrupted; the same command goes on where this stopped")
        status = INTERRUPTED
    except BrokenPipeError:
        status = UNWRITTEN
    give_up_output()
    sys.exit(status if isinstance(status, int) else 0)
