//! The manual pages: restante(1) and one for each command from the table of flags,
//! restante.toml(5) from the table of configuration keys.

use std::{env, io};

use clap::{Command, CommandFactory as _};
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, italic, roman},
};

use time::OffsetDateTime;

use crate::{
    configuration::{
        SYSTEM_FILE,
        key::{Acts, KEYS},
    },
    flags::Flags,
};

const MANUAL: &str = "Restante";

/// A page as it is to be written.
pub(super) struct Page {
    /// `restante-mail-log.1`
    pub(super) file: String,
    pub(super) text: Vec<u8>,
}

/// All pages.
pub(super) fn all() -> Vec<Page> {
    let mut commands = Flags::command();
    commands.build();
    let mut pages = Vec::new();
    add(&commands, &mut pages);
    pages.push(Page {
        file: "restante.toml.5".to_owned(),
        text: restante_toml().to_roff().into_bytes(),
    });
    pages
}

/// Adds the pages of a command and of those below it.
fn add(command: &Command, pages: &mut Vec<Page>) {
    let (file, mut text) = (file(command), Vec::new());
    // Writing into memory has no error.
    if render(command, &mut text).is_ok() {
        let text = tidied(&String::from_utf8_lossy(&text)).into_bytes();
        pages.push(Page { file, text });
    }
    for below in command.get_subcommands() {
        add(below, pages);
    }
}

fn file(command: &Command) -> String {
    format!("{}.1", name(command))
}

/// `restante-mail-log`
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn render(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let man = Man::new(command.clone());
    let mut title = Roff::new();
    control_title(&mut title, &name(command).to_uppercase(), "1");
    title.to_writer(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    if command.has_subcommands() {
        let mut below = Roff::new();
        below.control("SH", ["COMMANDS"]);
        for command in command.get_subcommands() {
            below.control("TP", []);
            below.text([bold(name(command)), roman("(1)")]);
            let about = command.get_about().map(ToString::to_string);
            below.text([roman(about.unwrap_or_default())]);
        }
        below.to_writer(page)?;
    }
    let mut last = Roff::new();
    if let Some(codes) = command.get_after_help() {
        last.control("SH", ["EXIT STATUS"]);
        last.text([roman(codes.to_string())]);
    }
    last.control("SH", ["SEE ALSO"]);
    last.text(match name(command) {
        "restante" => vec![bold("restante.toml"), roman("(5)")],
        _ => vec![
            bold("restante"),
            roman("(1), "),
            bold("restante.toml"),
            roman("(5)"),
        ],
    });
    last.to_writer(page)
}

fn control_title(page: &mut Roff, title: &str, section: &str) {
    let source = format!("restante {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", [title, section, &date(), &source, MANUAL]);
}

/// When the pages are made; whoever builds a package says when that is, so that two builds of one
/// source are alike (`SOURCE_DATE_EPOCH`).
fn date() -> String {
    let said = env::var("SOURCE_DATE_EPOCH").ok();
    let said = said.and_then(|seconds| seconds.parse().ok());
    let said = said.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    said.unwrap_or_else(OffsetDateTime::now_utc)
        .date()
        .to_string()
}

/// The renderer begins each section anew, and breaks a line before it makes a space.
fn tidied(page: &str) -> String {
    const BEGINNING: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";
    let sections = page.replace(BEGINNING, "");
    format!(
        "{BEGINNING}{}",
        sections.replace("\n.br\n\n.br\n", "\n.sp\n")
    )
}

fn restante_toml() -> Roff {
    let mut page = Roff::new();
    control_title(&mut page, "RESTANTE.TOML", "5");
    page.control("SH", ["NAME"]);
    page.text([roman(
        "restante.toml - what the POP3 server Restante shall be",
    )]);
    page.control("SH", ["DESCRIPTION"]);
    for (index, paragraph) in [
        format!(
            "One TOML file, named with `--config` or the environment variable `RESTANTE_CONFIG`, \
             or else `{SYSTEM_FILE}`; if there is none, the defaults below are in force. Every key \
             is optional."
        ),
        "A key that is written `table.key` here stands as `key = …` below a line `[table]` in the \
         file. Durations are a whole number and a unit: `\"500ms\"`, `\"30s\"`, `\"10m\"`, \
         `\"1h\"`, `\"7d\"`, `\"1w\"`. Paths are relative to the directory of the file, or begin \
         with `~/`."
            .to_owned(),
        "A key that is unknown, or that this version does not act upon, is an error at start and \
         never ignored. `restante config check` explains what a file would do, or says what is \
         wrong in which line. `SIGHUP` (`systemctl reload restante`) has a running server read \
         the file again."
            .to_owned(),
    ]
    .iter()
    .enumerate()
    {
        if index > 0 {
            page.control("PP", []);
        }
        page.text(inlines(paragraph));
    }
    page.control("SH", ["KEYS"]);
    for key in KEYS {
        if let Acts::Now(default) = key.acts {
            entry(&mut page, key.path, key.says);
            page.control("RS", []);
            page.text([vec![italic("Default: ")], inlines(default)].concat());
            page.control("RE", []);
        }
    }
    page.control("SH", ["KEYS FOR LATER VERSIONS"]);
    for key in KEYS.iter().filter(|key| key.acts == Acts::Later) {
        entry(&mut page, key.path, key.says);
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("restante"),
        roman("(1), "),
        bold("restante-config-check"),
        roman("(1)"),
    ]);
    page
}

fn entry(page: &mut Roff, path: &str, says: &str) {
    page.control("TP", []);
    page.text([bold(path)]);
    page.text(inlines(says));
}

/// The table's Markdown: what stands in backticks is typed as it is.
fn inlines(markdown: &str) -> Vec<Inline> {
    let pieces = markdown.split('`').enumerate();
    let pieces = pieces.filter(|(_, piece)| !piece.is_empty());
    pieces
        .map(|(index, piece)| match index % 2 {
            0 => roman(piece),
            _ => bold(piece),
        })
        .collect()
}
