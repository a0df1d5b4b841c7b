"""From a suite's records, or from the tables that its report left, to everything that a report says: once, here."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from sagan.analysis.budget import rankings
from sagan.analysis.claims import claims
from sagan.analysis.contrasts import figures_of
from sagan.analysis.design import design_of, flat
from sagan.analysis.effects import all_effects
from sagan.analysis.model import Counts, Design, Mean, Report, ReportProvenance, Space
from sagan.analysis.seeds import planned
from sagan.analysis.spreads import design_power, power_lines, steadier, within
from sagan.analysis.tables import Analysis, Row, Tables, effects_table, read_suite, read_tables, write_tables
from sagan.analysis.words import answers
from sagan.errors import UserError
from sagan.metrics.table import METRICS
from sagan.params import Params
from sagan.plan import Plan
from sagan.store.paths import Paths
from sagan.store.records import Json, write_json
from sagan.store.types import Provenance

# Processes that want a core, for each core. A suite that has two cores to itself gives 0.6 to 1.2 (the 27 runs of
# `quick`); beside other work it was 2 and more.
LOAD = 1.5
# A run has begun to learn where its FID is below this share of its untrained generator's; a budget at which more than
# half of those that can tell have not is too short.
BEGUN = 0.5
# A share whose best figure is below this part of real images' says nothing yet: recall 0.02 where they have 0.70.
NEAR_FLOOR = 0.05
SHARES = ["precision", "recall", "density", "coverage"]


def analyse(suite: str, plan: Plan, params: Params, paths: Paths) -> Analysis:
    """What the records on disk say of a suite of the plan."""
    design, records, tables = read_suite(suite, plan, params, paths)
    facts = _provenance(records, f"{params.tracking.experiment_prefix}{suite}")
    found = analysis_of(design, tables, facts, [_space(name, records) for name in design.spaces])
    return replace(found, is_here=True)


def current(suite: str, params: Params, paths: Paths) -> Analysis:
    """The analysis of the records on this machine; where no run of the suite is, of the tables that its report left.

    Raises:
        UserError: as of `planned` and `read_analysis`.
    """
    folder = paths.report(suite)
    has_report = (folder / "report.json").exists()
    if has_report and suite in params.suites:
        dataset = params.suites[suite].dataset
        if not paths.prepared(dataset, params.datasets[dataset].resolution).exists():
            return read_analysis(folder)
    found = analyse(suite, planned(params, paths, [suite]), params, paths)
    counts = found.report.counts
    return read_analysis(folder) if has_report and counts.missing == counts.total else found


def analysis_of(design: Design, tables: Tables, facts: ReportProvenance, spaces: list[Space]) -> Analysis:
    """The analysis of a suite's tables; what these do not say of where they come from is handed through."""
    tables = _as_far_as_asked(design, tables)
    runs, snapshots = tables.runs, tables.snapshots
    main = runs[runs["space"] == design.space]
    known = main.dropna(subset=["fid", "fid_untrained"])
    made = all_effects(design, runs, snapshots, tables.costs)
    state = made.state
    figures = figures_of(state.runs, list(design.factors), design.main)
    spread, asked = within(figures), state.answers.values()
    waits = design.questions and state.look is None
    quiet, asked_of = made.costs.loc[made.costs["quiet"], "variant"], state.runs if design.questions else main
    busy = bool((main["load"].astype(float) > LOAD).any() and not asked_of["variant"].isin(quiet).all())
    report = Report(
        design=design,
        provenance=facts.model_copy(update={"busy": busy}),
        spaces=[_with_figures(space, runs) for space in spaces],
        counts=_counts(main),
        by_variant={variant: _counts(main[main["variant"] == variant]) for variant in design.variants},
        too_short=bool(2 * (known["fid"] >= BEGUN * known["fid_untrained"]).sum() > len(known)),
        seeds=state.look.seeds if state.look else int(main["seed"].nunique()),
        seeds_asked=state.seeds_asked,
        waits=f"runs of {state.seeds_asked} seeds in each cell of {design.grid}" if waits else None,
        questions=made.questions,
        pairs=made.pairs,
        interactions=state.interactions,
        steadier=steadier(state),
        rankings=rankings(design, runs, snapshots, made.costs),
        # What the suite's seeds find at the spread that was measured, of the question with the fewest cells.
        power=[design_power(design, spread, min([len(of.weights) for of, *_ in asked] or [2]))] if spread else [],
    )
    found = Analysis(report, made.rows, tables)
    return replace(found, report=report.model_copy(update={"claims": claims(found)}))


