"""The hook's frames: 8 hex digits (length of the body in bytes), then a form-encoded body.

Form encoding (`key=value&key=value`, percent-escaped) needs five lines of Lua and nothing here.
Both ends bound what they read before they read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

from slurm_het.errors import HetError

HEADER = 8
MAX_REQUEST = 262_144
"""64 KiB of script is at most 192 KiB escaped; the other fields are 1 KiB each."""
MAX_REPLY = 16_384
MAX_FIELDS = 64
PLAIN = "".join(sorted({chr(code) for code in range(32, 127)} - set("%&+=")))
"""Characters that stay as they are: slurmctld waits while Lua undoes each of the others."""


class WireError(HetError):
    """The bytes are no frame of ours."""


def encode(fields: Mapping[str, str]) -> bytes:
    """A frame. Text that came in undecodable goes out as the same bytes."""
    body = urlencode(fields, safe=PLAIN, quote_via=quote, errors="surrogateescape").encode()
    return b"%08x%s" % (len(body), body)


def decode(body: bytes) -> dict[str, str]:
    """The fields of a body; of a key given twice the first counts. Raises WireError."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="surrogateescape",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise WireError(f"not a form-encoded body: {error}") from error
    fields: dict[str, str] = {}
    for key, value in pairs:
        fields.setdefault(key, value)
    return fields


def take_body(received: bytes | bytearray) -> bytes | None:
    """The body of a frame of at most MAX_REQUEST bytes; None while more of it is to come.

    Raises WireError.
    """
    header = bytes(received[:HEADER])
    if len(header) < HEADER:
        return None
    try:
        length = int(header, 16) if header.isalnum() else -1
    except ValueError:
        length = -1
    if not 0 <= length <= MAX_REQUEST:
        raise WireError(f"a frame's header is {header!r}; at most {MAX_REQUEST} bytes are read")
    if len(received) < HEADER + length:
        return None
    return bytes(received[HEADER : HEADER + length])
