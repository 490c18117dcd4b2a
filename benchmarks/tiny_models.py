"""Every architecture of the installed `transformers`, tiny and with random weights.

The sizes in a configuration are recognised by their names and made small; what a configuration derives from
them (layer types, head dimensions) it derives from the small ones. Inputs are made from the signature of
`forward`.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

__all__ = ["UnbuildableError", "build", "inputs_of", "model_types"]

VOCABULARY = 120
LENGTH = 12
LARGEST = 40_000_000
"""Parameters above which a model counts as not tiny."""

SIZES: tuple[tuple[str, int], ...] = (
    (r"(q|kv|o)_lora_rank|.*_lora_rank|.*low_rank.*", 16),
    (r"qk_nope_head_dim|qk_rope_head_dim|v_head_dim|.*_v_head_dim|.*_qk_.*head_dim", 8),
    (r"index_n_heads|indexer_.*heads", 4),
    (r"index_head_dim|qk_head_dim", 16),
    (r"(.*_)?head_dim|d_kv|d_head|attention_head_size|.*_head_size|head_size", 8),
    (
        r"num_key_value_heads|(.*_)?kv_heads|n_kv_heads|num_kv_heads|.*key_value_heads|.*_num_kv_heads",
        2,
    ),
    (r"(.*_)?num_attention_groups|n_groups?|topk_group|n_group|num_groups", 1),
    (
        r"(.*_)?(n|num)_(attention_|attn_)?heads?|n_head|num_heads?|.*_attention_heads|.*num_heads|nhead|num_attn_heads|n_heads|nheads",
        4,
    ),
    (
        r"moe_k|top_k_experts|num_experts_per_tok(en)?|num_selected_experts|moe_topk|num_experts_per_token|experts_per_token",
        2,
    ),
    (
        r"num_(local_|routed_|shared_)?experts|n_routed_experts|moe_num_experts|num_moe_experts|.*num_experts",
        4,
    ),
    (
        r"(.*_)?(n|num)_(hidden_|encoder_|decoder_)?layers?|n_layers?|.*_layers|num_blocks|.*_num_blocks|depth|.*_depth|num_layer|decoder_layers|encoder_layers",
        2,
    ),
    (
        r"(.*_)?(intermediate_size|ffn_dim|ffn_hidden_size|d_ff|d_inner|dim_feedforward|n_inner|mlp_dim|feed_forward_size|inner_dim|ff_dim|mlp_hidden_size|ffn_size|ffn_embed_dim|ffn_hidden_dim)",
        48,
    ),
    (
        r"(.*_)?(hidden_size|d_model|n_embd|embed_dim|hidden_dim|embedding_size|embedding_dim|model_dim|emb_dim|projection_dim|proj_dim|output_dim|embeddings_size|out_hidden_size|d_embed|emb_size|width|hidden_channels|embed_size|num_features|feature_size|word_embed_proj_dim|hidden_width)|dim|emb_dim",
        32,
    ),
    (
        r"(.*_)?(vocab_size|vocabulary_size|num_embeddings|vocab|n_vocab|.*_vocab_size)",
        VOCABULARY,
    ),
    (r"window_size", 4),
    (r"(.*_)?codebook_size", 128),
    (r"d_latents", 32),
    (r"num_frames", 2),
    (r"image_size|img_size|input_size", 32),
    (r"patch_size", 8),
    (
        r"(.*_)?(max_position_embeddings|n_positions|max_source_positions|max_target_positions|n_ctx|max_seq_len|max_sequence_length|seq_length|max_length|block_size_max|max_positions|max_text_len|max_context_length)",
        64,
    ),
    (r"(.*_)?(sliding_window|attention_window|local_attention|window_attention)", 6),
    (
        r"num_queries|num_query_tokens|num_latents|num_object_queries|resampler_n_latents|num_learnable_queries",
        8,
    ),
    (r"num_mel_bins|.*_mel_bins|num_mels|feature_size", 16),
    (r"linear_(num_)?(key|value)_heads?|linear_num_(key|value)_heads", 2),
    (r"linear_(key|value)_head_dim", 8),
    (r"state_size|ssm_state_size|mamba_d_state|d_state|time_step_rank", 8),
    (r"mamba_n_heads|mamba_num_heads", 4),
    (r"mamba_d_head|mamba_head_dim", 16),
)
KEPT = re.compile(
    r"(.*_)?(dropout|prob|rate|eps|std|theta|_id|_ids|_token|coef|factor|ratio)$|^num_labels$"
)


class UnbuildableError(Exception):
    """An architecture that cannot be built tiny, or not be run with inputs made up."""


def model_types() -> list[str]:
    """Names of all architectures that have an automatic model class."""
    from transformers.models.auto import configuration_auto, modeling_auto

    names = vars(configuration_auto)["CONFIG_MAPPING_NAMES"]
    known: set[str] = set()
    for name, mapping in vars(modeling_auto).items():
        if name.endswith("MAPPING_NAMES"):
            known.update(mapping)
    return sorted(name for name in known & set(names) if not _is_part(name))


def _is_part(name: str) -> bool:
    """Return whether only a tokenizer or a processor has this name."""
    from transformers.models.auto import modeling_auto

    return not any(
        name in getattr(modeling_auto, mapping)
        for mapping in vars(modeling_auto)
        if mapping.startswith("MODEL_") and mapping.endswith("MAPPING_NAMES")
    )


def build(model_type: str, seed: int = 0) -> nn.Module:
    """Build an architecture tiny, in evaluation mode.

    Raises:
        UnbuildableError: its configuration or its model refuses the small sizes, or it stays large.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = _configuration(CONFIG_MAPPING[model_type])
    _, cls = _model_class(type(config), model_type)
    name = cls.__name__
    with torch.device("meta"):
        size = sum(p.numel() for p in cls(copy.deepcopy(config)).parameters())
    if size > LARGEST:
        raise UnbuildableError(f"{name} has {size:,} parameters even with small sizes")
    torch.manual_seed(seed)
    model: nn.Module = cls(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():  # so that attention is not almost even
            if parameter.dim() > 1 and parameter.is_floating_point():
                spread = 0.6 / max(1.0, parameter.shape[-1] ** 0.5)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    return model


def _model_class(config_class: Any, model_type: str) -> tuple[str, Any]:
    import transformers
    from transformers.models.auto import modeling_auto

    order = ["MODEL_MAPPING_NAMES", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"]
    names = [name for name in vars(modeling_auto) if name.endswith("MAPPING_NAMES")]
    for mapping in order + [name for name in names if name not in order]:
        found = getattr(modeling_auto, mapping).get(model_type)
        if found is None:
            continue
        for name in (found,) if isinstance(found, str) else found:
            cls = getattr(transformers, name, None)
            if cls is not None and getattr(cls, "config_class", None) is config_class:
                return name, cls
    raise UnbuildableError("has no model class of its configuration")


def _configuration(cls: Any) -> Any:
    """An instance of a configuration class with small sizes, and of those inside it."""
    try:
        return _shrunk(cls())
    except UnbuildableError:
        raise
    except Exception as error:
        raise UnbuildableError(f"configuration: {error}") from error


def _shrunk(config: Any) -> Any:
    """A copy of a configuration with small sizes."""
    cls, subs = type(config), getattr(type(config), "sub_configs", {})
    fields = getattr(cls, "__dataclass_fields__", {})
    values: dict[str, Any] = {}
    for name, field in fields.items():
        try:
            value = getattr(config, name, None)
        except Exception:  # of some layers only
            continue
        if name in subs or hasattr(value, "to_dict"):
            if hasattr(value, "to_dict"):
                values[name] = _shrunk(value)
        elif (small := _small(name, value)) is not None:
            values[name] = small
        elif name.endswith("token_id") and isinstance(value, int) and value >= VOCABULARY:
            values[name] = 3
        elif name == "vocab_size" and value is None:
            values[name] = VOCABULARY
        elif name == "default_language":
            values[name] = "en_XX"
        elif isinstance(value, str | bool) and value != field.default:
            values[name] = value
    _fit_together(config, values)
    while True:
        try:
            made = cls(**values)
            break
        except Exception as error:
            named = [name for name in values if re.search(rf"\b{name}\b", str(error))]
            if not named:
                raise
            del values[named[0]]
    _fit_rotation(made)
    return made


def _fit_together(config: Any, values: dict[str, Any]) -> None:
    """Make sizes that depend on each other agree."""
    if "kv_lora_rank" in values and "num_key_value_heads" in values:
        values["num_key_value_heads"] = values.get("num_attention_heads", 4)
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None)
    if isinstance(kinds, list) and kinds and "num_hidden_layers" in values:
        firsts = [kinds.index(kind) for kind in set(kinds)]
        count = max(2, min(max(firsts) + 1, 12))
        values["num_hidden_layers"] = count
        if "layer_types" in getattr(type(config), "__dataclass_fields__", {}):
            values["layer_types"] = list(kinds[:count])
    for name in ("num_kv_shared_layers", "first_k_dense_replace"):
        if hasattr(config, name) and isinstance(getattr(config, name), int):
            values[name] = min(1, getattr(config, name)) if name.startswith("first") else 0
    if isinstance(getattr(config, "rotary_dim", None), int):
        values["rotary_dim"] = 4
    if hasattr(config, "axial_pos_embds"):
        values["axial_pos_embds"] = False
    kind = getattr(config, "model_type", "")
    if kind == "bamba":
        values["attn_layer_indices"] = [1]
    if kind == "granitemoehybrid":
        values["layer_types"] = ["mamba", "attention"]
    if kind == "esm":
        values |= {"mask_token_id": 4, "pad_token_id": 1}


def _fit_rotation(config: Any) -> None:
    """Make the sections of a rotation by several positions fit the small heads."""
    rotation: Any = getattr(config, "rope_parameters", None)
    is_sectioned = isinstance(rotation, dict) and "mrope_section" in rotation
    is_sectioned |= getattr(config, "model_type", "").startswith("glm") and isinstance(
        rotation, dict
    )
    if not is_sectioned:
        return
    heads = getattr(config, "num_attention_heads", 4)
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    half = int(width * rotation.get("partial_rotary_factor", 1)) // 2
    rotation["mrope_section"] = [half - 2 * (half // 4), half // 4, half // 4]


def _small(name: str, value: Any) -> Any:
    """A small size in place of a value that is one by its name."""
    if isinstance(value, bool) or value is None or KEPT.match(name):
        return None
    if isinstance(value, int):
        for pattern, size in SIZES:
            if re.fullmatch(pattern, name):
                return min(size, value) if value > 0 else None
        return None
    if isinstance(value, list | tuple) and value and all(type(x) is int for x in value):
        return type(value)(_small_list(name, value))
    return None


def _small_list(name: str, values: Iterable[int]) -> list[int]:
    numbers = list(values)
    if re.search(r"depths|num_blocks|layers", name) and "indices" not in name:
        return [min(2, number) for number in numbers]
    if name == "image_size":
        return [min(32, number) for number in numbers]
    if re.search(r"heads", name):
        return [1 << min(2, number.bit_length() - 1) for number in numbers]
    if re.search(r"hidden|embed_dim|dims|channels|sizes", name) and max(numbers) > 64:
        factor = max(numbers) / 64
        return [max(8, int(number / factor) // 8 * 8) for number in numbers]
    return numbers


def inputs_of(model: Any, seed: int = 1) -> dict[str, torch.Tensor]:
    """Random inputs for a model, two texts, images or sounds, by the names of its arguments.

    The second text is padded at its end.
    """
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    names = list(inspect.signature(model.forward).parameters)
    text = getattr(config, "text_config", config)
    size = min(
        VOCABULARY,
        *(
            value
            for value in (getattr(c, "vocab_size", None) for c in (config, text))
            if isinstance(value, int) and value > 8
        ),
        VOCABULARY,
    )
    ids = torch.randint(5, max(6, size - 1), (2, LENGTH), generator=generator)
    given: dict[str, torch.Tensor] = {}
    main = getattr(model, "main_input_name", "input_ids")
    if "input_ids" in names and main in ("input_ids", "pixel_values", "input_features"):
        given["input_ids"] = ids
        if "attention_mask" in names:
            mask = torch.ones_like(ids)
            mask[1, -4:] = 0
            given["attention_mask"] = mask
    if "decoder_input_ids" in names and getattr(config, "is_encoder_decoder", False):
        given["decoder_input_ids"] = ids[:, :7]
    has_image_token = any("image_token" in name for name in vars(config))
    if "grid_thw" in names or "spatial_shapes" in names:
        given.update(_patches(names, config, generator))
    elif main == "pixel_values_videos":
        given[main] = _video(config, generator)
    elif main == "pixel_values" or ("pixel_values" in names and not has_image_token):
        is_video = getattr(config, "num_frames", None) and "image" not in getattr(
            config, "model_type", ""
        )
        given["pixel_values"] = (_video if is_video else _image)(config, generator)
    if main == "inputs":
        given["inputs"] = torch.randn(2, LENGTH, config.d_model, generator=generator)
    if "qformer_input_ids" in names:
        given["qformer_input_ids"] = ids
    if "bbox" in names:
        given["bbox"] = torch.zeros(2, LENGTH, 4, dtype=torch.long)
    if main in ("input_values", "input_features", "audio_values"):
        given.update(_sound(main, config, generator))
    if not given and names:
        raise UnbuildableError(f"no inputs are known for {main}")
    return given


def _image(config: Any, generator: torch.Generator) -> torch.Tensor:
    inside = [value for value in vars(config).values() if hasattr(value, "to_dict")]
    sources = [config, getattr(config, "vision_config", None), *inside]
    source = next((x for x in sources if getattr(x, "image_size", None) is not None), config)
    size = getattr(source, "image_size", None) or 64
    height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
    channels = getattr(source, "num_channels", 3) or 3
    channels = channels if isinstance(channels, int) else 3
    return torch.randn(2, channels, height, width, generator=generator)


def _video(config: Any, generator: torch.Generator) -> torch.Tensor:
    """Frames `(2, frames, channels, height, width)`."""
    frames: Any = getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", 2)
    image = _image(config, generator)
    return torch.stack([image + 0.1 * n for n in range(frames)], 1)


def _patches(names: list[str], config: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Two images of 4 x 4 patches each, end to end or beside each other."""
    config = config if hasattr(config, "patch_size") else config.vision_config
    channels: Any = getattr(config, "in_channels", None) or getattr(config, "num_channels", 3)
    width = channels * getattr(config, "temporal_patch_size", 1) * config.patch_size**2
    if "spatial_shapes" in names:
        return {
            "pixel_values": torch.randn(2, 16, width, generator=generator),
            "pixel_attention_mask": torch.ones(2, 16, dtype=torch.long),
            "spatial_shapes": torch.tensor([[4, 4], [4, 4]]),
        }
    grid = torch.tensor([[1, 4, 4], [1, 4, 4]])
    return {names[0]: torch.randn(32, width, generator=generator), "grid_thw": grid}


def _sound(name: str, config: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
    if name == "input_features":
        source = getattr(config, "audio_config", None) or config
        bins = next(
            (
                value
                for key in (
                    "num_mel_bins",
                    "input_feat_per_channel",
                    "feature_size",
                    "input_dim",
                    "num_mels",
                )
                if isinstance(value := getattr(source, key, None), int)
            ),
            80,
        )
        positions = getattr(config, "max_source_positions", None)
        if positions and getattr(config, "model_type", "") in ("whisper",):
            return {name: torch.randn(2, bins, 2 * positions, generator=generator)}
        return {name: torch.randn(2, 40, bins, generator=generator)}
    if getattr(config, "num_mel_bins", None) and getattr(config, "max_length", None):
        shape = 2, config.max_length, config.num_mel_bins  # a spectrogram
        return {name: torch.randn(shape, generator=generator)}
    return {name: torch.randn(2, 2000, generator=generator)}
