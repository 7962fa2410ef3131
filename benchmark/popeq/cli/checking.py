"""``popeq check``: the conformance suite for one predictor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    CONTAINMENT,
    PredictorCommand,
    given_parameters,
    settings_options,
    warn_of_broken_plugins,
)
from popeq.output import say

if TYPE_CHECKING:
    from popeq.runs.settings import RunSettings
    from popeq.testing.examination import Finding


@click.command(cls=PredictorCommand)
@click.argument("predictor")
@click.option("-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter of the predictor.")
@settings_options("timeout_s", *CONTAINMENT, timeout_s=600.0)
def check(
    predictor: str,
    options: tuple[str, ...],
    settings: RunSettings,
) -> None:
    """Check whether a predictor keeps the contract.

    All checks together end at --timeout.

    Each failure says what the contract asks, what came back, and the file and line of the plugin's code; a
    cause of several failures is said once. Exit code 1 if there is one. The same checks as pytest tests:
    test_contract = popeq.testing.conformance("NAME").
    """
    from popeq.plugins import registry
    from popeq.testing.checks import CHECKS
    from popeq.testing.examination import examine

    warn_of_broken_plugins()
    spec = registry().predictor(predictor)

    causes: dict[str, str] = {}  # the check that each was first seen in

    def show(finding: Finding) -> None:
        verdict = f"FAILED: {finding.problem}" if finding.problem else finding.asks
        first = causes.setdefault(finding.kind, finding.check) if finding.kind else finding.check
        if first != finding.check:
            verdict = f"FAILED: the same cause as {first}"
        say(f"{'x' if finding.problem else 'ok':<2} {finding.check:<24}  {verdict}")

    seen = examine(spec, given_parameters(options), settings, show)
    if seen.fit_s is not None and seen.sample_s is not None and seen.peak_memory_mb is not None:
        say(
            "",
            f"fit on 8 prompts {seen.fit_s:.2f} s, 3 x 110 samples {seen.sample_s:.2f} s, "
            f"peak memory {seen.peak_memory_mb:.0f} MiB",
        )
    failed = sum(bool(f.problem) for f in seen.findings)
    not_made = len(CHECKS) - len(seen.findings)
    say(
        f"{predictor}: {len(seen.findings) - failed} of {len(CHECKS)} checks passed"
        + (f", {not_made} not made" if not_made else "")
    )
    if not seen.passed:
        raise click.exceptions.Exit(1)
