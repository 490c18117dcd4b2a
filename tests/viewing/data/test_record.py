import copy
import json
import math
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import DataError, InputError, SettingsError, ShapeError
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track
from regard.viewing.data.explanation import Attribution, Explanation, Prediction
from regard.viewing.data.summary import block_edges, entropy, merge_pieces, pool, reduce_heads, topk


def test_merging_by_hand():
    weights = np.array([[[0.5, 0.25, 0.25], [0.1, 0.6, 0.3], [0.0, 0.2, 0.8]]])
    merged = merge_pieces(weights, [0, 2], [0, 1])
    np.testing.assert_allclose(merged, [[[0.3, 0.7], [0.0, 1.0]]])


@given(st.data())
def test_merging_conserves_mass(data):
    queries, keys = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    weights = np.random.default_rng(data.draw(st.integers(0, 99))).dirichlet(
        np.ones(keys), size=(2, queries)
    )
    starts = [
        [0, *sorted(data.draw(st.sets(st.integers(1, n - 1)) if n > 1 else st.just(set())))]
        for n in (queries, keys)
    ]
    merged = merge_pieces(weights, *starts)
    assert merged.shape == (2, len(starts[0]), len(starts[1]))
    np.testing.assert_allclose(merged.sum(axis=-1), 1, rtol=1e-6)


def test_words_merge_both_axes_and_keep_the_sums(cross):
    words = cross.words()
    assert words.queries(words.tracks[0]).pieces[-1] == "playhouse"
    assert words.tracks[0].shape == (7, 7)
    np.testing.assert_allclose(words.tracks[0].weights.sum(axis=-1), 1, rtol=1e-5)
    whole, before = words.tracks[0].weights[:, -1, 1], cross.tracks[0].weights
    expected = (before[:, 6, 1:3].sum(-1) + before[:, 7, 1:3].sum(-1)) / 2
    np.testing.assert_allclose(whole, expected, rtol=1e-6)
    assert "summed over keys" in words.notes[-1]
    assert words.words() is words


def test_hiding_special_tokens_leaves_out_what_they_received(cross):
    shown = cross.without_special()
    track = shown.tracks[0]
    assert track.shape == (7, 8)
    assert "</s>" not in shown.keys(track).pieces
    np.testing.assert_array_equal(track.weights, cross.tracks[0].weights[:, 1:, :8])
    assert (track.weights.sum(-1) < 1).all()
    assert "hidden" in shown.notes[0]


def test_a_reader_that_is_special_is_not_hidden(pooling):
    reader = Tokens.of(["reader"], special=["reader"])
    text = Tokens.of(["<s>", "good", "film"], special=["<s>"])
    record = AttentionRecord.of([[0.5, 0.3, 0.2]], reader, text).without_special()
    np.testing.assert_allclose(record.tracks[0].dense(), [[0.3, 0.2]])


def test_select_by_name_kind_and_layer(layers):
    assert [t.layer for t in layers.select("encoder").tracks] == [0, 1]
    assert layers.select("encoder", layer=-1).tracks[0].layer == 1
    only = layers.select(kind="cross")
    assert [t.name for t in only.tracks] == ["cross"]
    assert set(layers.select("decoder").tokens) == {"target"}
    with pytest.raises(InputError, match="no track 'encodr'"):
        layers.select("encodr")


def test_of_tells_self_cross_and_pooling_apart(weights):
    assert AttentionRecord.of(weights(1, 3, 3), ["a", "b", "c"]).tracks[0].kind == "self"
    both = AttentionRecord.of(weights(1, 2, 3), ["a", "b"], ["c", "d", "e"])
    assert both.tracks[0].kind == "cross"
    one = AttentionRecord.of(weights(1, 1, 3)[0], ["label"], ["c", "d", "e"])
    assert one.tracks[0].kind == "pooling"
    assert (one.tracks[0].heads, one.tracks[0].shape) == (1, (1, 3))


@pytest.mark.parametrize(
    ("weights", "error", "says"),
    [
        (np.zeros((2, 2, 3, 3)), ShapeError, "pick one example"),
        (np.full((3, 3), np.nan), InputError, "NaN"),
        (np.full((3, 3), 4.0), InputError, "after the softmax"),
        (np.full((3, 3), -1.0), InputError, "between 0 and 1"),
        (np.zeros((3, 4)), ShapeError, "cut the padding"),
    ],
)
def test_weights_that_cannot_be_shown(weights, error, says):
    with pytest.raises(error, match=says):
        AttentionRecord.of(weights, ["a", "b", "c"])


