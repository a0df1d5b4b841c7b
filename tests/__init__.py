"""The tests mirror the package; what several rooms share is imported from here."""
