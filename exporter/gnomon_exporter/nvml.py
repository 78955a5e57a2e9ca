"""The seam to NVIDIA's driver: NVML by nvidia-ml-py, opened, asked, let go and opened again."""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from gnomon_exporter.paths import Paths
from gnomon_exporter.reading import read

# nvmlReturn_t. The numbers are NVML's binary interface: they stay.
UNINITIALIZED = 1
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
TIMEOUT = 10
LIBRARY_NOT_FOUND = 12
LIBRARY_MISMATCH = 18

# The GPU, or the driver under it, is no more what was opened: UNINITIALIZED, DRIVER_NOT_LOADED,
# GPU_IS_LOST, RESET_REQUIRED, LIB_RM_VERSION_MISMATCH, GPU_NOT_FOUND.
_GONE = frozenset({UNINITIALIZED, DRIVER_NOT_LOADED, 15, 16, LIBRARY_MISMATCH, 28})
# The GPU or the driver does not have this reading: INVALID_ARGUMENT, NOT_SUPPORTED,
# FUNCTION_NOT_FOUND.
_UNSUPPORTED = frozenset({2, 3, 13})
# Not now or not for us: NO_PERMISSION, NOT_FOUND, NO_DATA, ARGUMENT_VERSION_MISMATCH, DEPRECATED,
# NOT_READY, UNKNOWN (which laptops give for a missing fan or power sensor).
_UNANSWERED = frozenset({NO_PERMISSION, 6, 21, 25, 26, 27, 999})

#: nvidia-smi's word for a text that it does not have.
NOT_AVAILABLE = "[N/A]"

# Seconds between two attempts to open NVML: one costs up to a second of work in the driver, and
# may start a program of NVIDIA's that loads kernel modules.
_PAUSE = 30.0


class AbsentError(Exception):
    """There is no NVIDIA driver here, or it has no GPU."""


class DriverError(Exception):
    """There is a driver, and it does not work."""


class LostError(Exception):
    """A GPU has stopped answering: off the bus, waiting for a reset, or its driver is gone."""


def load() -> Any:
    """Return nvidia-ml-py's module.

    Raises AbsentError without NVIDIA's library, DriverError without the package.
    """
    try:
        # On the many machines without a GPU neither module is ever imported.
        importlib.import_module("ctypes").CDLL("libnvidia-ml.so.1")
    except OSError as error:
        raise AbsentError(f"NVIDIA's library cannot be loaded: {error}") from None
    try:
        return importlib.import_module("pynvml")
    except ImportError:
        raise DriverError(
            "nvidia-ml-py is not installed: reinstall gnomon with its extra 'gpu'"
        ) from None


def installed(paths: Paths) -> bool:
    """Return whether asking for NVIDIA's library is worthwhile, at the price of three stat(2).

    The kernel module shows itself in /proc, in some sandboxes only by its device; WSL has a
    device of its own.
    """
    module = paths.proc("driver/nvidia/version")
    return any(map(os.path.exists, (module, paths.root("/dev/nvidiactl"), paths.root("/dev/dxg"))))


def number(value: Any) -> int | float | None:
    """Return a reading, or None for the values by which NVML says that it has none.

    Those are all ones, in 32 and 64 bits, and with the sign bit whatever lies beyond 2^63.
    """
    if value is None or value == 0xFFFFFFFF or value >= 0x7FFFFFFFFFFFFFF0 or value < -0x7FFFFFFF:
        return None
    return value  # type: ignore[no-any-return]


def address(handle: Any) -> int | None:
    """Return the address that a device's handle stands for: it tells events' devices apart."""
    ctypes = importlib.import_module("ctypes")
    return ctypes.cast(handle, ctypes.c_void_p).value  # type: ignore[no-any-return]