def test_a_track_must_name_tokens_of_the_record(source, weights):
    track = Track("x", "self", "sorce", "source", weights(1, 9, 9))
    with pytest.raises(InputError, match="did you mean 'source'"):
        AttentionRecord({"source": source}, (track,))
    with pytest.raises(InputError, match="without maps"):
        AttentionRecord({"source": source}, ())


def test_heads(cross):
    track = cross.tracks[0]
    np.testing.assert_allclose(track.dense("mean"), track.weights.mean(0))
    np.testing.assert_array_equal(track.dense("max"), track.weights.max(0))
    np.testing.assert_array_equal(track.dense(2), track.weights[2])
    wrong: Any
    for wrong in (3, -1, "median"):
        with pytest.raises(InputError, match="heads count from 0"):
            reduce_heads(track.weights, wrong)


def test_entropy_of_known_rows():
    rows = np.array([[0.25] * 4, [1, 0, 0, 0], [0, 0, 0, 0]], dtype=np.float32)
    np.testing.assert_allclose(entropy(rows), [math.log(4), 0, 0], rtol=1e-6)


def test_top_orders_and_breaks_ties_by_position():
    values, keys = topk(np.array([[0.1, 0.4, 0.1, 0.4]], dtype=np.float32), 3)
    assert keys.tolist() == [[1, 3, 0]]
    np.testing.assert_allclose(values, [[0.4, 0.4, 0.1]])


