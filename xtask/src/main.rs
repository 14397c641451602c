//! The project's own commands. Each lives in a module of its own; this file only names them.

fn main() {}
