"""Recordings to send: tones between silences."""

import array
import io
import math
import sys
import wave


def tone(seconds: float, hertz: float = 440.0, rate: int = 8000) -> bytes:
    """Return a WAV file of one channel: in each second a tone from 0.25 to 0.75 s, else silence.

    The tone is at half of full scale, -9 dB.
    """
    samples = array.array(
        "h",
        (
            round(16_384 * math.sin(2 * math.pi * hertz * n / rate))
            if 0.25 <= n % rate / rate < 0.75
            else 0
            for n in range(round(seconds * rate))
        ),
    )
    if sys.byteorder == "big":
        samples.byteswap()
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.tobytes())
    return file.getvalue()
