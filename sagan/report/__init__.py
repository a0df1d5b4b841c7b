"""Rendered reports: from records on disk to tables with uncertainty, figures and a verdict."""

from sagan.report.document import render, render_index

__all__ = ["render", "render_index"]
