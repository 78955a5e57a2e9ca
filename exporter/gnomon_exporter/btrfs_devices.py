"""The devices of a mounted Btrfs, asked from the kernel by ioctl(2)."""

import errno
import os
import struct
from dataclasses import dataclass
from fcntl import ioctl

# Numbers and layouts are those of include/uapi/linux/btrfs.h on x86 and ARM; where _IOC is made
# otherwise (MIPS, PowerPC, SPARC) the kernel refuses them, and the caller does without.
_FS_INFO = 0x8400941F
_DEV_INFO = 0xD000941E
_GET_DEV_STATS = 0xC4089434

#: The order in which the kernel counts a device's errors.
ERROR_TYPES = ("write", "read", "flush", "corruption", "generation")


@dataclass(frozen=True, slots=True)
class Device:
    """A device of a file system: sizes in bytes, errors in the order of ERROR_TYPES."""

    name: str
    uuid: str
    size: int
    used: int
    errors: tuple[int, ...]


def devices(mount_point: bytes) -> tuple[str, list[Device]]:
    """Return the UUID of the Btrfs mounted at ``mount_point``, and its devices.

    Raises OSError when it cannot be opened or is no Btrfs.
    """
    descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        info = bytearray(1024)
        ioctl(descriptor, _FS_INFO, info)
        highest, count = struct.unpack_from("=QQ", info)
        found = []
        # Numbers of devices that were removed are not used again.
        for number in range(highest + 1):
            if (device := _device(descriptor, number)) is not None:
                found.append(device)
            if len(found) == count:
                break
        return _uuid(info[16:32]), found
    finally:
        os.close(descriptor)


def _device(descriptor: int, number: int) -> Device | None:
    """Return a device, None if there is none of that number."""
    info = bytearray(4096)
    struct.pack_into("=Q", info, 0, number)
    try:
        ioctl(descriptor, _DEV_INFO, info)
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    used, size = struct.unpack_from("=QQ", info, 24)
    path = bytes(info[3072:4096]).partition(b"\0")[0]
    return Device(
        name=os.fsdecode(os.path.basename(path)),
        uuid=_uuid(info[8:24]),
        size=size,
        used=used,
        errors=_errors(descriptor, number),
    )


def _errors(descriptor: int, number: int) -> tuple[int, ...]:
    """Return a device's error counts, none where the kernel has none: the device is missing."""
    stats = bytearray(1032)
    struct.pack_into("=QQ", stats, 0, number, len(ERROR_TYPES))
    try:
        ioctl(descriptor, _GET_DEV_STATS, stats)
    except OSError:
        return ()
    return struct.unpack_from(f"={len(ERROR_TYPES)}Q", stats, 24)


def _uuid(raw: bytearray) -> str:
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