def can_find(suite: str, plan: Plan, params: Params, paths: Paths) -> Iterator[str]:
    """What a suite's design can find, a line each, before anything is trained."""
    cells = plan.suites[suite]
    design = design_of(suite, plan, params)
    levels = [len(design.factors[name].levels) for name in design.questions]
    count = 2 * len(params.grids[design.grid]) // max(levels) if levels else 2
    snapshots = plan.runs[cells[0].run].config["training"]["snapshots"]
    return power_lines(design, count, snapshots, read_report(paths.report(suite)))


def write_analysis(analysis: Analysis, folder: Path) -> None:
    """effects.csv, report.json, summary.json, results.csv, curves.csv and training.csv."""
    write_tables(analysis.tables, folder)
    effects_table(analysis.effects).to_csv(folder / "effects.csv", index=False, lineterminator="\n")
    # Not sorted: the order of variants and of levels means something.
    text = analysis.report.model_dump_json(indent=1, exclude_defaults=True)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    write_json(folder / "summary.json", summary(analysis.report))


def read_report(folder: Path) -> Report | None:
    """A folder's report.json; None where there is none.

    Raises:
        UserError: it is none of this version.
    """
    try:
        return Report.model_validate_json((folder / "report.json").read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        why = "no report of this version; `python -m sagan report` makes it"
        raise UserError(f"{folder / 'report.json'}: {why}") from None


def read_analysis(folder: Path) -> Analysis:
    """A report that is on disk, made anew from its tables: where the records of its runs are not on this machine.

    Raises:
        UserError: it is not whole, or none of this version.
    """
    report = read_report(folder)
    try:
        tables = read_tables(folder, list(report.design.factors))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: a table of the report is missing") from None
    return analysis_of(report.design, tables, report.provenance, report.spaces)


def whereabouts(suites: Iterable[str], paths: Paths) -> Iterator[str]:
    """Of each suite that has a report its answers and links to its pages."""
    for suite in suites:
        if (report := read_report(paths.report(suite))) is None:
            yield f"{suite}: no report yet; `make repro` makes it"
            continue
        yield from (f"{suite}:", *(f"  - {line}" for line in answers(report)))
        pages = [paths.pages(suite) / name for name in ("report.html", "explorer.html")]
        for page in [*pages, paths.report(suite) / "README.md"]:
            if page.exists():
                yield f"  {page.name:<14}{page.resolve().as_uri()}"


def summary(report: Report) -> dict[str, float | int]:
    """A flat mapping of names to numbers for `dvc metrics`: mean FIDs, the questions' answers, counts."""
    design, counts = report.design, report.counts
    flat = {f"{one.variant}.{design.metric}": one.mean for of in report.rankings[:1] for one in of.standings}
    for found in report.questions:
        is_switch = len(design.factors[found.question].levels) == 2
        name = found.question if is_switch else f"{found.question}={found.level}"
        for at, of in (("step", found.steps), ("second", found.time)):
            if of.effect:
                flat[f"question/{name}.percent_per_{at}"] = of.effect.estimate
    return flat | {"runs.measured": counts.measured, "runs.diverged": counts.diverged, "runs.missing": counts.missing}


def _as_far_as_asked(design: Design, tables: Tables) -> Tables:
    """Without the runs of the next look that are not there yet: they are only asked for next, and nothing is wrong."""
    there = tables.runs.loc[tables.runs["status"] != "missing", "seed"]
    kept = max([look.seeds for look in design.looks if look.seeds <= there.nunique()], default=design.looks[0].seeds)
    seeds = sorted(tables.runs["seed"].unique())[:kept]
    return replace(tables, runs=tables.runs[tables.runs["seed"].isin([*seeds, *there.unique()])])


def _counts(runs: pd.DataFrame) -> Counts:
    of = {name: runs["status"] == name for name in ("measured", "diverged", "missing")}
    of |= {name: runs[name].fillna(0).astype(bool) for name in ("collapsed", "lost")}
    of["ended_badly"] = runs["went_wrong"].fillna(0).astype(bool) & ~of["collapsed"]
    return Counts(total=len(runs), **{name: int(those.sum()) for name, those in of.items()})


def _with_figures(space: Space, runs: pd.DataFrame) -> Space:
    """With each variant's means, and the shares of which all variants are near 0, beside real images."""
    of, means = runs[runs["space"] == space.name], {}
    best = of[of.columns.intersection(SHARES)].astype(float).max()
    near = [name for name, most in best.items() if most < NEAR_FLOOR * (space.real.get(name) or 1.0)]
    for variant, its in of.groupby("variant", sort=False):
        figures = {n: y for n in its if n.removesuffix("_matched") in METRICS and len(y := its[n].dropna())}
        means[variant] = {n: Mean(mean=y.mean(), sd=y.std() if len(y) > 1 else None) for n, y in figures.items()}
    return space.model_copy(update={"near_floor": near, "means": means})


def _provenance(records: list[Row], experiment: str) -> ReportProvenance:
    """All that the records tell but the figures; a fact that differs is listed with how many runs have it."""
    rows = [row for row in records if row.space == records[0].space]
    trained = [row.training for row in rows if row.training]
    measured = [row.evaluation for row in rows if row.evaluation]
    training, measuring = [record.provenance for record in trained], [record.provenance for record in measured]
    machines = [f"{p.device}, {p.threads} thread(s)" for p in training]
    spent = f"{min(p.started for p in training)}, {max(p.finished for p in training)}" if training else ""
    facts = {
        "training: commit": _counted(map(_commit, training)),
        "training: device": _counted(machines),
        "training: versions": _counted(map(_versions, training)),
        "training: code (sha256)": _counted(record.code for record in trained),
        "training: first started, last finished": spent,
        "evaluation: commit": _counted(map(_commit, measuring)),
        "evaluation: device": _counted(p.device for p in measuring),
        "evaluation: versions": _counted(map(_versions, measuring)),
        "dataset digest": _counted(record.dataset_digest for record in trained),
        "reference": rows[0].reference.key if rows[0].reference else "",
    }
    searched = [record.memorisation for record in measured if record.memorisation.training_images is not None]
    # What the rows of samples by class are -> the variants that are told of these classes.
    class_rows: dict[str, list[str]] = {}
    for variant, run in {row.cell.variant: row.training for row in rows if row.training}.items():
        if classes := run.config["image"].get("classes"):
            class_rows.setdefault(", ".join(classes), []).append(variant)
    # What a reader must know of single runs: evaluations that do not count, images with a defect, no curve.
    warnings = [
        f"{row.cell.variant}, seed {row.cell.seed}, {row.space}: {why}"
        for row in records
        for why in (row.set_aside, row.reason("fid"))
        if why
    ]
    points = [point for row in rows for point in row.curve]
    if points and all(point.fid is None for point in points):
        warnings.append(f"no snapshot has an FID: {points[0].status}")
    return ReportProvenance(
        facts=[{"what": what, "value": value} for what, value in facts.items() if value],
        protocols=_protocols(records),
        machines=dict(Counter(machines).most_common()),
        warnings=warnings,
        experiment=experiment,
        searched=(searched[0].train_count, searched[0].training_images) if searched else None,
        class_rows=class_rows,
    )


def _space(name: str, records: list[Row]) -> Space:
    """A feature space: its noise floor, real images' own figures, and which metrics have none and why."""
    rows = [row for row in records if row.space == name]
    known, unmeasured = rows[0].reference, {}
    real = known and known.other_split
    matched: Json = next((of.matched for row in rows if (of := row.evaluation) and of.matched), {})
    figures = {name: value.value for name, value in real.metrics.items() if name in METRICS} if real else {}
    for metric in METRICS:
        reasons = [why for row in rows if (why := row.reason(metric))]
        if reasons and all(row.metric(metric) is None for row in rows):
            unmeasured[metric] = reasons[0]
    return Space(
        name=name,
        floor=known and known.floor.fid,
        accuracy=known and known.accuracy,
        other_split=f"{matched.get('count', real.count)} {real.split}" if real else "",
        real=figures | {name: found["value"] for name, found in matched.get("real", {}).items()},
        unmeasured=unmeasured,
    )


def _protocols(records: list[Row]) -> list[dict[str, str]]:
    """A metric's full name and settings; several lines where runs were measured differently."""
    lines: list[dict[str, str]] = []
    for row in records:
        for metric, record in (row.evaluation.metrics if row.evaluation else {}).items():
            # A run's own figure stands beside the settings: the spread over KID's subsets or IS's splits.
            settings = {k: v[:12] if k == "weights_digest" else v for k, v in flat(record.protocol).items()}
            told = ", ".join(f"{k} {v}" for k, v in sorted(settings.items()) if k != "std" and v != "none")
            line = {"space": row.space, "metric": metric, "name": record.name, "settings": told}
            if line not in lines:
                lines.append(line)
    return lines


def _commit(provenance: Provenance) -> str | None:
    commit = provenance.commit
    return commit and commit[:12] + (" with uncommitted changes" if provenance.dirty else "")


def _versions(provenance: Provenance) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(provenance.versions.items()))


def _counted(values: Iterable[str | None]) -> str:
    counts = Counter(value for value in values if value)
    if len(counts) < 2:
        return next(iter(counts), "")
    return "; ".join(f"{value} ({count} runs)" for value, count in counts.most_common())
