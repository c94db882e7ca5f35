"""TensorBoard's event files: a sequence of events, each with its length and checksums of both (TFRecord)."""

# pyright: reportAttributeAccessIssue=false
# protobuf makes its classes at import, where pyright cannot see them

from __future__ import annotations

import io
from collections.abc import Iterable

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter


def encode(events: Iterable[Event]) -> bytes:
    """The bytes of an event file with these events, or what to append to one."""
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    return buffer.getvalue()


def last_event(data: bytes) -> Event | None:
    """The last event of an event file; None if the file is empty, cut off, or has a wrong checksum anywhere."""
    position, content = 0, b""
    while position < len(data):
        start = position + 12
        header = data[position : position + 8]
        end = start + int.from_bytes(header, "little")
        content = data[start:end]
        if data[start - 4 : start] != _checksum(header) or data[end : end + 4] != _checksum(content):
            return None
        position = end + 4
    return Event.FromString(content) if content else None


def _checksum(data: bytes) -> bytes:
    return masked_crc32c(data).to_bytes(4, "little")
