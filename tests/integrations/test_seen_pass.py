"""From one pass of a watched model to a record that can be shown; and a real BERT."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

import regard
from regard.errors import InputError, ShapeError
from regard.integrations import Keep, tokens
from regard.viewing import AttentionRecord, MapSummary, Tokens

TEXT = "The Matterhorn isn't unclimbable, apparently."


@pytest.fixture(scope="module")
def seen(minilm):
    model, tokenizer = minilm
    with torch.no_grad(), regard.watch(model) as seen:
        model(**tokenizer(TEXT, return_tensors="pt"))
    return seen


def test_a_real_bert_against_eager(minilm, seen):
    model, tokenizer = minilm
    model.set_attn_implementation("eager")
    with torch.no_grad():
        inputs = tokenizer(TEXT, return_tensors="pt")
        matrices = model(**inputs, output_attentions=True).attentions
    model.set_attn_implementation("sdpa")
    assert len(seen["encoder"]) == len(matrices) == 6
    for layer, matrix in zip(seen["encoder"], matrices, strict=True):
        np.testing.assert_allclose(layer.dense, matrix, atol=1e-5)


def test_a_record_is_shown_saved_and_loaded(minilm, seen, tmp_path, capsys):
    record = seen.record(tokens(minilm[1], TEXT), title="MiniLM")
    assert [track.layer for track in record.tracks] == list(range(6))
    length = len(record.tokens["text"])
    assert record.tracks[0].weights.shape == (12, length, length)
    words = record.words()
    assert "unclimbable" in words.tokens["text"].pieces
    np.testing.assert_allclose(words.tracks[0].weights.sum(-1), 1, atol=1e-5)
    record.select(layer=0).show()
    assert "mean of 12 heads" in capsys.readouterr().out
    again = AttentionRecord.load(record.save(tmp_path / "it.npz"))
    np.testing.assert_array_equal(again.tracks[5].weights, record.tracks[5].weights)


def test_padding_is_removed(minilm, seen):
    model, tokenizer = minilm
    texts = [TEXT, "Short."]
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad(), regard.watch(model) as both:
        model(**inputs)
    short = tokens(tokenizer, texts[1])
    record = both.record(short, example=1, mask=inputs["attention_mask"][1])
    assert record.tracks[0].shape == (len(short), len(short))
    weights = record.tracks[3].weights
    assert isinstance(weights, np.ndarray)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    with pytest.raises(ShapeError, match="cut the padding"):
        both.record(short, example=1)
    with pytest.raises(ShapeError, match=r"mask has shape \(2, "):
        both.record(short, example=1, mask=inputs["attention_mask"])


def test_long_texts_become_summaries(minilm):
    model, tokenizer = minilm
    inputs = tokenizer(TEXT, return_tensors="pt")
    with torch.no_grad(), regard.watch(model, keep=Keep(dense_limit=4, pool=8)) as seen:
        model(**inputs)
    record = seen.record(tokens(tokenizer, TEXT))
    summary = record.tracks[0].weights
    assert isinstance(summary, MapSummary)
    assert summary.mean.shape[0] == 12
    assert summary.received.shape == (12, inputs["input_ids"].shape[1])
    mask = np.ones(inputs["input_ids"].shape[1])
    mask[-1] = 0
    with pytest.raises(InputError, match="padding cannot be cut out of a summary"):
        seen.record(tokens(tokenizer, TEXT), mask=mask)


def test_encoder_decoders_name_the_reading():
    torch.manual_seed(0)
    model = transformers.BartModel(
        transformers.BartConfig(
            vocab_size=20,
            d_model=8,
            encoder_layers=2,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=8,
            decoder_ffn_dim=8,
            max_position_embeddings=16,
        )
    ).eval()
    source, target = torch.tensor([[5, 6, 7]]), torch.tensor([[2, 8]])
    with torch.no_grad(), regard.watch(model) as seen:
        model(input_ids=source, decoder_input_ids=target)
    a, b = Tokens.of(["une", "petite", "fin"]), Tokens.of(["<s>", "an"], special=["<s>"])
    record = seen.record(a, b, reading="input")
    assert [(t.name, t.kind, t.queries, t.keys, t.direction) for t in record.tracks] == [
        ("encoder", "self", "source", "source", "both"),
        ("encoder", "self", "source", "source", "both"),
        ("decoder", "self", "target", "target", "causal"),
        ("cross", "cross", "target", "source", "both"),
    ]
    assert "decoder's input" in record.reading
    assert record.tokens["target"].pieces == ("<s>", "an")
    # By default a row belongs to the token that its step wrote; nobody says what the last step wrote.
    written = seen.record(a, b)
    assert [(t.queries, t.keys) for t in written.tracks[2:]] == [
        ("decoder input", "decoder input"),
        ("target", "source"),
    ]
    assert written.tokens["target"].pieces == ("an", "…")
    assert written.tokens["decoder input"].pieces == ("<s>", "an")
    assert "decoder's output" in written.reading
    assert any("wrote a token that is not here" in note for note in written.notes)
    # What `generate` returns ends with the token of the last step, which no step read.
    whole = Tokens.of(["<s>", "an", "end"], special=["<s>"])
    said = seen.record(a, whole)
    assert said.tokens["target"].pieces == ("an", "end")
    assert said.tokens["decoder input"].pieces == ("<s>", "an")
    assert said.notes == ()
    assert seen.record(a, whole, reading="input").tokens["target"].pieces == ("<s>", "an")
    for other in (written, said):
        np.testing.assert_array_equal(other.tracks[3].dense(), record.tracks[3].dense())
    for given in (whole.take([0]), whole.take([0, 1, 2, 1])):
        with pytest.raises(ShapeError, match="'target' has"):
            seen.record(a, given)
    alone = seen.record(a)
    assert [track.name for track in alone.tracks] == ["encoder", "encoder"]
    assert alone.reading == ""


def of_length(count):
    return Tokens.of([f"t{n}" for n in range(count)])


def test_all_that_generate_returned_makes_a_record(make, ids):
    model = make("gpt2")
    mask = torch.ones_like(ids)
    mask[1, :4] = 0
    with regard.watch(model) as seen:
        text = model.generate(
            ids, attention_mask=mask, max_new_tokens=5, min_new_tokens=5, pad_token_id=1
        )
    length = text.shape[1]
    for count in (length, length - 1):
        record = seen.record(of_length(count))
        assert record.tokens["text"].pieces == of_length(length - 1).pieces
        assert ("The last token was written last" in "".join(record.notes)) == (count == length)
    for given in (of_length(length), of_length(length - 1), of_length(length - 4)):
        record = seen.record(given, example=1, mask=mask[1])
        assert len(record.tokens["text"]) == length - 5
        weights = record.tracks[0].weights
        assert isinstance(weights, np.ndarray)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    with pytest.raises(ShapeError, match="'text' has"):
        seen.record(of_length(length + 1))
    with pytest.raises(InputError, match="no example 2 in a batch of 2"):
        seen.record(of_length(length), example=2)


def test_answers_to_one_source_share_its_encoder(make, ids):
    model = make("bart")
    with regard.watch(model) as seen:
        text = model.generate(ids, max_new_tokens=5, num_beams=3, num_return_sequences=3)
    assert (seen["encoder"][0].shape[0], seen["cross"][0].shape[0]) == (2, 6)
    for example, source in ((2, 0), (3, 1), (-1, 1)):
        record = seen.record(of_length(11), of_length(text.shape[1]), example=example)
        encoder = next(track for track in record.tracks if track.name == "encoder")
        np.testing.assert_array_equal(encoder.weights, seen["encoder"][0].dense[source])


def test_a_text_whose_beginning_was_read_outside_is_refused(make, ids):
    model = make("gpt2")
    with torch.no_grad():
        before = model(ids[:, :5], use_cache=True).past_key_values
        with regard.watch(model) as seen:
            model(ids[:, 5:], past_key_values=before)
    assert seen["decoder"][0].shape == (2, 4, 6, 11)
    assert seen["decoder"][0].calls[0].first_query == 5
    with pytest.raises(InputError, match="6 queries and 11 keys: the first positions"):
        seen.record(of_length(11))


def test_towers_have_their_names_and_text_its_record(make, ids, watched):
    model = make("clip")
    seen, _ = watched(model, input_ids=ids[:, :7], pixel_values=torch.randn(2, 3, 16, 16))
    assert seen.sites == ["vision", "text"]
    assert [seen[site][0].shape for site in seen.sites] == [(2, 4, 5, 5), (2, 4, 7, 7)]
    record = seen.record(of_length(7))
    assert [track.name for track in record.tracks] == ["text", "text"]
    assert record.notes == ("Not shown, since it is not over the text: vision.",)
    alone, _ = watched(model.vision_model, pixel_values=torch.randn(2, 3, 16, 16))
    assert len(alone.record(of_length(5)).tracks) == 2


def test_heads_that_were_not_kept_are_noted(make, ids, watched):
    seen, _ = watched(make("bert"), Keep(heads=(3, 1), layers=(2,)), input_ids=ids)
    record = seen.record(of_length(11))
    assert [(track.layer, track.heads) for track in record.tracks] == [(2, 2)]
    assert "Heads of the model that are shown: 3, 1." in record.notes
