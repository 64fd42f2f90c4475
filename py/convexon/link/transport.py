"""Ways to a board: a serial port, or SPI."""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from convexon.errors import InputError, LinkError, MissingToolError
from convexon.link.protocol import DEFAULT_BAUD, FLAG
from convexon.settings import Settings, setting

_TERMIOS = importlib.import_module("termios") if os.name == "posix" else None

_GONE: tuple[type[Exception], ...] = (OSError,) if _TERMIOS is None else (OSError, _TERMIOS.error)
"""What a port raises that is no longer there; a terminal's own error is no OSError."""

POLL_BYTES = 32
"""Idle bytes that an SPI controller sends at once to hear what the board has to say."""

SPI_HZ = 1_000_000
"""Clock of SPI: a board takes an eighth of its own at most."""


@dataclass(frozen=True, kw_only=True)
class SerialLine(Settings):
    """What a board and its host must agree on of a serial line."""

    baud: int = setting(DEFAULT_BAUD, "Bits a second of a serial line.", least=1, most=100_000_000)


@dataclass(frozen=True, kw_only=True)
class Connection(SerialLine):
    """How a board is reached.

    Raises
    ------
    InputError
        Unless one of ``port`` and ``simulate`` is given.
    """

    port: str | None = setting(None, "Serial port of the board, or /dev/spidevBUS.DEVICE.")
    simulate: bool = setting(False, "Use the board's design in Verilator instead of a board.")
    wait: float = setting(
        0.5, "Seconds to wait for an answer before asking again.", least=0.01, most=3600
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.port is None) != self.simulate:
            raise InputError("port must be given, or simulate instead: one of the two")


class Transport(Protocol):
    """A line that carries bytes both ways, and may lose and damage them."""

    def write(self, data: bytes) -> None:
        """Send bytes; `LinkError` if the line is gone."""

    def read(self, seconds: float) -> bytes:
        """Return what has come, after waiting up to ``seconds`` for the first byte."""

    def close(self) -> None:
        """Give the line back."""


class SerialTransport:
    """A serial port.

    Parameters
    ----------
    port : or what behaves like it
    """

    def __init__(self, port: Any) -> None:
        self._port = port

    def write(self, data: bytes) -> None:
        """Send bytes; `LinkError` if the port is gone."""
        try:
            self._port.write(data)
            self._port.flush()
        except _GONE as error:
            raise LinkError(f"{self._port.name} is gone: {error}") from error

    def read(self, seconds: float) -> bytes:
        """Return what has come, after waiting up to ``seconds`` for the first byte."""
        try:
            self._port.timeout = seconds
            first = self._port.read(1)
            return bytes(first + self._port.read(self._port.in_waiting)) if first else b""
        except _GONE as error:
            raise LinkError(f"{self._port.name} is gone: {error}") from error

    def close(self) -> None:
        """Close the port."""
        self._port.close()


class SpiTransport:
    """SPI, which moves a byte in for each that goes out.

    Parameters
    ----------
    transfer : callable
        Sends bytes and returns as many: ``spidev``'s ``xfer3``, or an adapter's own.
    """

    def __init__(self, transfer: Callable[[bytes], bytes]) -> None:
        self._transfer = transfer
        self._came = b""
        self._amid = False  # what was read last may go on: its last byte was none between frames

    def write(self, data: bytes) -> None:
        """Send bytes, and keep those that come meanwhile; `LinkError` if the controller fails."""
        self._came += self._moved(data)

    def read(self, seconds: float) -> bytes:
        """Return what has come; idle bytes are sent until something does, up to ``seconds``."""
        idle = bytes([FLAG])
        end = time.monotonic() + seconds
        while not (self._came.strip(idle) or (self._amid and self._came)):
            if time.monotonic() >= end:
                break
            self._came = self._moved(idle * POLL_BYTES)
        came, self._came = self._came, b""
        self._amid = bool(came) and not came.endswith(idle)
        return came

    def _moved(self, data: bytes) -> bytes:
        try:
            return bytes(self._transfer(data))
        except OSError as error:
            raise LinkError(f"the SPI controller fails: {error.strerror or error}") from error

    def close(self) -> None:
        """Do nothing: the caller opened the controller, and closes it."""


def open_port(path: str, baud: int) -> Transport:
    """Open a serial port, or with a path such as /dev/spidev0.0 an SPI controller.

    Raises
    ------
    MissingToolError
        If pyserial, or for SPI spidev, is not installed.
    LinkError
        If the port is not there, or cannot be opened.
    """
    if "spidev" in path:
        bus, _, device = path.rpartition("spidev")[2].partition(".")
        if not (bus.isdigit() and device.isdigit()):
            raise LinkError(f"port must be named like /dev/spidev0.0, not {path!r}")
        controller = _module("spidev", "spidev").SpiDev()
        try:
            controller.open(int(bus), int(device))
        except OSError as error:
            raise LinkError(f"{path} cannot be opened: {error.strerror or error}") from error
        controller.max_speed_hz = SPI_HZ
        return SpiTransport(lambda data: bytes(controller.xfer3(list(data))))
    serial = _module("serial", "pyserial")
    try:
        port = serial.Serial(path, baudrate=baud, timeout=0, write_timeout=10)
    except (OSError, ValueError, OverflowError) as error:
        number = getattr(error, "errno", None)  # pyserial's own text repeats the path
        reason = os.strerror(number) if number else error
        raise LinkError(f"{path} cannot be opened: {reason}") from error
    # USB adapters gather bytes for 16 ms before they hand them over, unless they are told not to.
    with contextlib.suppress(OSError, ValueError, AttributeError, NotImplementedError):
        port.set_low_latency_mode(True)
    return SerialTransport(port)


def require_serial() -> None:
    """Raise `MissingToolError` unless serial ports can be opened."""
    _module("serial", "pyserial")


def _module(name: str, distribution: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingToolError(
            f"{distribution} is not installed: pip install {distribution}"
        ) from None
