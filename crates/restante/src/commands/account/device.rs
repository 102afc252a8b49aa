//! `restante account device`: passwords for one device each.

mod mailbox;

use std::io::{self, IsTerminal as _};

use qrcode::{QrCode, render::unicode::Dense1x2};
use restante_maildrop::{DeleteMode, Edit, EditError, ViewName};
use restante_server::accounts::{BuiltinError, Device};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use self::mailbox::{LastUse, Mailbox};
use super::{known, show::moment, tell_server};
use crate::commands::device_name::shown;
use crate::{
    accounts,
    configuration::Configuration,
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{self, DeviceAdd, Talk},
    password,
    settings::{Settings, write_table},
};

/// What the account's own password is called among the devices.
const DEFAULT: &str = "default";

/// Does what was asked with the devices.
///
/// # Errors
/// What is to be shown, and the exit code.
pub(super) fn run(
    configuration: &Configuration,
    device: &flags::Device,
    talk: Talk,
) -> Result<(), Failure> {
    match device {
        flags::Device::Add(add) => self::add(configuration, add, talk),
        flags::Device::List { address, json } => list(configuration, address, *json),
        flags::Device::Reset { address, name } => reset(configuration, address, name, talk),
        flags::Device::Remove { address, name } => remove(configuration, address, name, talk),
    }
}

fn add(configuration: &Configuration, add: &DeviceAdd, talk: Talk) -> Result<(), Failure> {
    let (builtin, account) = known(configuration, &add.address)?;
    let password = password::generate()?;
    // First, because a device of that name that is there already must keep its view.
    let device = builtin
        .add_device(&account, &add.name, add.read_only, &password)
        .map_err(accounts::explain)?;
    let edit = Edit::AddDevice {
        device: device.view(),
        show: add.show,
        access: device.access(),
    };
    let mailbox = Mailbox::of(configuration, &account)?;
    if let Err(error) = mailbox.edit(edit) {
        // Nobody has seen its password.
        let undone = builtin.remove_device(&account, &add.name);
        let failure = Failure::new(ExitCode::TryLater, "the device was not added").caused_by(error);
        return Err(match undone {
            Ok(_) => failure.hint("nothing was changed; try again later"),
            Err(_) => failure.hint("remove it, and try again later"),
        });
    }
    if !talk.quiet {
        console::tell(format_args!(
            "device `{}` of `{account}` added; its password is shown this once:",
            shown(&device.name)
        ));
        if mailbox.policy(&builtin)?.delete == DeleteMode::Shared {
            console::tell(
                "note: what it deletes is gone for all devices of the account; \
                 `restante account set ADDRESS --delete per-device` gives each a view of its own",
            );
        }
    }
    show(configuration, &account, &device, &password, add.json)
}

/// Shows what to type into the device's mail program.
fn show(
    configuration: &Configuration,
    account: &str,
    device: &Device,
    password: &SecretString,
    json: bool,
) -> Result<(), Failure> {
    let rows = Settings::configured(configuration).rows(account, password.expose_secret());
    if json {
        let settings = rows
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()));
        return console::print(json!({
            "account": account,
            "device": device.name,
            "settings": serde_json::Map::from_iter(settings),
        }));
    }
    let mut text = String::new();
    write_table(&mut text, rows.clone());
    if io::stdout().is_terminal() {
        text.push('\n');
        text.push_str(&picture(&rows));
    }
    console::print(text.trim_end())
}

/// A picture of the settings that a telephone's camera reads, to copy from. Empty if they are too
/// long for one.
fn picture(rows: &[(&str, String)]) -> String {
    let lines = rows
        .iter()
        .map(|(name, value)| format!("{name}: {value}\n"));
    let text: String = lines.collect();
    // Terminals are dark, and a picture is dark dots on a light ground.
    let picture = QrCode::new(text.trim_end()).map(|code| {
        code.render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .build()
    });
    picture.unwrap_or_default()
}

fn list(configuration: &Configuration, address: &str, json: bool) -> Result<(), Failure> {
    let (builtin, account) = known(configuration, address)?;
    let devices = builtin.devices(&account).map_err(accounts::explain)?;
    let mailbox = Mailbox::of(configuration, &account)?;
    let used = mailbox.last_uses()?;
    let own = Row {
        name: DEFAULT,
        device: None,
        last: used.last(DEFAULT, &Device::default_view()),
    };
    let rows = devices.iter().map(|device| Row {
        name: &device.name,
        device: Some(device),
        last: used.last(&device.name, &device.view()),
    });
    // The account's own password is one if somebody uses it so.
    let own = Some(own).filter(|own| own.last.is_some());
    let rows: Vec<_> = own.into_iter().chain(rows).collect();
    if json {
        return console::print(json!(rows.iter().map(Row::object).collect::<Vec<_>>()));
    }
    let names: Vec<String> = rows.iter().map(|row| shown(row.name)).collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or_default();
    for (row, name) in rows.iter().zip(names) {
        console::print(format_args!("{name:width$}  {}", row.facts()))?;
    }
    Ok(())
}

