"""The structs of rmon.h, for tests that call librmon by ctypes."""

from __future__ import annotations

import ctypes


class LineEntry(ctypes.Structure):
    """rmon_line_entry"""

    _fields_ = [("offset", ctypes.c_int32), ("line", ctypes.c_int32)]


class CodeInfo(ctypes.Structure):
    """rmon_code_info"""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("first_line", ctypes.c_int32),
        ("name", ctypes.c_char_p),
        ("qualname", ctypes.c_char_p),
        ("filename", ctypes.c_char_p),
        ("lines", ctypes.POINTER(LineEntry)),
        ("line_count", ctypes.c_size_t),
    ]


class Event(ctypes.Structure):
    """rmon_event"""

    _fields_ = [
        ("struct_size", ctypes.c_uint32),
        ("event", ctypes.c_uint8),
        ("tool_id", ctypes.c_uint8),
        ("offset", ctypes.c_int32),
        ("line", ctypes.c_int32),
        ("target_offset", ctypes.c_int32),
        ("code", ctypes.c_void_p),
        ("object", ctypes.c_void_p),
        ("arg0", ctypes.c_void_p),
    ]
