//! The devices of an account: each has a password of its own, and its own view of the mailbox.

use restante_maildrop::{Access, ViewName};

/// How many characters a device's name may have.
const NAME_CHARACTERS_MAX: usize = 64;

/// The account's own password counts as a device of this name.
pub(super) const DEFAULT: &str = "default";

/// What sessions are told by that no device has opened.
const RESERVED: [&str; 3] = [DEFAULT, "token", "certificate"];

/// A device, as the directory knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Device {
    /// As its owner calls it.
    pub name: String,
    /// When it was added, in seconds since 1970.
    pub added: u64,
    /// It cannot delete.
    pub read_only: bool,
}

/// Whether a device can have this name: it is shown on terminals and in logs, and means nothing
/// else.
#[must_use]
pub(super) fn is_possible(name: &str) -> bool {
    let is_shown = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
    (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count())
        && name.trim() == name
        && name.chars().all(is_shown)
        && !RESERVED.contains(&name)
}

impl Device {
    /// Its view of the mailbox.
    #[must_use]
    pub fn view(&self) -> ViewName {
        ViewName::of_device(&self.name)
    }

    /// What it may do with mail.
    #[must_use]
    pub fn access(&self) -> Access {
        match self.read_only {
            true => Access::ReadOnly,
            false => Access::Full,
        }
    }

    /// The view of whoever logs in with what is the account's own.
    #[must_use]
    pub fn default_view() -> ViewName {
        ViewName::of_device(DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_may_have_any_name_that_can_be_shown() {
        for name in ["phone", "Annas Händi", "../..", "a/b", "📱", "a\\b'\"", "x"] {
            assert!(is_possible(name), "{name}");
        }
        let long = "x".repeat(65);
        for name in [
            "",
            " ",
            "x ",
            "a\nb",
            "\u{1b}[31m",
            "default",
            "token",
            &long,
        ] {
            assert!(!is_possible(name), "{name:?}");
        }
    }
}
