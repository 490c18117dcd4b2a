"""What is said of a learner's functions and of what they return."""

from __future__ import annotations

import numpy as np
import pytest

from regard.learn.answer import Answer, Raised, Wrong, as_array, check_close, check_shape, shown


def double(x):
    return 2 * x


def test_a_function_that_is_missing_or_no_function():
    answer = Answer({"soft_max": double, "softmin": 3})
    with pytest.raises(Wrong, match="has no `softmax`; there is `soft_max`"):
        answer.function("softmax")
    with pytest.raises(Wrong, match="`softmin` is a int; it should be a function"):
        answer.function("softmin")


def test_arguments_are_copies_and_a_change_of_them_is_told():
    def spoils(x):
        x += 1
        return x

    given = np.zeros(2)
    with pytest.raises(Wrong, match=r"spoils\(\[0., 0.\]\) changes the array"):
        Answer({"spoils": spoils}).call("spoils", given)
    assert (given == 0).all()


def test_an_exception_names_the_call():
    def fails(x, f, n):
        return 1 / 0

    with pytest.raises(Raised, match=r"fails\(<\(4, 5\)>, <double>, 7\)") as raised:
        Answer({"fails": fails}).call("fails", np.zeros((4, 5)), double, 7)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("result", [[[1, 2], [3]], "text", {"a": 1}, object(), [None, 1.0]])
def test_what_is_no_array_of_numbers(result):
    with pytest.raises(Wrong, match="an array of numbers was expected"):
        as_array(result, "it")


def test_tensors_with_gradients_are_arrays():
    torch = pytest.importorskip("torch")
    assert as_array(torch.ones(2, requires_grad=True) * 2, "it").tolist() == [2, 2]


def test_a_right_result_is_right_also_where_a_mistake_gives_the_same():
    check_close([1.0], [1.0], what="it", mistakes=[([1.0], "a mistake")])


def test_the_message_names_the_mistake_then_shape_then_nan_then_numbers():
    mistakes = [([[3.0]], "of another shape"), ([np.nan], "NaN is known")]
    for got, message in (
        ([[3.0]], "of another shape"),
        ([np.nan], "NaN is known"),
        ([1.0, 2.0], r"it has the shape \(2,\); \(1,\) was expected"),
        ([2.0], r"it is \[2.\]; \[1.\] was expected"),
    ):
        with pytest.raises(Wrong, match=message):
            check_close(got, [1.0], what="it", mistakes=mistakes)
    with pytest.raises(Wrong, match=r"it has NaN \(\[nan\]\)"):
        check_close([np.nan], [1.0], what="it")


def test_a_large_array_is_told_by_its_worst_place():
    got = np.zeros((10, 10))
    got[3, 4] = 2
    with pytest.raises(Wrong, match=r"it\[3, 4\] is 2; 0 was expected"):
        check_close(got, np.zeros((10, 10)), what="it")
    assert shown(got) == "array of shape (10, 10)"


def test_a_shape_with_a_hint():
    with pytest.raises(Wrong, match=r"was expected\. Transpose it\."):
        check_shape(np.zeros((2, 3)), (3, 2), what="it", hint="Transpose it.")
