"""`/transcribe`: recordings in, transcripts out, and what each of them took."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, HTTPException, UploadFile

from gnomon_demo import batches
from gnomon_demo.audio import NotAudio
from gnomon_demo.routes.faults import as_asked
from gnomon_demo.state import Here, there
from gnomon_demo.uploads import MOST

router = APIRouter(prefix="/transcribe", dependencies=[Depends(as_asked)], tags=["transcribe"])

_LONGEST_NAME = 100


@router.post("")
async def transcribe(desk: Here, file: UploadFile) -> dict[str, Any]:
    """Transcribe one WAV file; the answer has the transcript and the eight numbers."""
    try:
        return await desk.transcriptions.now(_name(file), await file.read())
    except NotAudio as error:
        raise HTTPException(422, str(error)) from None


@router.post("/batches", status_code=202)
async def begin(
    desk: Here,
    files: list[UploadFile],
    priority: Annotated[Literal["high", "normal", "low"], Form()] = "normal",
) -> dict[str, Any]:
    """Queue WAV files; the answer says where to look for them."""
    if len(files) > MOST:
        raise HTTPException(413, f"{len(files)} files: expected {MOST} at most")
    named = [(_name(file), await file.read()) for file in files]
    batch = await desk.transcriptions.submit(named, priority)
    return {"batch": batch, "files": len(files), "url": f"/transcribe/batches/{batch}"}


@router.get("/batches/{batch}")
async def batch(desk: Here, batch: str) -> dict[str, Any]:
    """Return a batch: its recordings, each with what it took, and the sum of all."""
    found = await batches.one(desk.database, desk.settings.transcripts, batch)
    return there(found, f"batch {batch}")


@router.get("/{recording}")
async def recording(desk: Here, recording: str) -> dict[str, Any]:
    """Return a recording's transcript, and what it took."""
    found = await batches.recording(desk.database, desk.settings.transcripts, recording)
    return there(found, f"recording {recording}")


def _name(file: UploadFile) -> str:
    """Return what a client calls its file, as far as it can be shown."""
    name = "".join(c for c in file.filename or "" if c.isprintable())
    return name[-_LONGEST_NAME:] or "recording.wav"
