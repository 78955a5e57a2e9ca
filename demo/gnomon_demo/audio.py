"""Recordings: WAV files decoded to samples."""

import io
import struct
import wave
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: The longest recording, in seconds.
LONGEST_S = 600.0

#: Samples per second that are accepted.
RATES = range(4000, 96_001)

Samples = NDArray[np.float32]


class NotAudio(Exception):  # noqa: N818  # it says what the file is
    """The file is no recording that can be decoded; the message says why."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Samples of one channel, from -1 to 1, and how many there are per second."""

    samples: Samples
    rate: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / self.rate


def decode(data: bytes) -> Recording:
    """Return what a WAV file holds (PCM of 8, 16, 24 or 32 bits), its channels mixed to one.

    Nothing is believed that the header says of sizes: memory is taken for what is there. Raises
    NotAudio.
    """
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            declared = file.getnframes()
            frames = file.readframes(declared)
    except (wave.Error, EOFError, ValueError, OverflowError, RuntimeError, struct.error) as error:
        # The last three are how the wave module meets sizes that cannot be.
        raise NotAudio(f"not a WAV file: {str(error) or 'it ends too early'}") from None
    if width not in {1, 2, 3, 4} or channels < 1:
        raise NotAudio(f"{8 * width} bits in {channels} channels cannot be decoded")
    if rate not in RATES:
        raise NotAudio(f"{rate} samples per second: expected {RATES[0]} to {RATES[-1]}")
    whole = len(frames) // (width * channels)
    if whole < declared:
        raise NotAudio(f"truncated: {declared} frames are declared, {whole} are there")
    if not whole:
        raise NotAudio("empty: there is no sound in it")
    if whole > LONGEST_S * rate:
        raise NotAudio(f"{whole / rate:.0f} s long: expected {LONGEST_S:.0f} s at most")
    mixed = _levels(frames, width).reshape(-1, channels).mean(axis=1, dtype=np.float32)
    return Recording(mixed, rate)


def _levels(frames: bytes, width: int) -> Samples:
    """Return PCM as numbers from -1 to 1."""
    if width == 1:  # the only one without a sign
        levels = np.frombuffer(frames, np.uint8).astype(np.float32)
        levels -= 128
    elif width == 3:
        padded = np.zeros((len(frames) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        levels = padded.view("<i4").ravel().astype(np.float32)
        width = 4
    else:
        levels = np.frombuffer(frames, np.dtype(f"<i{width}")).astype(np.float32)
    levels /= 2 ** (8 * width - 1)
    return levels
