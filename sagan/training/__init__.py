"""Training: one run from its plan to its weights. Never imports MLflow, DVC, Snakemake or pandas."""