@pytest.mark.parametrize("k", [1, 3, 8, 40])
def test_of_ties_the_first_are_in_the_list(k):
    weights = np.random.default_rng(0).integers(0, 4, (5, 7, 40)).astype(np.float32) / 4
    weights[0, 0, 3] = np.nan  # comes last
    values, keys = topk(weights, k)
    order = np.argsort(-weights, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(keys, order)
    np.testing.assert_array_equal(values, np.take_along_axis(weights, order, -1))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_pooling_agrees_with_a_loop(queries, keys, rows, columns):
    weights = np.random.default_rng(7).random((1, queries, keys), dtype=np.float32)
    mean, peak = pool(weights, rows, columns)
    down = [*block_edges(queries, rows), queries]
    across = [*block_edges(keys, columns), keys]
    assert mean.shape == peak.shape == (1, len(down) - 1, len(across) - 1)
    assert len(down) - 1 <= rows
    assert len(set(np.diff(down[:-1]))) <= 1  # equal blocks, but the last
    assert 0 < down[-1] - down[-2] <= -(-queries // rows)
    for i in range(len(down) - 1):
        for j in range(len(across) - 1):
            block = weights[0, down[i] : down[i + 1], across[j] : across[j + 1]]
            assert mean[0, i, j] == pytest.approx(block.mean(), rel=1e-5)
            assert peak[0, i, j] == block.max()


def test_a_summary_says_what_the_whole_map_says(weights):
    whole = Track("x", "self", "s", "s", weights(2, 61, 61))
    part = Track("x", "self", "s", "s", whole.summary(16, k=5))
    assert part.shape == whole.shape
    assert part.heads == 2
    np.testing.assert_array_equal(part.entropy(), whole.entropy())
    np.testing.assert_array_equal(part.received(), whole.received())
    np.testing.assert_array_equal(part.topk(3)[1], whole.topk(3)[1])
    assert isinstance(part.weights, MapSummary)
    assert not isinstance(whole.weights, MapSummary)
    coarse, peak = part.weights.coarser(4, 4)
    cells = np.outer(*(2 * [np.diff([*block_edges(61, 16), 61])]))
    np.testing.assert_allclose(
        (part.weights.mean * cells).sum(axis=(1, 2)), [61, 61], rtol=1e-5
    )  # all mass of 61 rows that sum to 1
    assert peak.max() == whole.weights.max()
    np.testing.assert_allclose(
        coarse, pool(whole.weights, 4, 4)[0], rtol=1e-5
    )  # last blocks differ
    assert coarse.shape == (2, 4, 4)
    with pytest.raises(InputError, match="summary"):
        part.dense()


def test_the_mean_over_heads_of_a_summary_is_bounded_from_above(weights):
    whole = Track("x", "self", "s", "s", weights(3, 30, 30))
    part = Track("x", "self", "s", "s", whole.summary(10))
    for heads in ("mean", "max", 1):
        exact, bound = whole.blocks(10, 10, heads=heads), part.blocks(10, 10, heads=heads)
        if heads != "max":
            np.testing.assert_allclose(exact[0], bound[0], rtol=1e-5)
        assert (bound[1] >= exact[1] - 1e-7).all()


def test_a_summary_cannot_be_merged(weights, source):
    track = Track("x", "self", "s", "s", MapSummary.of(weights(1, 9, 9)))
    with pytest.raises(InputError, match="before summarising"):
        AttentionRecord({"s": source}, (track,)).words()


def test_a_summary_of_parts_that_do_not_fit(weights):
    good = MapSummary.of(weights(2, 9, 9))
    with pytest.raises(ShapeError, match="does not go with"):
        MapSummary(
            good.mean, good.max[:1], good.top_values, good.top_keys, good.entropy, good.received
        )


def test_saved_and_loaded_is_the_same(tmp_path, layers, weights, odd_tokens):
    odd = Tokens.of(odd_tokens)
    big = Track(
        "big", "self", "odd", "odd", MapSummary.of(weights(2, len(odd), len(odd)), blocks=5)
    )
    record = AttentionRecord(
        {**layers.tokens, "odd": odd},
        (*layers.tracks, big),
        title="title",
        reading="reading",
        notes=("one", "two"),
        verdict="verdict",
    )
    again = AttentionRecord.load(record.save(tmp_path / "x.npz"))
    assert dict(again.tokens) == dict(record.tokens)
    for field in ("title", "reading", "notes", "verdict"):
        assert getattr(again, field) == getattr(record, field)
    for old, new in zip(record.tracks, again.tracks, strict=True):
        assert (old.label, old.kind, old.direction) == (new.label, new.kind, new.direction)
        if isinstance(old.weights, MapSummary):
            for name, array in vars(old.weights).items():
                np.testing.assert_array_equal(array, getattr(new.weights, name))
        else:
            np.testing.assert_array_equal(old.weights, new.weights)
    assert [p.name for p in tmp_path.iterdir()] == ["x.npz"]


def test_files_that_are_no_record(tmp_path, cross):
    path = tmp_path / "x.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match="not a saved record"):
        AttentionRecord.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(DataError, match="not a saved record"):
        AttentionRecord.load(path)
    np.savez(path, record=np.array([{"a": 1}], dtype=object))  # a pickle is not opened
    with pytest.raises(DataError, match="not a saved record"):
        AttentionRecord.load(path)
    newer = json.dumps({"format": 99}).encode()
    np.savez(path, record=np.frombuffer(newer, dtype=np.uint8))
    with pytest.raises(DataError, match="newer"):
        AttentionRecord.load(path)
    cut = cross.save(tmp_path / "cut.npz")
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(DataError, match="not a saved record"):
        AttentionRecord.load(cut)
    with pytest.raises(FileNotFoundError):
        AttentionRecord.load(tmp_path / "none.npz")


def test_a_damaged_file_is_no_record_wherever_the_damage_is(tmp_path, cross):
    whole = cross.save(tmp_path / "x.npz").read_bytes()
    damaged = tmp_path / "y.npz"
    for place in range(0, len(whole), 7):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with suppress(DataError):  # in names and dates of the archive nothing is lost
            AttentionRecord.load(damaged)


def test_a_record_that_contradicts_itself_names_its_file(tmp_path, cross):
    with np.load(cross.save(tmp_path / "x.npz")) as arrays:
        weights, about = arrays["0.weights"], json.loads(bytes(arrays["record"]))
    changed: dict[str, Any]
    for changed in ({"tracks": []}, {"tokens": []}, {"tokens": {"source": None}}):
        text = json.dumps(about | changed).encode()
        np.savez(
            tmp_path / "y.npz", **{"record": np.frombuffer(text, np.uint8), "0.weights": weights}
        )
        with pytest.raises(DataError, match=r"y\.npz: not a saved record"):
            AttentionRecord.load(tmp_path / "y.npz")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("title",), 7),
        (("reading",), None),
        (("notes",), "one"),
        (("notes",), [1]),
        (("verdict",), ["no"]),
        (("tokens", "source", "pieces", 0), 3),
        (("tokens", "source", "text"), None),
        (("tokens", "source", "offsets", 0, 1), 2.5),
        (("tokens", "source", "special", 0), "no"),
        (("tracks", 0, "name"), 1),
        (("tracks", 0, "layer"), "0"),
        (("tracks", 0, "layer"), 1.5),
        (("tracks", 0, "direction"), 0),
    ],
)
def test_a_value_of_another_type_names_the_file_and_the_field(tmp_path, cross, place, value):
    with np.load(cross.save(tmp_path / "x.npz")) as arrays:
        weights, about = arrays["0.weights"], json.loads(bytes(arrays["record"]))
    inner = about
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(tmp_path / "y.npz", **{"record": text, "0.weights": weights})
    field = next(name for name in reversed(place) if isinstance(name, str))
    with pytest.raises(DataError, match=rf"y\.npz: not a saved record \({field}: expected"):
        AttentionRecord.load(tmp_path / "y.npz")


