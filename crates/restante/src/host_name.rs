//! This machine's name.

/// The name, if it has one that others could use: not empty, not `localhost`, not `(none)`.
pub(crate) fn of_this_machine() -> Option<String> {
    let system = rustix::system::uname();
    let name = system.nodename().to_str().ok()?;
    let legal = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    let usable = !name.is_empty() && name != "localhost" && name.chars().all(legal);
    usable.then(|| name.to_lowercase())
}
