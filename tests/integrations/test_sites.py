"""Names of the sites of attention, from the names of modules."""

from __future__ import annotations

import pytest

from regard.integrations.sites import order_of_sites, site_names, stack_of


@pytest.mark.parametrize(
    ("modules", "is_encoder_decoder", "expected"),
    [
        ({"encoder.layer.0.attention.self": False}, False, {"encoder"}),
        ({"transformer.h.0.attn": True}, False, {"decoder"}),
        (
            {
                "encoder.layers.0.self_attn": False,
                "decoder.layers.0.self_attn": True,
                "decoder.layers.0.encoder_attn": False,
            },
            True,
            {"encoder", "decoder", "cross"},
        ),
        (
            {
                "text_model.encoder.layers.0.self_attn": True,
                "vision_model.encoder.layers.0.self_attn": False,
            },
            False,
            {"text", "vision"},
        ),
        (
            {
                "model.vision_tower.encoder.layers.0.self_attn": False,
                "model.language_model.layers.0.self_attn": True,
            },
            False,
            {"vision", "decoder"},
        ),
        (
            {
                "speech_encoder.layers.0.self_attn": False,
                "text_encoder.layers.0.self_attn": False,
                "text_decoder.layers.0.self_attn": True,
                "text_decoder.layers.0.cross_attention": False,
            },
            False,
            {"audio", "text", "decoder", "cross"},
        ),
        (
            {
                "model.vision_model.encoder.layers.0.self_attn": False,
                "model.text_model.layers.0.self_attn": True,
            },
            False,
            {"vision", "decoder"},
        ),
        (
            {
                "vision_tower.blocks.0.attn": False,
                "language_model.encoder.layers.0.self_attn": False,
                "language_model.decoder.layers.0.self_attn": True,
            },
            True,
            {"vision", "encoder", "decoder"},
        ),
        (
            {"vision_encoder.layers.0.attn": False, "text_encoder.layers.0.self_attn": True},
            False,
            {"vision", "text"},
        ),
        ({"wav2vec2.encoder.layers.0.attention": False}, False, {"encoder"}),
        (
            {"detector.layers.0.self_attn": False, "tracker.layers.0.self_attn": False},
            False,
            {"detector", "tracker"},
        ),
        (
            {
                "a.layers.0.crossattention": False,
                "b.layers.0.crossattention": False,
            },
            False,
            {"cross.a", "cross.b"},
        ),
    ],
)
def test_names_of_sites(modules, is_encoder_decoder, expected):
    names = site_names(modules, is_encoder_decoder=is_encoder_decoder)
    assert set(names) == set(modules)
    assert set(names.values()) == expected


def test_no_two_stacks_share_a_site():
    modules = {
        f"{stack}.layers.{n}.self_attn": False for stack in ("x.y", "x.z", "w") for n in (0, 1)
    }
    names = site_names(modules, is_encoder_decoder=False)
    assert len(set(names.values())) == 3
    assert names["x.y.layers.0.self_attn"] == names["x.y.layers.1.self_attn"]


def test_self_and_cross_attention_are_numbered_apart():
    assert stack_of("decoder.layers.3.self_attn") == stack_of("decoder.layers.0.self_attn")
    assert stack_of("decoder.layers.3.self_attn") != stack_of("decoder.layers.3.encoder_attn")


def test_order_of_sites():
    assert order_of_sites(["cross", "decoder", "tracker", "vision"]) == [
        "tracker",
        "vision",
        "decoder",
        "cross",
    ]
