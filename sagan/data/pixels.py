"""From an image file's bytes to the square uint8 array of a protocol: decode, crop, then resize."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageOps

MAX_PIXELS = 2**26
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF")
FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_MODES = {"L": "greyscale (L)", "P": "of a palette (P)", "RGBA": "RGB with transparency (RGBA)"}


class BadImage(Exception):
    """An image that cannot be used. Its message says why, without the image's name."""


@dataclass(frozen=True)
class Preparing:
    """How images become rows. All of it is part of a metric's protocol.

    Attributes:
        resolution: side of the result in pixels.
        crop: side of the centre crop in pixels; the largest centred square where None.
        resize: antialiased filter, as in Pillow: its support grows with the scale.
        channels: 3 takes RGB images only, 1 greyscale images only.
        size: the (width, height) that every original must have; any that is large enough where None.
    """

    resolution: int
    crop: int | None
    resize: str
    channels: int
    size: tuple[int, int] | None

    def pixels(self, data: bytes) -> np.ndarray:
        """The image as uint8 [channels, resolution, resolution].

        Raises:
            BadImage: it cannot be decoded, or is not what the dataset's images are.
        """
        image = self._decoded(data)
        side = self.crop or min(image.size)
        # Rounded as in torchvision's CenterCrop, so that an odd margin falls on the same side.
        left, top = round((image.width - side) / 2), round((image.height - side) / 2)
        # Cropping first keeps pixels from outside of the crop out of the filter's support.
        square = image.crop((left, top, left + side, top + side))
        if side != self.resolution:
            square = square.resize((self.resolution, self.resolution), FILTERS[self.resize])
        return np.asarray(square).reshape(self.resolution, self.resolution, self.channels).transpose(2, 0, 1)

    def _decoded(self, data: bytes) -> Image.Image:
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.DecompressionBombError:
            raise BadImage(f"has more than {MAX_PIXELS:,} pixels") from None
        except Exception:
            raise BadImage(f"not an image ({', '.join(FORMATS)})") from None
        self._check(image)
        try:
            image.load()
            # Cameras store a picture lying, and how to turn it: it is seen turned everywhere.
            return ImageOps.exif_transpose(image) if image.getexif().get(ExifTags.Base.Orientation, 1) != 1 else image
        # Pillow's decoders raise whatever their libraries do: OSError, SyntaxError, ValueError, struct.error, …
        except Exception as error:
            raise BadImage(f"damaged: {error}") from None

    def _check(self, image: Image.Image) -> None:
        width, height = image.size
        if self.size and image.size != self.size:
            raise BadImage(f"is {width}x{height} pixels, not {self.size[0]}x{self.size[1]}")
        if min(image.size) < (self.crop or self.resolution):
            raise BadImage(f"is {width}x{height} pixels, smaller than {self.crop or self.resolution}")
        if width * height > MAX_PIXELS:
            raise BadImage(f"has more than {MAX_PIXELS:,} pixels")
        # The second picture of an MPO, a JPEG of phones, is the first one's preview or other eye.
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise BadImage(f"has {image.n_frames} frames or pages, not one")
        wanted = {1: "L", 3: "RGB"}[self.channels]
        if image.mode != wanted:
            raise BadImage(f"its pixels are {_MODES.get(image.mode, image.mode)}, not {_MODES.get(wanted, wanted)}")