class Gpu:
    """One GPU, as long as NVML is open.

    uuid: in lower case without ``GPU-``, as nvidia_gpu_exporter writes it; ``full_uuid`` as NVIDIA
    does. driver, cuda: their versions; cuda is empty if unknown.
    """

    def __init__(self, nvml: Any, index: int, driver: str, cuda: str) -> None:
        self.nvml = nvml
        self.index = index
        self.driver = driver
        self.cuda = cuda
        #: What should have been answered and was not, by function, since the last scrape began.
        self.faults: dict[str, str] = {}
        self._unsupported: set[tuple[Any, ...]] = set()
        self.handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self.full_uuid = str(nvml.nvmlDeviceGetUUID(self.handle))
        self.uuid = short_uuid(self.full_uuid)
        self.name = self._text("nvmlDeviceGetName")
        self.serial = self._text("nvmlDeviceGetSerial")
        self.vbios = self._text("nvmlDeviceGetVbiosVersion")
        pci = self.ask("nvmlDeviceGetPciInfo")
        self.bus = NOT_AVAILABLE if pci is None else str(pci.busId)
        self.subsystem = NOT_AVAILABLE if pci is None else f"0x{pci.pciSubSystemId:08X}"
        #: The readings that do not change while NVML is open, once they were read.
        self.constants: dict[str, float] = {}

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.uuid}, {self.bus})"

    @property
    def driver_branch(self) -> int:
        """The driver's first number, such as 590; 0 if unknown."""
        branch = self.driver.split(".", 1)[0]
        return int(branch) if branch.isdecimal() else 0

    def ask(self, function: str, *arguments: Any) -> Any:
        """Return NVML's answer about this GPU, None when it has no such reading.

        Raises LostError when the GPU does not answer any more.
        """
        return self.ask_of(self.handle, function, *arguments)

    def ask_of(self, handle: Any, function: str, *arguments: Any) -> Any:
        """Return NVML's answer about another handle, such as that of a MIG device on this GPU."""
        return self._call(handle, function, arguments)[0]

    def ask_supported(self, function: str, *arguments: int) -> Any:
        """Ask as ``ask`` does, but not again once the answer was that it is not supported."""
        if (function, *arguments) in self._unsupported:
            return None
        answer, code = self._call(self.handle, function, arguments)
        if code in _UNSUPPORTED:
            self._unsupported.add((function, *arguments))
        return answer

    def _call(self, handle: Any, function: str, arguments: Iterable[Any]) -> tuple[Any, int]:
        """Return the answer and NVML's return code."""
        try:
            return getattr(self.nvml, function)(handle, *arguments), 0
        except (
            AttributeError,  # an nvidia-ml-py that does not know the function yet
            UnicodeDecodeError,  # it insists on UTF-8, which a name need not be
        ):
            return None, 0
        except self.nvml.NVMLError as error:
            if error.value in _GONE:
                raise LostError(f"{function}: {error}") from error
            if error.value not in _UNSUPPORTED | _UNANSWERED:
                self.faults[function] = str(error)
            return None, int(error.value)

    def fill(self, function: str, structure: str) -> Any:
        """Return the named structure as NVML fills it in, None when it has no such reading."""
        kind = getattr(self.nvml, structure, None)
        if kind is None:
            return None
        filled = kind()
        pointer = importlib.import_module("ctypes").byref(filled)
        return None if self.ask(function, pointer) is None else filled

    def _text(self, function: str) -> str:
        answer = self.ask(function)
        return NOT_AVAILABLE if answer is None else str(answer)


def short_uuid(uuid: str) -> str:
    """Return a GPU's or MIG device's UUID as nvidia_gpu_exporter's labels have it."""
    return uuid.strip().lower().removeprefix("gpu-").removeprefix("mig-")


