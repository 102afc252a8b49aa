//! What devices are called, where the mailbox knows only their views.

use std::collections::HashMap;

use restante_maildrop::{MailboxId, ViewName};

use crate::{
    accounts,
    configuration::{AccountSource, Configuration},
    failure::Failure,
};

/// The names of an account's devices, as whoever added them has typed them.
#[derive(Debug, Default)]
pub(super) struct DeviceNames {
    by_view: HashMap<String, String>,
}

impl DeviceNames {
    /// The names that the account's devices have now. Only the built-in accounts have devices.
    ///
    /// # Errors
    /// The accounts cannot be read.
    pub(super) fn of(configuration: &Configuration, mailbox: &MailboxId) -> Result<Self, Failure> {
        let is_builtin = configuration.accounts.source == AccountSource::Builtin;
        if !is_builtin || !accounts::database(configuration).exists() {
            return Ok(Self::default());
        }
        let builtin = accounts::open_builtin(configuration)?;
        let devices = builtin.devices(&mailbox.account);
        let devices = devices.map_err(accounts::explain)?.into_iter();
        Ok(Self {
            by_view: devices
                .map(|device| (device.view().as_str().to_owned(), device.name))
                .collect(),
        })
    }

    /// What the device of this view is called; one that is gone, as its view.
    pub(super) fn of_view<'n>(&'n self, view: &'n ViewName) -> &'n str {
        let name = self.by_view.get(view.as_str());
        name.map_or(view.as_str(), String::as_str)
    }
}

/// A name, safe for a terminal: no control character, and none that turns the direction of what
/// stands beside it.
pub(super) fn shown(name: &str) -> String {
    // A quotation mark harms nobody.
    let escaped = name.escape_debug().to_string();
    escaped.replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_as_it_was_typed_and_turns_nothing_on_a_terminal() {
        for name in [
            "phone",
            "Jörgs \"Handy\"",
            "Anna's",
            "телефон",
            "📱",
            "携帯",
        ] {
            assert_eq!(shown(name), name);
        }
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(shown("\u{1b}[31m"), "\\u{1b}[31m");
        assert_eq!(shown("a\u{2066}\n"), "a\\u{2066}\\n");
        assert_eq!(shown("a\\'b"), "a\\\\'b");
    }

    #[test]
    fn the_view_of_a_device_that_is_gone_is_shown_as_it_is() {
        let view = ViewName::of_device("Büro");
        let names = DeviceNames {
            by_view: HashMap::from([(view.as_str().to_owned(), "Büro".to_owned())]),
        };
        assert_eq!(names.of_view(&view), "Büro");
        assert_eq!(names.of_view(&ViewName::shared()), "shared");
        let gone = ViewName::of_device("Laptop");
        assert_eq!(names.of_view(&gone), gone.as_str());
    }
}