/// A line of the list.
struct Row<'r> {
    name: &'r str,
    /// `None`: the account's own password.
    device: Option<&'r Device>,
    last: Option<LastUse>,
}

impl Row<'_> {
    fn facts(&self) -> String {
        let mut facts = match self.device {
            Some(device) => format!("added {}", moment(device.added)),
            None => "the account's own password".to_owned(),
        };
        match self.last {
            Some(last) => facts.push_str(&format!("  last used {}", moment(last.when))),
            None => facts.push_str("  not used yet"),
        }
        if let Some(address) = self.last.and_then(|last| last.address) {
            facts.push_str(&format!(" from {address}"));
        }
        if self.device.is_some_and(|device| device.read_only) {
            facts.push_str("  read-only");
        }
        facts
    }

    fn object(&self) -> serde_json::Value {
        json!({
            "device": self.name,
            "added": self.device.map(|device| device.added),
            "read_only": self.device.is_some_and(|device| device.read_only),
            "last_used": self.last.map(|last| last.when),
            "last_address": self.last.and_then(|last| last.address),
        })
    }
}

fn reset(
    configuration: &Configuration,
    address: &str,
    name: &str,
    talk: Talk,
) -> Result<(), Failure> {
    let (builtin, account) = known(configuration, address)?;
    let view = match name {
        DEFAULT => Device::default_view(),
        _ => {
            let device = builtin.device(&account, name);
            device.map_err(accounts::explain)?.view()
        }
    };
    let mailbox = Mailbox::of(configuration, &account)?;
    let count = mailbox
        .edit(Edit::ResetDevice(view))
        .map_err(|error| match error {
            EditError::Refused(_) => Failure::new(ExitCode::Data, "nothing was changed")
                .caused_by(error)
                .hint("nothing is hidden from a device that has not been used yet"),
            error => not_changed(error),
        })?;
    if !talk.quiet {
        console::tell(format_args!(
            "device `{}` of `{account}` sees {count} messages again, under their old unique-ids",
            shown(name)
        ));
    }
    Ok(())
}

fn remove(
    configuration: &Configuration,
    address: &str,
    name: &str,
    talk: Talk,
) -> Result<(), Failure> {
    let (builtin, account) = known(configuration, address)?;
    let mailbox = Mailbox::of(configuration, &account)?;
    let view = ViewName::of_device(name);
    let removed = builtin.remove_device(&account, name);
    let is_left_over = matches!(removed, Err(BuiltinError::UnknownDevice { .. }))
        && name != DEFAULT
        && mailbox.knows(&view)?;
    // What an earlier attempt has left over can be removed again.
    if !is_left_over {
        removed.map_err(accounts::explain)?;
    }
    if !talk.quiet {
        let name = shown(name);
        console::tell(format_args!("device `{name}` of `{account}` removed"));
    }
    tell_server(configuration, &account, talk);
    let policy = mailbox.policy(&builtin)?;
    match mailbox.edit(Edit::RemoveDevice {
        device: view,
        policy,
    }) {
        // It was never known to the mailbox, or there is none.
        Ok(_) | Err(EditError::Refused(_)) => Ok(()),
        Err(error) => {
            let what = "its password opens nothing any more, but mail still waits for it";
            Err(Failure::new(ExitCode::TryLater, what)
                .caused_by(error)
                .hint("remove it once more, later"))
        }
    }
}

fn not_changed(error: EditError) -> Failure {
    Failure::new(ExitCode::TryLater, "the mailbox could not be changed")
        .caused_by(error)
        .hint("try again later")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lights the dots of a picture as a dark terminal does, and reads it as a camera does.
    fn photographed(picture: &str) -> String {
        const DOT: usize = 4;
        let rows: Vec<Vec<char>> = picture.lines().map(|line| line.chars().collect()).collect();
        let (width, height) = (rows[0].len() * DOT, rows.len() * 2 * DOT);
        let is_lit = |x: usize, y: usize| {
            let (column, half) = (x / DOT, y / DOT);
            match rows[half / 2].get(column) {
                Some('█') => true,
                Some('▀') => half % 2 == 0,
                Some('▄') => half % 2 == 1,
                _ => false,
            }
        };
        let grey = |x, y| if is_lit(x, y) { 255 } else { 0 };
        let mut photograph = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
        let codes = photograph.detect_grids();
        codes[0].decode().unwrap().1
    }

    #[test]
    fn the_picture_holds_what_there_is_to_type() {
        let rows = [
            ("server", "box.example.org".to_owned()),
            ("user name", "anna@bücher.example".to_owned()),
            ("password", "abcd-efgh-ijkm-nopq-rstu".to_owned()),
        ];
        let read = "server: box.example.org\nuser name: anna@bücher.example\n\
                    password: abcd-efgh-ijkm-nopq-rstu";
        assert_eq!(photographed(&picture(&rows)), read);
        let long = [("password", "x".repeat(10_000))];
        assert_eq!(picture(&long), "");
    }
}
