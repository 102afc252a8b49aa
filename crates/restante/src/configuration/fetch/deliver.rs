//! `deliver`: where mail goes.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use restante_client::Tls;
use restante_fetch::{
    AnyDestination, Destination as _, LineEnds, Maildir,
    destination::{
        Address, Command, CommandSettings, Deadlines, Dialect, Login, MailServer,
        MailServerSettings, Mbox, Peer, Security,
    },
};
use secrecy::SecretString;
use toml::{Spanned, de::DeValue};

use super::{
    account::Reader,
    section::Section,
    words::{self, wrong},
};
use crate::configuration::{
    document::{article, not_supported},
    problem::{Place as At, Problem},
    value::{self, Means, Wrong},
};

/// The ways of delivering, each by its key.
const KINDS: [&str; 5] = ["maildir", "mbox", "lmtp", "smtp", "command"];
const SMTP_PORT: u16 = 25;
const LMTP_PORT: u16 = 24;

/// One place for mail.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Maildir(PathBuf, LineEnds),
    Mbox(PathBuf, Duration),
    MailServer(Box<MailServerSettings>),
    Command(CommandSettings),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protection {
    None,
    Starttls,
    Implicit,
}

impl Place {
    /// A destination, which notes what it must in `state`.
    pub(super) fn open(&self, state: &Path, account: &str) -> Option<AnyDestination> {
        Some(match self {
            Self::Maildir(path, line_ends) => {
                AnyDestination::Maildir(Maildir::with_line_ends(path, *line_ends))
            }
            Self::Mbox(path, wait) => AnyDestination::Mbox(Mbox::new(path, account, *wait)?),
            Self::MailServer(settings) => AnyDestination::MailServer(Box::new(MailServer::new(
                (**settings).clone(),
                state,
                account,
            ))),
            Self::Command(settings) => {
                AnyDestination::Command(Command::new(settings.clone(), state, account)?)
            }
        })
    }
}

/// One place or several; `None`: something is wrong with them, which is among the problems.
pub(super) fn read<'r>(reader: &Reader<'r>, section: &mut Section<'r>) -> Option<Vec<Place>> {
    let Some((at, value)) = section.take_any("deliver") else {
        let problem = Problem::new("`account.deliver` is missing");
        section.object(problem.hint("write `deliver = { maildir = \"~/Mail\" }`"));
        return None;
    };
    let values = match value.get_ref() {
        DeValue::Array(array) if array.is_empty() => Vec::new(),
        DeValue::Array(_) => match value.into_inner() {
            DeValue::Array(array) => array.into_iter().collect(),
            _ => Vec::new(),
        },
        _ => vec![value],
    };
    if values.is_empty() {
        section.object(Problem::new("`account.deliver` has no place for mail").at(at));
        return None;
    }
    let places = values
        .into_iter()
        .map(|value| one(reader, section, at, value));
    let places: Vec<Option<Place>> = places.collect();
    let places: Vec<Place> = places.into_iter().collect::<Option<_>>()?;
    if let Some(twice) = named_twice(&places) {
        let problem = Problem::new(format!("`account.deliver` names {twice} twice")).at(at);
        section.object(problem.hint("each place gets each message once: take one of them out"));
        return None;
    }
    Some(places)
}

/// What the state would take for one place.
fn named_twice(places: &[Place]) -> Option<String> {
    let mut labels = HashSet::new();
    let opened = places.iter().filter_map(|it| it.open(Path::new("."), ""));
    let mut opened = opened.map(|place| place.label().to_owned());
    opened.find(|label| !labels.insert(label.clone()))
}

