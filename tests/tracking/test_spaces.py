"""Figures of further feature spaces arrive under names that carry the extractor."""


def test_each_spaces_figures_have_names_of_their_own(two_spaces):
    cell = two_spaces.cells[0]
    two_spaces.finish(cell)
    two_spaces.evaluation(cell, fid=40.0, extractor="inception")
    two_spaces.send()
    mirror = two_spaces.mirror(cell)
    assert [value for _, _, value in mirror["points"]["fid"]] == [12.5]
    assert [value for _, _, value in mirror["points"]["inception/fid"]] == [40.0]
    assert [step for step, _, _ in mirror["points"]["inception/curve/fid"]] == [0, 50, 100]
    assert [value for _, _, value in mirror["points"]["curve/recall"]] == [0, 0.25, 0.5]
    assert mirror["tags"]["sagan.protocol.fid"] == "fid4000_train.classifier"
    assert mirror["tags"]["sagan.protocol.inception.fid"] == "fid4000_train.inception"
    assert {"metrics.json", "metrics-inception.json"} <= {name for name, _ in mirror["files"]}


def test_a_space_that_is_measured_later_is_added_and_the_rest_left(two_spaces):
    cell = two_spaces.cells[0]
    two_spaces.finish(cell)
    two_spaces.send()
    before = two_spaces.mirror(cell)["points"]
    assert not any(name.startswith("inception/") for name in before)
    two_spaces.evaluation(cell, fid=40.0, extractor="inception")
    assert two_spaces.send().sent == [cell.run]
    after = two_spaces.mirror(cell)["points"]
    assert before.items() <= after.items() and after["inception/fid"][0][2] == 40.0
    assert two_spaces.send().sent == []


def test_a_space_that_is_measured_again_shows_the_new_figure_alone(two_spaces):
    cell = two_spaces.cells[0]
    two_spaces.finish(cell)
    two_spaces.evaluation(cell, fid=40.0, extractor="inception")
    two_spaces.send()
    two_spaces.evaluation(cell, fid=30.0, extractor="inception", finished="2025-10-10T09:10:00+00:00")
    two_spaces.send()
    assert [value for _, _, value in two_spaces.mirror(cell)["points"]["inception/fid"]] == [30.0]
