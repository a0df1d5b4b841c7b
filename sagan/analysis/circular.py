"""Variants that say `ranked: false`: shown with a mark, and never ranked."""

from __future__ import annotations

from dataclasses import replace

from sagan.analysis.rows import SuiteRecords


def ranked(records: SuiteRecords) -> SuiteRecords:
    """A suite's records without the variants that are not ranked: all that comparisons and claims may see."""
    return replace(records, rows=[row for row in records.rows if row.variant not in records.unranked])
