"""Captioning models: planted words that each look at a known patch, and maps beside transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from regard.errors import InputError, ModelFolderError
from regard.integrations.pretrained.patches import look_at_image
from regard.viewing.media import ImageRecord

ROWS, COLUMNS, PATCH, WIDTH = 2, 3, 8, 16
PIECES = ("[PAD]", "[BOS]", "[EOS]", "a", "dog", "run", "##ning", "<b>", "red", "sea")
WRITTEN = ("a", "dog", "run", "##ning", "[EOS]")
TARGETS = {1: (4, 0, 5, 2, 1), 2: (3, 3, 1, 1, 0)}
"""The patch, counted row by row, that each head looks at as it writes each piece."""


def write_tokenizer(folder: Path, pieces: tuple[str, ...] = PIECES) -> None:
    vocabulary = {piece: n for n, piece in enumerate(pieces)}
    own = Tokenizer(models.WordPiece(vocabulary, unk_token="[PAD]"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.decoder = decoders.WordPiece(cleanup=False)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]"
    ).save_pretrained(folder)


def write_processor(folder: Path, tall: int = ROWS * PATCH, wide: int = COLUMNS * PATCH) -> None:
    name = "ViTImageProcessor"  # the one that needs Pillow alone, by the name this version has
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    kind(size={"height": tall, "width": wide}).save_pretrained(folder)


def captioner(decoder: Any, encoder: Any = None, **settings: Any) -> Any:
    encoder = encoder or transformers.ViTConfig(
        image_size=(ROWS * PATCH, COLUMNS * PATCH),  # type: ignore[arg-type]
        patch_size=PATCH,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    config = transformers.VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    model = transformers.VisionEncoderDecoderModel(config)
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=1, pad_token_id=0, eos_token_id=2, **settings
    )
    return model.eval()


def gpt2(**options: Any) -> Any:
    return transformers.GPT2Config(
        vocab_size=len(PIECES),
        n_positions=32,
        n_embd=WIDTH,
        n_layer=1,
        n_head=2,
        bos_token_id=1,
        eos_token_id=2,
        add_cross_attention=True,
        **options,
    )


def planted() -> Any:
    """A captioner that writes `WRITTEN`, each piece with its eyes on its patch of `TARGETS`.

    Token `j` of the image is one-hot in feature `j`, position `n` of the text in feature `n`: a query
    reads feature `n`, a key that of its target, and the next piece is told by feature `n` alone.
    """
    model = captioner(gpt2(tie_word_embeddings=False))
    encoder, decoder = model.encoder, model.decoder.transformer
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = name.endswith("weight") and ("norm" in name or ".ln_" in name)
            parameter.fill_(1.0 if is_scale else 0.0)
        tokens = 1 + ROWS * COLUMNS
        encoder.embeddings.position_embeddings[0] = 10 * torch.eye(WIDTH)[:tokens]
        next(m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d)).weight[-1] = 0.001
        decoder.wpe.weight[:WIDTH] = 10 * torch.eye(WIDTH)
        cross, wide = decoder.h[0].crossattention, WIDTH // 2
        for head, patches in TARGETS.items():
            for n, patch in enumerate(patches):
                at = (head - 1) * wide + n
                cross.q_attn.weight[n, at] = 5.0
                cross.c_attn.weight[1 + patch, at] = 5.0
        for n, piece in enumerate(WRITTEN):
            model.decoder.lm_head.weight[PIECES.index(piece), n] = 5.0
    return model


def save(folder: Path, model: Any) -> Path:
    model.save_pretrained(folder)
    write_processor(folder)
    write_tokenizer(folder)
    return folder


def photo(folder: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (40, 90, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "photo.png")
    return folder / "photo.png"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("captioner"), planted())


@pytest.fixture(scope="module")
def seen(folder: Path) -> ImageRecord:
    return look_at_image(folder, photo(folder))


def test_each_word_lights_the_patch_it_was_written_from(seen: ImageRecord) -> None:
    assert seen.title == "photo.png: a dog running"
    assert [each.word for each in seen.words] == ["a", "dog", "running"]
    assert seen.query == "step that wrote each word"
    for word, pieces in enumerate(([0], [1], [2, 3]), 1):  # the last has two pieces: their mean
        for head, patches in TARGETS.items():
            expected = np.zeros(ROWS * COLUMNS)
            for piece in pieces:
                expected[patches[piece]] += 1 / len(pieces)
            found = seen.grid(1, head, word=word)
            np.testing.assert_allclose(found.ravel(), expected, atol=1e-3)
            lit = np.kron(expected.reshape(ROWS, COLUMNS) > 0, np.ones((PATCH, PATCH))) > 0
            np.testing.assert_array_equal(seen.pixels(1, head, word=word) > 0.4, lit)
            np.testing.assert_array_equal(seen.spotlight(1, head, word=word)[lit], seen.image[lit])
    means = [seen.grid(word=word) for word in (1, 2, 3)]
    np.testing.assert_allclose(seen.grid(), np.mean(means, axis=0), atol=1e-6)
    assert seen.lines(1, 1)[:2] == [
        "a: most attention at row 2 of 2, column 2 of 3 (1.00)",
        "dog: most attention at row 1 of 2, column 1 of 3 (1.00)",
    ]
    assert seen.notes[1:] == ("100% of the attention is on patches, the rest on other tokens.",)


def test_a_picture_and_a_page_of_words(seen: ImageRecord, tmp_path: Path) -> None:
    for name, options in (("a.png", {}), ("b.svg", {"layer": 1, "head": 2}), ("c.pdf", {})):
        assert seen.save(tmp_path / name, **options).stat().st_size > 1000
    page = seen.save(tmp_path / "a.html").read_text()
    assert page.count("data:image/png") == 1 + 3 + 3  # the image, the mean of layers, the layer
    assert page.count("<figcaption>running</figcaption>") == 2
    with pytest.raises(InputError, match="no word 4; expected 1 to 3"):
        seen.grid(word=4)
    with pytest.raises(InputError, match="no layer 2; expected 1 to 1"):
        seen.save(tmp_path / "x.png", layer=2)


def test_words_are_no_markup(tmp_path: Path) -> None:
    model = planted()
    with torch.no_grad():
        model.decoder.lm_head.weight[PIECES.index("<b>"), 0] = 9.0
    seen = look_at_image(save(tmp_path, model), photo(tmp_path))
    page = seen.save(tmp_path / "a.html").read_text()
    assert "<figcaption>&lt;" in page
    assert "<b>" not in page


DECODERS = {
    "gpt2": gpt2(),
    "bert": transformers.BertConfig(
        vocab_size=len(PIECES),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        add_cross_attention=True,
        is_decoder=True,
    ),
}


@pytest.mark.parametrize("kind", DECODERS)
@pytest.mark.parametrize("beams", [1, 3])
def test_caption_and_maps_are_those_of_transformers(kind: str, beams: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = captioner(DECODERS[kind], min_new_tokens=4, max_new_tokens=7, num_beams=beams)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "norm" not in name:
                parameter.normal_(
                    0, 0.5
                )  # larger than at the start, so that maps are far from even
    plain = ("[PAD]", "[BOS]", "[EOS]", *(letter * 2 for letter in "bcdfghj"))
    model.save_pretrained(tmp_path)
    write_processor(tmp_path)
    write_tokenizer(tmp_path, plain)
    seen = look_at_image(tmp_path, photo(tmp_path))

    theirs = transformers.VisionEncoderDecoderModel.from_pretrained(
        tmp_path, attn_implementation="eager"
    ).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor(Image.open(tmp_path / "photo.png"), return_tensors="pt")["pixel_values"]
    out = theirs.generate(
        pixels, do_sample=False, return_dict_in_generate=True, output_attentions=True
    )
    ids = out.sequences[0, 1:].tolist()
    words = [(n, plain[i]) for n, i in enumerate(ids) if i > 2]
    assert len(words) > 2
    assert [each.word for each in seen.words] == [word for _, word in words]
    if beams > 1:
        with torch.no_grad():
            again = theirs(
                pixel_values=pixels, decoder_input_ids=out.sequences[:, :-1], output_attentions=True
            )
        steps = torch.stack([layer[0] for layer in again.cross_attentions]).transpose(0, 2)
        by_token = steps.transpose(1, 2)
    else:
        by_token = torch.stack(
            [torch.stack([layer[0, :, -1] for layer in step]) for step in out.cross_attentions]
        )
    found = np.stack([each.weights for each in seen.words])
    expected = by_token[[n for n, _ in words]][..., 1:].reshape(*found.shape)
    assert float(expected.max()) > 0.5
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)
    assert any("cut off" in note for note in seen.notes) == (ids[-1] != 2)


def test_blip_writes_and_looks_as_in_transformers(tmp_path: Path) -> None:
    torch.manual_seed(1)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    marks = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "pad_token_id": 0}
    text = {"vocab_size": len(PIECES), "intermediate_size": 8, "max_position_embeddings": 32}
    config = transformers.BlipConfig(
        text_config={**sizes, **marks, **text, "encoder_hidden_size": WIDTH},
        vision_config={**sizes, "intermediate_size": 8, "image_size": 24, "patch_size": PATCH},
    )
    model = transformers.BlipForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "norm" not in name:
                parameter.normal_(0, 0.5)
        model.text_decoder.cls.predictions.bias[:3] = -9.0  # words, and no end
    plain = ("[PAD]", "[BOS]", "[EOS]", *(letter * 2 for letter in "bcdfghj"))
    model.save_pretrained(tmp_path)
    write_processor(tmp_path, 24, 24)
    write_tokenizer(tmp_path, plain)
    seen = look_at_image(tmp_path, photo(tmp_path))

    theirs = transformers.BlipForConditionalGeneration.from_pretrained(
        tmp_path, attn_implementation="eager"
    ).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = processor(Image.open(tmp_path / "photo.png"), return_tensors="pt")["pixel_values"]
    ids = theirs.generate(pixels, do_sample=False, max_new_tokens=20)
    words = [plain[i] for i in ids[0, 1:].tolist()]
    assert [each.word for each in seen.words] == words
    assert seen.title == f"photo.png: {' '.join(words)}"
    with torch.no_grad():
        steps = theirs.text_decoder(
            ids[:, :-1],
            encoder_hidden_states=theirs.vision_model(pixels).last_hidden_state,
            output_attentions=True,
        ).cross_attentions
    by_token = torch.stack([layer[0] for layer in steps]).permute(2, 0, 1, 3)
    found = np.stack([each.weights for each in seen.words])
    expected = by_token[..., 1:].reshape(*found.shape)
    assert float(expected.max()) > 0.5
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_an_encoder_that_merges_patches_is_refused(tmp_path: Path) -> None:
    windows = transformers.SwinConfig(
        image_size=16, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=2
    )
    model = captioner(gpt2(), windows, suppress_tokens=[0, 1, 2], max_new_tokens=3)
    with pytest.raises(
        InputError, match="attends to 6 tokens at a time and the image has 24 patches"
    ):
        look_at_image(save(tmp_path, model), photo(tmp_path))


def test_what_writes_no_caption_is_refused(folder: Path, tmp_path: Path) -> None:
    model = planted()
    model.generation_config.decoder_start_token_id = None
    model.generation_config.bos_token_id = None
    with pytest.raises(ModelFolderError, match="which token a text begins with"):
        look_at_image(save(tmp_path / "start", model), photo(tmp_path))
    model = planted()
    with torch.no_grad():
        model.decoder.lm_head.weight[2, 0] = 9.0
    with pytest.raises(InputError, match="wrote no word about this image"):
        look_at_image(save(tmp_path / "mute", model), tmp_path / "photo.png")
    planted().save_pretrained(tmp_path / "bare")
    write_processor(tmp_path / "bare")
    with pytest.raises(ModelFolderError, match="its tokenizer cannot be loaded"):
        look_at_image(tmp_path / "bare", tmp_path / "photo.png")
