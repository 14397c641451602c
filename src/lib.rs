//! rmon: the monitoring layer for native code.
