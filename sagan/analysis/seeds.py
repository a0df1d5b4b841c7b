"""The plan of suites whose seeds are added until it is decided: a replay of the looks over the records."""

from __future__ import annotations

from sagan.params import Params
from sagan.params.suites import UntilDecided
from sagan.plan import Plan, make_plan
from sagan.store.paths import Paths


def planned(params: Params, paths: Paths, suites: list[str] | None = None) -> Plan:
    """The plan for some suites (those under `repro:` unless told otherwise), with the seeds that they ask for now.

    It depends on params.yaml and the records alone: whoever makes it, and whenever something was killed, finds the
    same plan in the same records.

    Raises:
        UserError: as of `make_plan`.
    """
    seeds: dict[str, int] = {}
    while True:
        plan = make_plan(params, paths, suites, seeds)
        asked = {name: _asked_for(name, plan, params, paths) for name in plan.suites}
        more = {name: n for name, n in asked.items() if n > len({cell.seed for cell in plan.suites[name]})}
        if not more:
            return plan
        seeds |= more


def _asked_for(suite: str, plan: Plan, params: Params, paths: Paths) -> int:
    if not isinstance(params.suites[suite].seeds, UntilDecided):
        return 0
    # Imported here: other plans need not wait for pandas and scipy.
    from sagan.analysis.deciding import replay
    from sagan.analysis.tables import read_suite

    design, _, tables = read_suite(suite, plan, params, paths)
    return replay(design, tables.runs).seeds_asked if design.questions else 0
