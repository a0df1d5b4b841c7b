"""Rendered reports: from records on disk to tables with uncertainty, figures and a verdict."""

from sagan.report.document import render, render_index
from sagan.report.explorer import render_explorer

__all__ = ["render", "render_explorer", "render_index"]
