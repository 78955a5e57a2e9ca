"""What is heard in a recording: features of its frames, segments of sound, a transcript of them.

The desk has no model of language. Its transcript says honestly what can be computed: when there
is sound, how loud it is, and whether it is a tone, a voice or noise.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

import gnomon
from gnomon_demo.audio import Recording, Samples, decode

#: Seconds of a frame, and from the beginning of one to that of the next.
FRAME_S, HOP_S = 0.025, 0.010

#: Sound is at least so loud, relative to full scale, and so much louder than the silence around.
QUIETEST_DB, ABOVE_SILENCE_DB = -50.0, 12.0

#: Shorter silences do not end a segment; shorter sounds are none.
GAP_S, SHORTEST_S = 0.2, 0.1

_BANDS = 26
_SILENCE_DB = -100.0
_BLOCK = 512

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Features:
    """What is computed of each frame, one row or number a frame.

    level_db: relative to full scale. bands: logarithm of the power in 26 bands of the mel scale.
    peak_hz: the strongest frequency. flatness: from 0, a pure tone, to 1, noise.
    """

    level_db: Matrix
    bands: Matrix
    peak_hz: Matrix
    flatness: Matrix


@dataclass(frozen=True, slots=True)
class Segment:
    """Sound from ``start`` to ``end`` in seconds; ``heard`` is tone, voice or noise."""

    start: float
    end: float
    level_db: float
    pitch_hz: float
    heard: str

    def line(self) -> str:
        """Return the segment as a line of a transcript."""
        times = f"[{_clock(self.start)} - {_clock(self.end)}]"
        pitch = f" at {self.pitch_hz:.0f} Hz" if self.heard != "noise" else ""
        return f"{times} {self.heard}{pitch}, {self.level_db:.0f} dB"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is heard in a recording that lasts ``seconds``."""

    seconds: float
    segments: list[Segment]

    @property
    def text(self) -> str:
        """The transcript, a line for each segment."""
        return "".join(f"{segment.line()}\n" for segment in self.segments) or "[silence]\n"

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON shall show it."""
        segments = [asdict(segment) for segment in self.segments]
        return {"seconds": round(self.seconds, 3), "segments": segments, "text": self.text}


def transcribe(data: bytes) -> Transcript:
    """Return what is heard in a WAV file; all of it is CPU time. Raises audio.NotAudio."""
    recording = decode(data)
    return Transcript(recording.seconds, segments(features(recording)))


@gnomon.timed("features")
def features(recording: Recording) -> Features:
    """Return what is computed of each frame of a recording."""
    frame = max(16, round(FRAME_S * recording.rate))
    hop = max(8, round(HOP_S * recording.rate))
    samples = recording.samples
    if len(samples) < frame:
        samples = np.pad(samples, (0, frame - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, frame)[::hop]
    # In blocks: a long recording's spectra at once would take a hundred times its size.
    parts = [
        _spectral(frames[at : at + _BLOCK], recording.rate) for at in range(0, len(frames), _BLOCK)
    ]
    level, bands, peak, flatness = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Features(level, bands, peak, flatness)


@gnomon.timed("segments")
def segments(found: Features) -> list[Segment]:
    """Return the parts of a recording in which there is sound, by the energy of its frames."""
    floor = float(np.percentile(found.level_db, 10))
    # A recording without a silence has no floor: then the quietest level alone decides.
    limit = max(QUIETEST_DB, min(floor + ABOVE_SILENCE_DB, float(found.level_db.max()) - 6))
    loud = np.flatnonzero(found.level_db > limit)
    if not len(loud):
        return []
    gap = round(GAP_S / HOP_S)
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > gap) + 1)
    runs = [(int(part[0]), int(part[-1])) for part in parts]
    return [
        _segment(found, first, last) for first, last in runs if (last - first) * HOP_S >= SHORTEST_S
    ]


def _segment(found: Features, first: int, last: int) -> Segment:
    frames = slice(first, last + 1)
    power = np.mean(10 ** (found.level_db[frames] / 10))
    flatness = float(np.median(found.flatness[frames]))
    pitch = float(np.median(found.peak_hz[frames]))
    steady = float(np.std(found.peak_hz[frames])) < 0.05 * max(pitch, 1)
    sung = "tone" if steady and flatness < 0.05 else "voice"
    # A frame's level is that of its middle, more or less.
    return Segment(
        start=round(first * HOP_S + FRAME_S / 2, 3),
        end=round(last * HOP_S + FRAME_S / 2, 3),
        level_db=round(10 * float(np.log10(power)), 1),
        pitch_hz=round(pitch, 1),
        heard="noise" if flatness > 0.3 else sung,
    )


def _spectral(frames: Samples, rate: int) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Return level, mel bands, strongest frequency and flatness of each frame."""
    length = frames.shape[1]
    level = np.sqrt(np.mean(frames * frames, axis=1))
    level_db = 20 * np.log10(np.maximum(level, 10 ** (_SILENCE_DB / 20)))
    power = np.abs(np.fft.rfft(frames * np.hanning(length).astype(np.float32), axis=1)) ** 2
    power = power.astype(np.float32) + np.float32(1e-12)
    bands = np.log(power @ _mel(power.shape[1], rate) + np.float32(1e-12))
    logs = np.log(power)
    flatness = np.exp(np.mean(logs, axis=1)) / np.mean(power, axis=1)
    hertz = (_peaks(logs) * rate / length).astype(np.float32)
    return level_db.astype(np.float32), bands, hertz, flatness


def _peaks(logs: Matrix) -> Matrix:
    """Return where each spectrum is highest, in bins: the top of a parabola through its bins."""
    peak = logs[:, 1:-1].argmax(axis=1) + 1
    rows = np.arange(len(logs))
    before, top, after = logs[rows, peak - 1], logs[rows, peak], logs[rows, peak + 1]
    bend = before - 2 * top + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.minimum(bend, -1e-9), 0)
    found: Matrix = (peak + np.clip(shift, -0.5, 0.5)).astype(np.float32)
    return found


def _mel(bins: int, rate: int) -> Matrix:
    """Return the weights of the bins of a spectrum in triangular bands, equal in mel."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, _BANDS + 2) / 2595) - 1)
    at = np.linspace(0, rate / 2, bins)[:, None]
    low, middle, high = hertz[:-2], hertz[1:-1], hertz[2:]
    rising, falling = (at - low) / (middle - low), (high - at) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02}:{seconds % 60:05.2f}"