fn one<'r>(
    reader: &Reader<'r>,
    section: &mut Section<'r>,
    at: At,
    value: Spanned<DeValue<'r>>,
) -> Option<Place> {
    let mut deliver = match Section::of_value(reader.text, "account.deliver.", value) {
        Ok(deliver) => deliver,
        Err(problem) => {
            section.object(problem.hint("write `deliver = { maildir = \"~/Mail\" }`"));
            return None;
        }
    };
    if let Some((at, _)) = deliver.take_any("imap") {
        section.object(not_supported("`account.deliver.imap`").at(at));
        return None;
    }
    let kinds: Vec<&str> = KINDS.into_iter().filter(|kind| deliver.has(kind)).collect();
    let place = match kinds.as_slice() {
        ["maildir"] => maildir(reader, &mut deliver),
        ["mbox"] => mbox(reader, &mut deliver),
        ["lmtp"] => mail_server(reader, &mut deliver, Dialect::Lmtp),
        ["smtp"] => mail_server(reader, &mut deliver, Dialect::Smtp),
        // The last of the kinds.
        [_] => command(&mut deliver),
        [] => {
            let problem = Problem::new("`account.deliver` does not say where");
            let hint = "write one of `maildir`, `mbox`, `lmtp`, `smtp`, `command`";
            section.object(problem.at(at).hint(hint));
            KINDS
                .into_iter()
                .for_each(|kind| drop(deliver.take_any(kind)));
            None
        }
        [one, other, ..] => {
            let problem = Problem::new(format!("`account.deliver` has both `{one}` and `{other}`"));
            section.object(problem.at(at).hint(format!(
                "write a list: `deliver = [{{ {one} = … }}, {{ {other} = … }}]`"
            )));
            return None;
        }
    };
    let found = deliver.finish();
    let sound = found.is_empty();
    found
        .into_iter()
        .for_each(|problem| section.object(problem));
    place.filter(|_| sound)
}

fn maildir(reader: &Reader<'_>, deliver: &mut Section<'_>) -> Option<Place> {
    let path = deliver.take("maildir", |value| words::path(value, reader.surroundings()));
    let choices = [
        ("lf", Means::Now(LineEnds::Lf)),
        ("crlf", Means::Now(LineEnds::Crlf)),
    ];
    let line_ends = deliver.take("line_ends", |value| value::choice(value, choices));
    Some(Place::Maildir(path?, line_ends.unwrap_or_default()))
}

fn mbox(reader: &Reader<'_>, deliver: &mut Section<'_>) -> Option<Place> {
    let path = deliver.take("mbox", |value| {
        let path = words::path(value, reader.surroundings())?;
        match Mbox::new(&path, "account", Mbox::LOCK_WAIT) {
            Some(_) => Ok(path),
            None => Err(wrong(value, "names no file", "write the path of a file")),
        }
    });
    let wait = deliver.take("lock_wait", value::duration);
    Some(Place::Mbox(path?, wait.unwrap_or(Mbox::LOCK_WAIT)))
}

fn command(deliver: &mut Section<'_>) -> Option<Place> {
    let words = deliver.take("command", |value| match value.get_ref() {
        DeValue::Array(_) => {
            let words = value::texts(value)?;
            match words.is_empty() {
                true => Err(wrong(
                    value,
                    "is empty",
                    "write `[\"program\", \"argument\"]`",
                )),
                false => Ok(words.into_iter().map(OsString::from).collect()),
            }
        }
        // As in a shell, for whoever writes it as in a shell.
        _ => Ok(["/bin/sh", "-c", &value::text(value)?]
            .map(OsString::from)
            .to_vec()),
    });
    let deadline = deliver.take("deadline", words::seconds);
    Some(Place::Command(CommandSettings {
        words: words?,
        deadline: deadline.unwrap_or(Command::DEADLINE),
    }))
}

fn mail_server(reader: &Reader<'_>, deliver: &mut Section<'_>, dialect: Dialect) -> Option<Place> {
    let (key, port) = match dialect {
        Dialect::Lmtp => ("lmtp", LMTP_PORT),
        Dialect::Smtp => ("smtp", SMTP_PORT),
    };
    let place = deliver.take(key, |value| server_place(reader, value, port));
    let recipient = deliver.need("recipient", "\"me@example.com\"", address);
    let sender = deliver.take("sender", address);
    let choices = [
        ("none", Means::Now(Protection::None)),
        ("starttls", Means::Now(Protection::Starttls)),
        ("implicit", Means::Now(Protection::Implicit)),
    ];
    let protection = deliver.take("tls", |value| value::choice(value, choices));
    let ca_file = deliver.take("ca_file", |value| words::path(value, reader.surroundings()));
    let login = login(reader, deliver);
    let peer = match place? {
        Reached::Socket(path) => Peer::Unix(path),
        Reached::Host(host, port) => {
            let near = words::is_loopback(&host);
            // Mail on this machine needs no TLS; elsewhere it must be told to go without.
            let protection = protection.unwrap_or(match near {
                true => Protection::None,
                false => Protection::Starttls,
            });
            if protection == Protection::None && !near && login.is_some() {
                let problem = Problem::new("a password would go over the line for all to read");
                deliver.object(problem.hint("write `tls = \"starttls\"` or `tls = \"implicit\"`"));
                return None;
            }
            let security = security(deliver, protection, ca_file.as_deref())?;
            Peer::Tcp {
                host,
                port,
                security,
            }
        }
    };
    Some(Place::MailServer(Box::new(MailServerSettings {
        dialect,
        peer,
        login,
        recipient: recipient?,
        sender,
        deadlines: Deadlines::default(),
    })))
}

