"""The plan of suites whose seeds are added until it is decided: a replay of the looks over the records."""

from sagan.params import Params
from sagan.params.suites import UntilDecided
from sagan.plan import Plan, make_plan
from sagan.store.paths import Paths


def planned(params: Params, paths: Paths, suites: list[str] | None = None) -> Plan:
    """The plan for some suites (those under `repro:` unless told otherwise), with the seeds that they ask for now.

    It depends on params.yaml and the records alone: whoever makes it, and whenever something was killed, finds the
    same plan in the same records. Raises what `make_plan` does.
    """
    seeds: dict[str, int] = {}
    while True:
        plan, more = make_plan(params, paths, suites, seeds), {}
        for name in (name for name in plan.suites if isinstance(params.suites[name].seeds, UntilDecided)):
            # Imported here: other plans need not wait for pandas and scipy.
            from sagan.analysis.contrasts import replay
            from sagan.analysis.tables import read_suite

            design, _, tables = read_suite(name, plan, params, paths)
            asked = replay(design, tables.runs).seeds_asked
            if asked > len({cell.seed for cell in plan.suites[name]}):
                more[name] = asked
        if not more:
            return plan
        seeds |= more
