"""Scores with their intervals."""

from regard.evaluation import Score, comparison


def test_a_score_in_one_line_and_as_a_table() -> None:
    score = Score("BLEU", 36.54, (35.31, 37.78), "tok:13a")
    assert str(score) == "BLEU 36.5 (35.3 to 37.8) [tok:13a]"
    assert str(Score("accuracy", 84.0)) == "accuracy 84.0"
    assert score.table().split("\n")[0].split() == ["|", "|", "BLEU", "|"]


def test_systems_side_by_side() -> None:
    table = comparison(
        {"model": [Score("BLEU", 36.5), Score("chrF", 60.0)], "copy": [Score("BLEU", 3.2)]}
    )
    assert table == (
        "|       | BLEU | chrF |\n"
        "|-------|------|------|\n"
        "| model | 36.5 | 60.0 |\n"
        "| copy  | 3.2  |      |"
    )
