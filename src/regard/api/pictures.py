"""Attention of vision and speech models from folders of transformers, over the image or the sound itself."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from regard.errors import ModelFolderError
from regard.integrations.pretrained.folder import is_pretrained
from regard.integrations.pretrained.hub import is_hub_name, local_folder

if TYPE_CHECKING:
    from regard.viewing.media import ImageRecord, SoundRecord

__all__ = ["look_at_image", "look_at_sound"]


def look_at_image(folder: str | PathLike[str], image: str | PathLike[str]) -> ImageRecord:
    """Attention of a vision model over the patches of an image.

    A captioning model writes its caption; `words` then holds what each word looked at as it was written.

    Example::

        seen = regard.look_at_image("./vit-folder", "photo.jpg")
        seen.save("photo-attention.png", layer=-1)
        seen.grid(layer=12, head=3)  # (rows, columns)

    Args:
        folder: of a ViT-like model, a CLIP-like one, or a captioning one (`VisionEncoderDecoderModel`,
            BLIP), with its image processor (and tokenizer); or `hf:OWNER/NAME`.
        image: a PNG, JPEG, ...

    Raises:
        ModelFolderError: another model, or one without its processor.
        DataError: no image.
        InputError: a model whose attention does not lie on equal patches.
    """
    from regard.integrations.pretrained.patches import look_at_image as look  # slow to import

    return look(_folder_of(folder), Path(image))


def look_at_sound(folder: str | PathLike[str], sound: str | PathLike[str]) -> SoundRecord:
    """Attention of a speech model over the frames of a sound, and when each word is spoken.

    Word times are those of Radford et al. (2022), in steps of 0.02 s.

    Example::

        seen = regard.look_at_sound("./whisper-folder", "speech.wav")
        seen.save("speech.html")
        [(word.word, word.start, word.end) for word in seen.words]

    Args:
        folder: of a Whisper-like or a wav2vec2-like model, with its feature extractor; or `hf:OWNER/NAME`.
        sound: a WAV file.

    Raises:
        ModelFolderError: another model, or one without its feature extractor.
        DataError: no WAV file, or a longer one than the model hears at once.
    """
    from regard.integrations.pretrained.sounds import look_at_sound as look  # slow to import

    return look(_folder_of(folder), Path(sound))


def _folder_of(name: str | PathLike[str]) -> Path:
    folder = local_folder(name) if is_hub_name(name) else Path(name)
    if not is_pretrained(folder):
        raise ModelFolderError(
            f"{folder} holds no model that save_pretrained of transformers wrote; images and sounds are for "
            "those"
        )
    return folder
