"""The queue by itself: what goes together, who is refused, what happens at the end."""

import asyncio
import threading

import pytest

from regard.serving import Limits
from regard.serving.batch_queue import BatchQueue
from regard.serving.errors import RequestError


class Worker:
    """Answers with the batch each item was in; waits until it is released."""

    def __init__(self):
        self.batches, self.released, self.begun = [], threading.Event(), threading.Event()

    def __call__(self, items):
        self.begun.set()
        assert self.released.wait(20)
        self.batches.append(list(items))
        return [f"{item}!" for item in items]


@pytest.fixture
def make_queue():
    made = []

    def make(**limits):
        made.append(BatchQueue(Limits(**limits)))
        made[-1].open()
        return made[-1]

    yield make
    for each in made:
        each.close()


def held(queue):
    """A queue whose thread is busy with a first job."""
    worker = Worker()
    first = queue.put("first", worker, 0)
    assert worker.begun.wait(20)
    return worker, first


def test_what_waited_together_is_answered_together_and_in_order(make_queue):
    queue = make_queue(max_batch=3)
    worker, first = held(queue)
    futures = [queue.put(key, worker, n) for n, key in enumerate("aabaa", start=1)]
    worker.released.set()
    assert [future.result(20) for future in [first, *futures]] == [
        "0!",
        "1!",
        "2!",
        "3!",
        "4!",
        "5!",
    ]
    assert worker.batches == [[0], [1, 2, 4], [3], [5]]


def test_a_full_queue_refuses_with_advice(make_queue):
    queue = make_queue(max_queue=2)
    worker, _ = held(queue)
    queue.put("a", worker, 1), queue.put("a", worker, 2)
    with pytest.raises(RequestError, match="2 requests are waiting already; try again") as refused:
        queue.put("a", worker, 3)
    assert (refused.value.status, refused.value.retry_after) == (429, 1)
    assert len(queue) == 2
    worker.released.set()


def test_who_waits_too_long_is_told_and_never_begun_with(make_queue):
    queue = make_queue(timeout=0.05)
    worker, _ = held(queue)
    with pytest.raises(RequestError, match=r"no answer within 0\.05 s") as refused:
        asyncio.run(queue.wait(queue.put("a", worker, 1)))
    assert refused.value.status == 503
    last = queue.put("b", worker, 2)
    worker.released.set()
    assert last.result(20) == "2!"
    assert worker.batches == [[0], [2]]


def test_one_bad_item_spoils_nobody_elses_answer(make_queue):
    queue = make_queue()
    worker, _ = held(queue)

    def halves(items):
        return [6 // item for item in items]

    futures = [queue.put("a", halves, item) for item in (1, 0, 3)]
    worker.released.set()
    assert [futures[0].result(20), futures[2].result(20)] == [6, 2]
    with pytest.raises(ZeroDivisionError):
        futures[1].result(20)


def error(queue, worker):
    """The error that comes as soon as the closing thread has got to work."""
    while True:
        try:
            queue.put("timed_out", worker, 2).cancel()
        except RequestError as refused:
            return refused


def test_closing_answers_what_waits_and_takes_nothing_new():
    queue = BatchQueue(Limits())
    queue.open()
    worker, first = held(queue)
    second = queue.put("a", worker, 1)
    closing = threading.Thread(target=queue.close)
    closing.start()
    refused = error(queue, worker)
    assert refused.status == 503
    assert "stopping" in str(refused)
    worker.released.set()
    closing.join(20)
    assert (first.result(0), second.result(0)) == ("0!", "1!")
