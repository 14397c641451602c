"""A package for the sake of rmon.pc: the entry point group `pkg_config` names it."""
