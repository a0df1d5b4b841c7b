"""What the runs say. Each statement is computed once, on the way from records to a document:

records -> tables (`tables`; of anybody's runs `foreign`) -> figures by cell, contrasts, looks (`contrasts`, `budget`)
-> answers (`effects`) to the questions of a `design`, and what `spreads` say
-> report.json and effects.csv (`model`, `build`, with `claims`) -> sentences (`words`).
"""
