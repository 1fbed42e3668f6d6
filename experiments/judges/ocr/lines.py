"""Lines of print to read: text of the King James Bible, drawn, then blurred and made noisy."""

import functools
import hashlib
import re
import subprocess
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HEIGHT = 48  # pixels, what the recogniser was trained on
FRAME = 8  # pixels of width for each position of its attention
MARGIN = 4
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf"
FONT_SIZE = 30


class Degradation(NamedTuple):
    """The line is shrunk to `height` pixels and stretched again, brought nearer to grey by the factor
    `contrast`, and given Gaussian noise of the standard deviation `noise`; black is 0, white 1."""
    height: int
    contrast: float
    noise: float


class Line(NamedTuple):
    begins: str  # book, chapter and verse
    text: str
    image: np.ndarray  # [HEIGHT, width], 0 to 1


@functools.lru_cache(maxsize=None)
def verses():
    """(reference, text) of every verse."""
    printed = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], check=True, capture_output=True,
                             text=True).stdout
    found = [re.match(r"(\w+:\d+) (.*)", line) for line in printed.splitlines()]
    return [match.groups() for match in found if match]


def fitting_words(first_verse, font, width):
    """As many words from a verse on as a line of that width holds."""
    words, used = [], 0.0
    for _, text in verses()[first_verse:]:
        for word in text.split():
            used += font.getlength(word + " ")
            if used > width:
                return words
            words.append(word)
    raise ValueError(f"less than a line of text from verse {first_verse} on")


def draw_line(first_verse, frames):
    width = frames * FRAME
    font = ImageFont.truetype(FONT, FONT_SIZE)
    words = fitting_words(first_verse, font, width - 2 * MARGIN)
    picture = Image.new("L", (width, HEIGHT), 255)
    pen, across = ImageDraw.Draw(picture), float(MARGIN)
    for word in words:
        pen.text((across, 5), word, fill=0, font=font)
        across += font.getlength(word + " ")
    return Line(verses()[first_verse][0], " ".join(words), np.asarray(picture, np.float64) / 255)


def draw_lines(count, frames):
    """Lines whose beginnings are equal steps apart in the book."""
    step = len(verses()) // count
    return [draw_line(i * step + step // 2, frames) for i in range(count)]


def degraded(image, how, seed, number):
    """A worse picture of the line; its noise depends on the seed and the line's number alone."""
    height, width = image.shape
    small = (max(1, round(width * how.height / height)), how.height)
    picture = Image.fromarray(np.round(image * 255).astype(np.uint8))
    picture = picture.resize(small, Image.BILINEAR).resize((width, height), Image.BILINEAR)
    grey = 0.5 + how.contrast * (np.asarray(picture, np.float64) / 255 - 0.5)
    noise = np.random.Generator(np.random.Philox(key=[seed, number])).standard_normal(grey.shape)
    return np.clip(grey + how.noise * noise, 0, 1)


def as_input(image):
    """What the recogniser takes: [1, 3, HEIGHT, width], -1 to 1."""
    return np.ascontiguousarray(np.broadcast_to((image - 0.5) / 0.5, (1, 3, *image.shape)),
                                np.float32)


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
