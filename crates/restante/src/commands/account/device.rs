//! `restante account device`: passwords for one device each.

use std::io::{self, IsTerminal as _};

use qrcode::{QrCode, render::unicode::Dense1x2};
use restante_server::accounts::Device;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{known, show::moment, tell_server};
use crate::{
    accounts,
    configuration::Configuration,
    console,
    failure::Failure,
    flags::{self, DeviceAdd, Talk},
    password,
    settings::{Settings, write_table},
};

/// Does what was asked with the devices.
///
/// # Errors
/// Nothing was changed.
pub(super) fn run(
    configuration: &Configuration,
    device: &flags::Device,
    talk: Talk,
) -> Result<(), Failure> {
    match device {
        flags::Device::Add(add) => self::add(configuration, add, talk),
        flags::Device::List { address, json } => list(configuration, address, *json),
        flags::Device::Remove { address, name } => remove(configuration, address, name, talk),
    }
}

fn add(configuration: &Configuration, add: &DeviceAdd, talk: Talk) -> Result<(), Failure> {
    let (builtin, account) = known(configuration, &add.address)?;
    let password = password::generate()?;
    let device = builtin
        .add_device(&account, &add.name, add.read_only, &password)
        .map_err(accounts::explain)?;
    if !talk.quiet {
        console::tell(format_args!(
            "device `{}` of `{account}` added; its password is shown this once:",
            device.name
        ));
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
    if json {
        let objects: Vec<_> = devices.iter().map(object).collect();
        return console::print(json!(objects));
    }
    let width = devices
        .iter()
        .map(|device| device.name.chars().count())
        .max();
    let width = width.unwrap_or_default();
    for device in devices {
        let added = moment(device.added);
        let may = if device.read_only { "  read-only" } else { "" };
        console::print(format_args!("{:width$}  added {added}{may}", device.name))?;
    }
    Ok(())
}

fn object(device: &Device) -> serde_json::Value {
    json!({
        "device": device.name,
        "added": device.added,
        "read_only": device.read_only,
    })
}

fn remove(
    configuration: &Configuration,
    address: &str,
    name: &str,
    talk: Talk,
) -> Result<(), Failure> {
    let (builtin, account) = known(configuration, address)?;
    builtin
        .remove_device(&account, name)
        .map_err(accounts::explain)?;
    if !talk.quiet {
        console::tell(format_args!("device `{name}` of `{account}` removed"));
    }
    tell_server(configuration, &account, talk);
    Ok(())
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
