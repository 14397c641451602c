"""The functions of CPython's _testcapi that fire events, by its names, so that CPython's tests of its Monitoring C API
run on rmon.

A CodeLike(n) holds n states. A fire takes the index of a state as its offset, and returns the state's `active` byte
afterwards. The ids of events are log2 of the values in rmon.monitoring.events.
"""

from rmon._rmon import testing as _testing

__all__ = [name for name in dir(_testing) if not name.startswith("_")]

globals().update({name: getattr(_testing, name) for name in __all__})
