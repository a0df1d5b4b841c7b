"""Records of results as types, and the one reader that says whether a result is there."""
