"""From `params.yaml` to the one list of runs, references and evaluations, each named by what determines it."""

from sagan.plan.making import check_code, check_own_networks, make_plan, reference_of
from sagan.plan.types import Cell, Evaluation, Plan, Reference, Run

__all__ = ["Cell", "Evaluation", "Plan", "Reference", "Run"]
__all__ += ["check_code", "check_own_networks", "make_plan", "reference_of"]
