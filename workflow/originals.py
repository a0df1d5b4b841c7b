"""Say which datasets' originals have changed since they were prepared, before `make repro` asks DVC.

    python -m workflow.originals

DVC would say that nothing changed: the originals are no dependency of its `data` stage, which has to be up to date
without them too, where one only trains and in the copies that DVC runs experiments in.
"""

from __future__ import annotations

import sys

from sagan.data import outdated
from sagan.errors import UserError, explained
from sagan.params.loading import load_params
from sagan.store.paths import Paths

PATHS = Paths()


def main(paths: Paths = PATHS) -> int:
    """A line for each dataset of the suites under `repro`; 2, with the reason, where DVC could do nothing."""
    for place, outputs in (("data", "data/prepared"), ("results", "results/runs, /references and /evaluations")):
        if (paths.root / place).is_symlink():
            print(
                f"sagan: {place} is a link, and DVC refuses what lies outside of the repository; make it a folder and "
                f"{outputs} the link",
                file=sys.stderr,
            )
            return 2
    try:
        params = load_params(paths.params)
    except (UserError, OSError) as error:
        if (line := explained(error)) is None:
            raise
        # DVC would say more after it.
        print(f"sagan: {line}", file=sys.stderr)
        return 2
    for name in dict.fromkeys(params.suites[suite].dataset for suite in params.repro):
        spec = params.datasets[name]
        try:
            if why := outdated(name, spec, paths.prepared(name, spec.resolution), root=paths.root):
                print(f"{name}: {why}, and DVC cannot see that: run `python -m sagan data`")
        except (UserError, OSError) as error:
            print(f"{name}: its originals cannot be read any more: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