def test_saving_to_a_format_there_is_not(tmp_path, cross):
    with pytest.raises(InputError, match=r"did you mean '.png'"):
        cross.save(tmp_path / "x.pngg")
    with pytest.raises(SettingsError, match="takes no options"):
        cross.save(tmp_path / "x.npz", scale="log")
    assert not list(tmp_path.iterdir())


def test_a_record_is_frozen(cross):
    with pytest.raises(AttributeError):
        cross.title = "other"
    with pytest.raises(ValueError, match="read-only"):
        cross.tracks[0].weights[0, 0, 0] = 1
    with pytest.raises(TypeError):
        cross.tokens["more"] = cross.tokens["source"]


@pytest.mark.parametrize("shape", [(1, 0, 3), (1, 3, 0), (0, 3, 3)])
def test_a_map_without_queries_keys_or_heads(shape):
    words = [["a", "b", "c"][:length] for length in shape[1:]]
    with pytest.raises(
        InputError, match=f"{shape[0]} heads of {shape[1]} queries x {shape[2]} keys"
    ):
        AttentionRecord.of(np.zeros(shape), *words)


def test_heads_of_an_ensemble_are_named_for_its_members(weights):
    track = Track("pooling", "pooling", "reader", "text", weights(3, 1, 5), members=3)
    assert [track.head_name(head) for head in range(3)] == ["member 1", "member 2", "member 3"]
    track = Track("encoder", "self", "text", "text", weights(4, 5, 5), members=2)
    assert track.head_name(3) == "member 2, head 2"
    with pytest.raises(InputError, match="4 heads of 3 members"):
        Track("encoder", "self", "text", "text", weights(4, 5, 5), members=3)


def test_a_printed_record_is_a_screen(weights):
    tokens = Tokens.of([f"token{i}" for i in range(300)])
    tracks = [Track("encoder", "self", "t", "t", weights(8, 300, 300), n) for n in range(12)]
    record = AttentionRecord({"t": tokens}, tuple(tracks), title="x " * 500, verdict="y " * 500)
    assert len(str(record).splitlines()) <= 24
    assert max(map(len, str(record).splitlines())) <= 100
    assert "encoder 1 · 8 heads · 300 t × 300 t" in str(record)
    for shown in (repr(record), repr(record.tracks[0]), f"{record.tracks[:2]}"):
        assert len(shown) < 200


def test_a_mean_of_layers_is_named_and_saved(cross, tmp_path):
    mean = replace(cross, tracks=(replace(cross.tracks[0], layer=None),))
    assert mean.tracks[0].label == "cross mean of layers"
    assert mean.select("cross", layer=-1).tracks == mean.tracks
    again = AttentionRecord.load(mean.save(tmp_path / "x.npz"))
    assert again.tracks[0].layer is None


