//! The program `restante`.

fn main() {}