fn security(
    deliver: &mut Section<'_>,
    protection: Protection,
    ca_file: Option<&Path>,
) -> Option<Security> {
    if protection == Protection::None {
        return Some(Security::None);
    }
    let tls = match ca_file {
        Some(path) => Tls::with_ca_file(path),
        None => Tls::platform(),
    };
    match tls {
        Ok(tls) if protection == Protection::Implicit => Some(Security::Tls(tls)),
        Ok(tls) => Some(Security::Starttls(tls)),
        Err(error) => {
            let causes = restante_fetch::Causes(&error).to_string();
            deliver.object(Problem::new(format!("`account.deliver.ca_file`: {causes}")));
            None
        }
    }
}

fn login(reader: &Reader<'_>, deliver: &mut Section<'_>) -> Option<Login> {
    let name = deliver.take("user", value::text);
    let password = reader.password(deliver, "password");
    let file = deliver.take("password_file", |value| {
        let path = words::path(value, reader.surroundings())?;
        let refused = |why: String, hint: &str| {
            wrong(
                value,
                format!("names `{}`, which {why}", path.display()),
                hint,
            )
        };
        let hint = "write the path of a file whose first line is the password";
        let unreadable = |error: io::Error| refused(format!("cannot be read: {error}"), hint);
        let facts = fs::metadata(&path).map_err(unreadable)?;
        if facts.permissions().mode() & 0o077 != 0 {
            return Err(refused("others can read".into(), "`chmod 600` it"));
        }
        let read = fs::read_to_string(&path).map_err(unreadable)?;
        match read.lines().next() {
            Some(line) if !line.is_empty() => Ok(SecretString::from(line)),
            _ => Err(refused("has no password".into(), hint)),
        }
    });
    let has_password = password.is_some() || file.is_some();
    match (name, password.or(file)) {
        (Some(name), Some(password)) => Some(Login { name, password }),
        (Some(_), None) => {
            let problem = Problem::new("`account.deliver.user` has no password");
            deliver.object(problem.hint("write `password_file = \"…\"`"));
            None
        }
        (None, _) => {
            if has_password {
                let problem = Problem::new("`account.deliver` has a password and no `user`");
                deliver.object(problem.hint("write `user = \"…\"`, or nobody logs in"));
            }
            None
        }
    }
}

/// How a mail server is reached.
enum Reached {
    Socket(PathBuf),
    Host(String, u16),
}

fn server_place(
    reader: &Reader<'_>,
    value: &Spanned<DeValue<'_>>,
    port: u16,
) -> Result<Reached, Wrong> {
    let text = value::text(value).map_err(|_| {
        let kind = article(value.get_ref());
        wrong(
            value,
            format!("must be text, not {kind}"),
            "write `\"host:port\"`",
        )
    })?;
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Reached::Socket(reader.surroundings().directory.join(path)));
    }
    let hint = "write `\"unix:/path/to/socket\"` or `\"host:port\"`";
    let not = || wrong(value, format!("is `\"{text}\"`, which is no server"), hint);
    let (host, port) = words::host_and_port(&text, port).ok_or_else(not)?;
    Ok(Reached::Host(host, port))
}

fn address(value: &Spanned<DeValue<'_>>) -> Result<Address, Wrong> {
    let text = value::text(value)?;
    Address::new(&text).ok_or_else(|| {
        let what = format!("is `\"{text}\"`, which is no address");
        wrong(
            value,
            what,
            "write `\"me@example.com\"`, without name and brackets",
        )
    })
}
