"""Measuring: feature extractors, reference statistics of real images, and the metrics of a run."""
