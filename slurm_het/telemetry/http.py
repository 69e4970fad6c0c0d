"""One HTTP GET within a deadline, of whoever answers: nothing of it is trusted."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
from dataclasses import dataclass
from urllib.parse import urlsplit

from slurm_het.errors import HetError

MAX_HEADERS = 64 << 10


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The body, and what time it was for whoever answered (epoch seconds; None if not told)."""

    body: bytes
    date: float | None = None


async def get(url: str, seconds: float, most: int) -> HttpAnswer:
    """What is there, at most so many bytes. Raises HetError with what is wrong."""
    try:
        return await asyncio.wait_for(_get(url, most), seconds)
    except TimeoutError:
        raise HetError(f"no answer within {seconds:g} s") from None
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise HetError(str(error)[:200] or type(error).__name__) from error


async def _get(url: str, most: int) -> HttpAnswer:
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if tls else 80), ssl=tls or None, limit=MAX_HEADERS
    )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        # 1.0: the answer ends with the connection, and comes in no chunks.
        request = f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: */*\r\n\r\n"
        writer.write(request.encode("ascii"))
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        body = bytearray()
        while part := await reader.read(1 << 16):
            body += part
            if len(body) > most:
                raise HetError(f"more than {most} bytes")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await asyncio.wait_for(writer.wait_closed(), 1.0)
    return HttpAnswer(bytes(body), _date(_checked(head)))


def _checked(head: str) -> str:
    status = head.splitlines()[0].split(None, 2)
    if len(status) < 2 or status[1] != "200":
        raise HetError(f"it answers {' '.join(status)[:80]}")
    return head


def _date(head: str) -> float | None:
    for line in head.splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "date":
            # A year or a zone of many digits is an OverflowError.
            with contextlib.suppress(ValueError, TypeError, OverflowError):
                return email.utils.parsedate_to_datetime(value.strip()).timestamp()
    return None
