//! Restante's development commands.

fn main() {}
