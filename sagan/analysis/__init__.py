"""From the runs of a suite to estimates, tests and answers: computed once, and rendered elsewhere."""