class Driver:
    """NVML, kept open while its GPUs answer.

    A GPU that is lost leaves the others readable. It is let go, and looked for again, by closing
    and opening NVML; ``due`` says when that is worth its price. A GPU that was seen once is
    missed from then on.

    load: gives nvidia-ml-py's module. installed: whether it is worth asking for.
    """

    def __init__(
        self,
        load: Callable[[], Any],
        installed: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._installed = installed
        self._clock = clock
        self._tried = -_PAUSE
        self._error: AbsentError | DriverError | None = None
        self._gpus: list[Gpu] = []
        self._known: dict[str, str] = {}
        self._troubles: dict[str, str] = {}
        #: NVML's module, None while it is closed.
        self.nvml: Any = None

    @property
    def known(self) -> Collection[str]:
        """The UUID of every GPU that was ever seen."""
        return self._known.keys()

    def gpus(self) -> list[Gpu]:
        """Return the GPUs that can be asked, opening NVML if it is closed.

        Raises AbsentError and DriverError.
        """
        if self.nvml is None:
            self._open()
        return self._gpus

    def lost(self, gpu: Gpu, error: LostError) -> None:
        """Take a GPU off the list because it has stopped answering."""
        self._gpus = [other for other in self._gpus if other is not gpu]
        self._troubles[str(gpu)] = str(error)

    def troubles(self) -> dict[str, str]:
        """Return what is wrong, by GPU: lost, unreadable from the start, or not there any more."""
        return self._troubles

    def due(self) -> bool:
        """Return whether NVML should be closed, so that opening it may bring a GPU back."""
        troubled = self.nvml is not None and bool(self._troubles)
        return troubled and self._clock() - self._tried >= _PAUSE

    def close(self) -> None:
        """Let go of the driver. No other thread may be inside NVML."""
        nvml, self.nvml, self._gpus = self.nvml, None, []
        self._tried = -_PAUSE
        if nvml is not None:
            _shut_down(nvml)

    def _open(self) -> None:
        if not self._installed():
            self._error = None
            raise AbsentError("no NVIDIA driver is loaded")
        now = self._clock()
        if self._error is not None and now - self._tried < _PAUSE:
            # A new exception, for each raise lengthens the traceback of the one it is given.
            raise type(self._error)(*self._error.args)
        self._tried, self._error = now, None
        try:
            nvml = self._load()
            _initialise(nvml)
            self._gpus, self._troubles = _enumerate(nvml)
        except (AbsentError, DriverError) as error:
            self._error = error
            raise
        self.nvml = nvml
        here = {gpu.uuid: str(gpu) for gpu in self._gpus}
        for uuid, name in self._known.items():
            if uuid not in here:
                self._troubles.setdefault(name, "it was there and is not any more")
        self._known.update(here)


def _initialise(nvml: Any) -> None:
    try:
        try:
            nvml.nvmlInit()
        except nvml.NVMLError as error:
            if error.value != LIBRARY_MISMATCH or not renew_library(nvml):
                raise
            nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value in (DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND):
            raise AbsentError(f"NVML: {error}") from error
        if error.value == LIBRARY_MISMATCH:
            raise DriverError(
                "NVIDIA's library and kernel module differ, as they do after an upgrade: "
                "load the new module or reboot"
            ) from error
        raise DriverError(f"NVML cannot be opened: {error}") from error


def _enumerate(nvml: Any) -> tuple[list[Gpu], dict[str, str]]:
    """Return the GPUs that answer and what the others say; close NVML if there is none."""
    gpus: list[Gpu] = []
    troubles: dict[str, str] = {}
    try:
        driver = str(nvml.nvmlSystemGetDriverVersion())
        version = nvml.nvmlSystemGetCudaDriverVersion()
        cuda = f"{version // 1000}.{version % 1000 // 10}"
        for index in range(nvml.nvmlDeviceGetCount()):
            try:
                gpus.append(Gpu(nvml, index, driver, cuda))
            except nvml.NVMLError as error:
                if error.value != NO_PERMISSION:  # in a container: another one's GPU, not a fault
                    troubles[f"GPU {index}"] = str(error)
            except LostError as error:
                troubles[f"GPU {index}"] = str(error)
    except nvml.NVMLError as error:
        troubles["NVML"] = str(error)
    if not gpus:
        _shut_down(nvml)
        if troubles:
            raise DriverError("; ".join(f"{where}: {what}" for where, what in troubles.items()))
        raise AbsentError("the NVIDIA driver has no GPU for us")
    return gpus, troubles


def _shut_down(nvml: Any) -> None:
    # It may be gone already, which is as good.
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlShutdown()


def renew_library(nvml: Any, maps: str = "/proc/self/maps") -> bool:
    """Load NVIDIA's library anew if an upgrade has put another file in its place.

    nvidia-ml-py never lets go of the library that it loaded first, and dlopen(3) returns that one
    for its name again; by its full path the new file is another library. The old one stays
    mapped, unused.
    """
    loaded = {
        line.split(None, 5)[5] for line in read(maps).splitlines() if "/libnvidia-ml.so" in line
    }
    for path in loaded:
        link = os.path.join(os.path.dirname(path), "libnvidia-ml.so.1")
        file = os.path.realpath(link)
        if file not in loaded and os.path.exists(file):
            nvml.nvmlLib = importlib.import_module("ctypes").CDLL(file)
            nvml._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001  # it offers no other way
            return True
    return False
