"""Recordings decoded and heard, against what was put into them."""

import random
import struct

import numpy as np
import pytest

from gnomon_demo import audio, speech
from gnomon_demo.tones import tone

# A frame is 25 ms long, and its level is that of its middle.
EDGE_S = 0.02


@pytest.mark.parametrize(("width", "step"), [(1, 1 / 64), (2, 1e-4), (3, 1e-6), (4, 1e-6)])
def test_samples_are_those_that_were_written(wav, width, step):
    """In every width of PCM, to within a step of it."""
    samples = np.linspace(-1, 1, 1000)
    found = audio.decode(wav(samples, width=width))
    assert found.rate == 16_000
    assert np.abs(found.samples - samples).max() < step


def test_channels_are_mixed(wav):
    """Two channels become their mean."""
    found = audio.decode(wav([0.5, -0.25] * 800, channels=2))
    assert len(found.samples) == 800
    assert np.allclose(found.samples, 0.125, atol=1e-4)
    assert found.seconds == 0.05


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_tones_between_silences_are_the_segments(wav, sound, rate):
    """Their beginnings, ends, frequencies and levels are those that were made."""
    tones = [(0.5, 1.0, 440.0), (1.6, 2.4, 1000.0)]
    found = speech.transcribe(wav(sound(3, *tones, rate=rate), rate=rate))
    assert found.seconds == pytest.approx(3)
    assert [segment.heard for segment in found.segments] == ["tone", "tone"]
    for segment, (start, end, hertz) in zip(found.segments, tones, strict=True):
        assert segment.start == pytest.approx(start, abs=EDGE_S)
        assert segment.end == pytest.approx(end, abs=EDGE_S)
        assert segment.pitch_hz == pytest.approx(hertz, rel=0.02)
        assert segment.level_db == pytest.approx(-9.0, abs=0.5)
    assert found.text.splitlines()[0].endswith(" Hz, -9 dB")


def test_silence_has_no_segments(wav):
    """And says so."""
    found = speech.transcribe(wav(np.zeros(16_000)))
    assert found.segments == []
    assert found.text == "[silence]\n"


def test_a_tone_without_any_silence_is_one_segment(wav, sound):
    """There is no quiet to compare it with."""
    [segment] = speech.transcribe(wav(sound(2, (0, 2, 300)))).segments
    assert (segment.start, segment.end) == pytest.approx((0, 2), abs=EDGE_S)


def test_short_gaps_do_not_divide_and_short_clicks_are_nothing(wav, sound):
    """A gap of 100 ms stays within, a click of 20 ms is no segment."""
    samples = sound(3, (0.5, 0.9, 500), (1.0, 1.4, 500), (2.5, 2.52, 500))
    [segment] = speech.transcribe(wav(samples)).segments
    assert (segment.start, segment.end) == pytest.approx((0.5, 1.4), abs=EDGE_S)


def test_noise_is_told_from_tones_also_above_a_quiet_hiss(wav, sound):
    """By how flat its spectrum is."""
    rng = np.random.default_rng(1)
    samples = sound(4, (2.0, 3.0, 700)) + rng.normal(0, 0.0005, 64_000)
    samples[8_000:16_000] += rng.normal(0, 0.1, 8_000)
    found = speech.transcribe(wav(samples)).segments
    assert [segment.heard for segment in found] == ["noise", "tone"]


def test_long_recordings_take_no_memory_by_their_length(wav, sound):
    """A spectrum of every frame at once would take hundreds of MiB for two minutes."""
    frames = []
    spectral = speech._spectral
    speech._spectral = lambda part, rate: frames.append(len(part)) or spectral(part, rate)
    try:
        speech.transcribe(wav(sound(60, (1, 59, 300), rate=8_000), rate=8_000))
    finally:
        speech._spectral = spectral
    assert max(frames) <= speech._BLOCK
    assert sum(frames) == pytest.approx(6_000, abs=5)


def test_the_load_s_own_recordings_are_what_they_say():
    """Half a second of tone in each second."""
    found = speech.transcribe(tone(3, 660, 16_000)).segments
    assert [(s.start, s.end) for s in found] == [
        pytest.approx((n + 0.25, n + 0.75), abs=EDGE_S) for n in range(3)
    ]


def header(channels=1, rate=8000, bits=16, declared=None, data=b"\0" * 1600, kind=1):
    """Return a WAV file of a header that may say anything."""
    size = len(data) if declared is None else declared
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", 4 + len(body) + size & 0xFFFFFFFF) + body + data


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a WAV file"),
        (b"RIFF", "not a WAV file"),
        (b"ID3\x03" + bytes(5000), "not a WAV file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(5000), "not a WAV file"),
        (header(data=b""), "empty"),
        (header(declared=1 << 30), "truncated: 536870912 frames are declared, 800 are there"),
        (header(declared=1602), "truncated"),
        (header(kind=3, bits=32), "not a WAV file"),
        (header(channels=0), "not a WAV file"),
        (header(rate=0), "samples per second"),
        (header(rate=1_000_000), "samples per second"),
        (header(bits=0), "not a WAV file"),
        (header(bits=64), "64 bits|not a WAV"),
        (header(rate=4000, bits=8, data=b"\x80" * 4000 * 601), "601 s long"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_recording_is_refused_with_its_reason(data, why):
    """Sizes that a header declares cost nothing."""
    with pytest.raises(audio.NotAudio, match=why):
        audio.decode(data)


def test_damaged_files_are_refused_or_heard_and_nothing_else():
    """Whatever byte is wrong, and wherever the file ends."""
    chance = random.Random(7)
    whole, reasons = tone(0.2), set()
    for _ in range(600):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(60)] = chance.randrange(256)
        data = data[: chance.choice((len(data), chance.randrange(len(data))))]
        try:
            speech.transcribe(bytes(data))
        except audio.NotAudio as error:
            reasons.add(str(error))
    assert "" not in reasons
    assert len(reasons) > 5
