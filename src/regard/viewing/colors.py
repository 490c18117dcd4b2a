"""Map weights to shades: one perceptually uniform single-hue scale for every view.

Shades step evenly in OKLab lightness (Ottosson 2020, https://bottosson.github.io/posts/oklab/), so
that twice the shade reads as twice the weight, in colour, in grey and to a colour-blind eye.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regard.errors import SettingsError, nearest
from regard.viewing.data.summary import FloatArray, full_share

__all__ = ["DECADES", "Scale", "Sign", "Theme", "contrast", "palette", "shade", "shade_text"]

Scale: TypeAlias = Literal["linear", "log", "row"]
Theme: TypeAlias = Literal["light", "dark"]
Sign: TypeAlias = Literal["for", "against"]
"""Whether a score speaks for a label or against it; weights only have the first."""

DECADES = 4
"""Powers of ten below the largest weight that the log scale covers."""

_HUES = {"for": 262.0, "against": 45.0}  # blue and orange, which colour-blind eyes tell apart
_CHROMA_SHARE = {"for": 1.0, "against": 0.65}  # sRGB holds less chroma of orange
_LIGHTNESS = {"light": (0.985, 0.30), "dark": (0.20, 0.93)}
_CHROMA = {
    "light": (0.004, 0.17, 0.13),
    "dark": (0.02, 0.16, 0.03),
}  # at 0, 1/2 and 1, all of it inside sRGB


def shade(weights: FloatArray, scale: Scale = "linear") -> FloatArray:
    """Shades from 0 to 1 for a `(queries, keys)` map.

    `linear` is relative to the largest weight of the map, `row` to the largest of each row, and
    `log` spreads the four powers of ten below the largest weight evenly.

    >>> shade(np.array([[0.5, 0.25]]))
    array([[1. , 0.5]])
    """
    if scale not in ("linear", "log", "row"):
        raise SettingsError(f"unknown scale {scale!r}; {nearest(scale, ('linear', 'log', 'row'))}")
    peak = weights.max(axis=1, keepdims=True) if scale == "row" else weights.max(initial=0.0)
    return _shares(weights, peak, scale)


def shade_text(weights: FloatArray, scale: Scale = "linear") -> FloatArray:
    """Shades from 0 to 1 for the tokens of one text.

    The darkest shade is that of `full_share`, so that uniform attention looks pale all over, and not dark
    all over.
    """
    return _shares(weights, full_share(weights), scale)


def _shares(weights: FloatArray, peak: FloatArray | float, scale: Scale) -> FloatArray:
    shares = weights / np.maximum(peak, np.finfo(np.float32).tiny)
    if scale != "log":
        return np.asarray(np.clip(shares, 0, 1))
    floor = 10.0**-DECADES
    return np.asarray(np.clip(1 + np.log10(np.maximum(shares, floor)) / DECADES, 0, 1))


@cache
def palette(theme: Theme = "light", sign: Sign = "for") -> NDArray[np.uint8]:
    """256 colours as `(256, 3)` sRGB bytes, from weight 0 to the largest weight."""
    steps = np.linspace(0, 1, 256)
    lightness = np.interp(steps, (0, 1), _LIGHTNESS[theme])
    chroma = _CHROMA_SHARE[sign] * np.interp(steps, (0, 0.5, 1), _CHROMA[theme])
    return np.round(_srgb(lightness, chroma, _HUES[sign]) * 255).astype(np.uint8)


def contrast(color: NDArray[np.uint8]) -> str:
    """Black or white, whichever is easier to read on `color` (WCAG relative luminance)."""
    linear = _linear(color / 255.0)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def _linear(srgb: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _srgb(
    lightness: NDArray[np.float64], chroma: NDArray[np.float64], hue: float
) -> NDArray[np.float64]:
    """OKLCH to sRGB."""
    a, b = (chroma * f(np.deg2rad(hue)) for f in (np.cos, np.sin))
    lms = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        axis=1,
    )
    mix = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = lms**3 @ mix.T
    curve = 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(linear <= 0.0031308, linear * 12.92, curve))