def test_members_prediction_and_explanation_are_saved(weights, tmp_path):
    tokens = Tokens.of(["so", "good"])
    scores = (
        Attribution("n-grams", np.array([0.5, np.nan]), True, "a"),
        Attribution("attention", np.array([0.25, 0.75]), False, "b"),
    )
    record = AttentionRecord(
        {"reader": Tokens.of(["reader"], special=["reader"]), "text": tokens},
        (Track("pooling", "pooling", "reader", "text", weights(3, 1, 2), members=3),),
        prediction=Prediction(("x",), (("x", 0.75), ("y", 0.25))),
        explanation=Explanation(tokens, "x", 0.75, scores, "why"),
    )
    again = AttentionRecord.load(record.save(tmp_path / "x.npz"))
    assert again.tracks[0].members == 3
    assert again.prediction == record.prediction
    assert again.explanation is not None
    for one, other in zip(again.explanation.attributions, scores, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        assert (one.name, one.signed, one.about) == (other.name, other.signed, other.about)
    assert again.explanation.reason == "why"
    assert again.select().explanation is None
    assert again.select().prediction == record.prediction
    page = again.save(tmp_path / "x.html").read_text(encoding="utf-8")
    assert '"values":[0.5,null]' in page
    assert '"head_names":["member 1","member 2","member 3"]' in page


def test_records_of_format_1_are_read(weights, tmp_path):
    """They knew no members, predictions and explanations."""
    record = AttentionRecord.of(weights(2, 3, 3), ["a", "b", "c"])
    with np.load(record.save(tmp_path / "x.npz")) as arrays:
        about = json.loads(bytes(arrays["record"]))
        about = {**about, "format": 1}
        del about["prediction"], about["explanation"], about["tracks"][0]["members"]
        text = json.dumps(about).encode()
        np.savez(
            tmp_path / "old.npz",
            **{"record": np.frombuffer(text, np.uint8), "0.weights": arrays["0.weights"]},
        )
    again = AttentionRecord.load(tmp_path / "old.npz")
    np.testing.assert_array_equal(again.tracks[0].weights, record.tracks[0].weights)
    assert again.tracks[0].members == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_record_survives_pickle_and_deepcopy(
    copied: Callable[[AttentionRecord], AttentionRecord],
) -> None:
    weights = np.full((2, 2, 3), 1 / 3, np.float32)
    record = AttentionRecord.of(
        weights, ["a", "b"], ["x", "y", "z"], title="t", verdict="v"
    ).words()
    again = copied(record)
    assert type(again) is type(record)
    assert (again.tokens, again.notes, again.title) == (record.tokens, record.notes, "t")
    np.testing.assert_array_equal(again.tracks[0].weights, record.tracks[0].weights)
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(again.tracks[0].weights)[:] = 0
    summary = replace(
        record, tracks=(replace(record.tracks[0], weights=record.tracks[0].summary()),)
    )
    np.testing.assert_array_equal(
        copied(summary).tracks[0].received(), summary.tracks[0].received()
    )


@pytest.mark.parametrize(
    "shape", [(1, 3000, 60_000), (5000, 3, 4), (1, 1, 4), (3, 4), (1, 3, 4, 5000), (0, 3, 4)]
)
def test_weights_that_do_not_go_with_the_tokens_are_not_unpacked(tmp_path, shape):
    record = AttentionRecord.of(np.full((1, 3, 4), 0.25), list("abc"), list("wxyz"))
    with np.load(record.save(tmp_path / "x.npz")) as arrays:
        about = arrays["record"]
    zeros = np.zeros(shape, np.float16)
    np.savez_compressed(tmp_path / "y.npz", **{"record": about, "0.weights": zeros})
    with pytest.raises(DataError, match=r"y\.npz: not a saved record \(0\.weights: shape \("):
        AttentionRecord.load(tmp_path / "y.npz")


def test_a_text_that_unpacks_to_much_more_than_tokens_do(tmp_path):
    spaces = np.full(40_000_000, ord(" "), np.uint8)
    np.savez_compressed(tmp_path / "y.npz", record=spaces)
    with pytest.raises(DataError, match="record: shape"):
        AttentionRecord.load(tmp_path / "y.npz")


def test_a_summary_whose_keys_are_not_those_of_its_tokens(tmp_path):
    weights = np.full((1, 3, 4), 0.25, np.float32)
    summary = MapSummary.of(weights, blocks=2, k=2)
    record = AttentionRecord.of(weights, list("abc"), list("wxyz"))
    track = replace(record.tracks[0], weights=summary)
    path = replace(record, tracks=(track,)).save(tmp_path / "x.npz")
    AttentionRecord.load(path)
    with np.load(path) as arrays:
        content = dict(arrays)
    for name, value, message in (
        ("0.top_keys", content["0.top_keys"] + 3, "from 3 to 4 of 4 keys"),
        ("0.received", np.zeros((1, 5)), "0.received: shape"),
        ("0.mean", np.zeros((1, 4, 4)), "0.mean: shape"),
        ("0.entropy", np.zeros((1, 2)), "0.entropy: shape"),
    ):
        np.savez(tmp_path / "y.npz", **{**content, name: value})
        with pytest.raises(DataError, match=message):
            AttentionRecord.load(tmp_path / "y.npz")
