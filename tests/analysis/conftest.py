"""The made-up library of the report's tests, for the analysis of it."""

from tests.report.conftest import library, make_library, rendered  # noqa: F401
