"""Rendered reports: the tables of an analysis as pages and pictures. Nothing is computed here."""

from sagan.report.document import render, render_front, render_index
from sagan.report.explorer import render_explorer

__all__ = ["render", "render_explorer", "render_front", "render_index"]
