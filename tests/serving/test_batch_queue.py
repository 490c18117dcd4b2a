"""The queue by itself: what goes together, who is refused, what happens at the end."""

import asyncio
import threading

import pytest

from regard.cancel import check_cancelled
from regard.serving import Limits
from regard.serving.batch_queue import BatchQueue
from regard.serving.errors import RequestError, worker_died


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

    def make(threads=1, **limits):
        made.append(BatchQueue(Limits(**limits), threads))
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
    queue = BatchQueue(Limits(grace=60.0))
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


def test_clients_take_turns(make_queue):
    queue = make_queue(max_batch=1)
    worker, _ = held(queue)
    futures = [
        queue.put(n, worker, name, name[0])
        for n, name in enumerate(("a1", "a2", "a3", "b1", "b2", "c1"))
    ]
    worker.released.set()
    assert [future.result(20) for future in futures]
    assert worker.batches[1:] == [["a1"], ["b1"], ["c1"], ["a2"], ["b2"], ["a3"]]


def test_a_batch_takes_of_each_client_by_turns(make_queue):
    queue = make_queue(max_batch=3)
    worker, _ = held(queue)
    futures = [
        queue.put("key", worker, name, name[0]) for name in ("a1", "a2", "a3", "a4", "b1", "c1")
    ]
    worker.released.set()
    assert [future.result(20) for future in futures]
    assert worker.batches[1:] == [["a1", "b1", "c1"], ["a2", "a3", "a4"]]


def test_one_client_cannot_fill_the_queue(make_queue):
    queue = make_queue(max_queue=4)
    worker, _ = held(queue)
    crowd = [queue.put("k", worker, n, "crowd") for n in range(4)]
    with pytest.raises(RequestError, match="4 requests are waiting already"):
        queue.put("k", worker, 4, "crowd")
    others = [queue.put("k", worker, name, name) for name in ("b", "c")]
    with pytest.raises(RequestError, match="4 requests are waiting already"):
        queue.put("k", worker, 5, "b")  # with one more it would have as many as the crowd
    worker.released.set()
    assert [job.result(20) for job in (*crowd[:2], *others)] == ["0!", "1!", "b!", "c!"]
    for pushed in crowd[2:]:
        with pytest.raises(
            RequestError, match=r"\d requests of this address were waiting"
        ) as refused:
            pushed.result(20)
        assert (refused.value.status, refused.value.retry_after) == (429, 1)


def test_nobody_is_pushed_out_for_a_client_with_as_many(make_queue):
    queue = make_queue(max_queue=2)
    worker, _ = held(queue)
    kept = [queue.put("k", worker, name, name) for name in "ab"]
    for client in "abc":
        with pytest.raises(RequestError, match="2 requests are waiting already"):
            queue.put("k", worker, 0, client)
    worker.released.set()
    assert [job.result(20) for job in kept] == ["a!", "b!"]


def test_an_abandoned_job_leaves_the_queue(make_queue):
    queue = make_queue(max_queue=1)
    worker, _ = held(queue)

    async def hang_up():
        waiting = asyncio.ensure_future(queue.wait(queue.put("a", worker, 1)))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})

    asyncio.run(hang_up())
    assert len(queue) == 0
    assert queue.cancelled == 1
    last = queue.put("b", worker, 2)  # there is room again
    worker.released.set()
    assert last.result(20) == "2!"
    assert worker.batches == [[0], [2]]


class Steps:
    """Steps on until it is cancelled; tells when it has begun, and when it has ended."""

    def __init__(self):
        self.begun, self.ended = threading.Event(), threading.Event()

    def __call__(self, items):
        self.begun.set()
        try:
            while True:
                check_cancelled()
        finally:
            self.ended.set()


def test_a_running_job_stops_at_its_next_step(make_queue):
    queue, steps = make_queue(), Steps()
    job = queue.put("a", steps, 1)
    assert steps.begun.wait(20)
    queue.abandon(job)
    assert steps.ended.wait(20)
    assert queue.put("b", lambda items: items, 2).result(20) == 2


def test_a_batch_goes_on_for_those_who_wait(make_queue):
    queue = make_queue()
    worker, _ = held(queue)
    seen = []

    def answer(items):
        seen.append(items)
        queue.abandon(jobs[0])
        check_cancelled()  # one of two still waits
        return items

    jobs = [queue.put("a", answer, n) for n in (1, 2)]
    worker.released.set()
    assert jobs[1].result(20) == 2
    assert seen == [[1, 2]]


def test_closing_gives_up_after_the_time_of_grace():
    queue, steps = BatchQueue(Limits(grace=0.0)), Steps()
    queue.open()
    running = queue.put("a", steps, 1)
    assert steps.begun.wait(20)
    waiting = queue.put("b", steps, 2)
    queue.close()
    for job in (running, waiting):
        with pytest.raises(RequestError, match="the server is stopping") as refused:
            job.result(20)
        assert refused.value.status == 503
    assert steps.ended.wait(20)


def test_nothing_is_kept_of_what_is_over(make_queue):
    queue = make_queue()
    for n in range(50):
        assert queue.put(n, lambda items: items, n, client=f"client {n}").result(20) == n
    assert queue._waiting == {}


def test_two_batches_are_answered_at_the_same_time(make_queue):
    queue = make_queue(threads=2, max_batch=1)
    meeting = threading.Barrier(2)

    def meet(items):
        meeting.wait(20)
        return items

    jobs = [queue.put("key", meet, n) for n in range(4)]
    assert [job.result(20) for job in jobs] == [0, 1, 2, 3]


def test_closing_gives_up_what_every_thread_runs():
    queue = BatchQueue(Limits(grace=0.0), threads=2)
    queue.open()
    steps = [Steps(), Steps()]
    running = [queue.put(n, each, n) for n, each in enumerate(steps)]
    assert all(each.begun.wait(20) for each in steps)
    queue.close()
    for job in running:
        with pytest.raises(RequestError, match="the server is stopping"):
            job.result(20)
    assert all(each.ended.wait(20) for each in steps)


class Dying:
    """Answers, but for a batch with one of some items, which takes the process with it."""

    def __init__(self, *deadly, deaths=1000):
        self.deadly, self.deaths, self.batches = deadly, deaths, []

    def __call__(self, items):
        self.batches.append(list(items))
        if self.deaths and set(items) & set(self.deadly):
            self.deaths -= 1
            raise worker_died("was killed by SIGKILL")
        return [f"{item}!" for item in items]


def test_a_death_that_happens_once_is_not_seen(make_queue):
    queue, dying = make_queue(), Dying(1, deaths=1)
    assert queue.put("key", dying, 1).result(20) == "1!"
    assert dying.batches == [[1], [1]]


def test_a_job_that_kills_is_tried_twice_and_fails_alone(make_queue):
    queue, dying = make_queue(), Dying(2)
    worker, _ = held(queue)
    jobs = [queue.put("key", dying, n) for n in (1, 2, 3)]
    worker.released.set()
    assert (jobs[0].result(20), jobs[2].result(20)) == ("1!", "3!")
    with pytest.raises(
        RequestError, match=r"request was killed by SIGKILL, as .*try again"
    ) as error:
        jobs[1].result(20)
    assert (error.value.status, error.value.retry_after) == (503, 1)
    assert dying.batches == [[1, 2, 3], [1], [2], [3]]
