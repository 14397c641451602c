"""Does what its argument names: nothing wrong, or one fault that the address sanitizer must find. It proves that the
sanitizer sees into the extension module and into the librmon that it came with (`cargo xtask sanitize python`)."""

from __future__ import annotations

import ctypes
import sys

import rmon


def none() -> None:
    code = rmon.CodeLike("name", "file", 1)
    assert list(code.co_lines()) == [(0, 2, 1)]


def in_module() -> None:
    """The module reads an object that is dead."""
    code = rmon.CodeLike("name", "file", 1)
    method = type(code).co_lines
    decref = ctypes.pythonapi.Py_DecRef
    decref.argtypes = [ctypes.py_object]
    decref(code)
    method(code)


class CodeInfo(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_uint32),
        ("first_line", ctypes.c_int32),
        ("name", ctypes.c_char_p),
        ("qualname", ctypes.c_char_p),
        ("filename", ctypes.c_char_p),
        ("lines", ctypes.c_void_p),
        ("line_count", ctypes.c_size_t),
    )


def in_librmon() -> None:
    """librmon reads more lines than there are."""
    librmon = ctypes.CDLL(f"{rmon.get_library_dir()}/librmon.so.0")
    malloc = ctypes.CDLL(None).malloc
    malloc.argtypes, malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    lines = malloc(8)
    ctypes.memset(lines, 0, 8)
    librmon.rmon_code_new(ctypes.byref(CodeInfo(ctypes.sizeof(CodeInfo), 1, b"name", None, b"file", lines, 2)))


if __name__ == "__main__":
    {"none": none, "in-module": in_module, "in-librmon": in_librmon}[sys.argv[1]]()
