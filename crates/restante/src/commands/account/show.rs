//! `restante account show`: one account, wherever accounts come from.

use std::{fmt::Write as _, time::Duration};

use restante_maildrop::{MailboxId, OpenError, Policy, Shows, Span, Store as _};
use restante_server::{
    LastLogin,
    accounts::{Account, BuiltinListing, Directory},
    control::{self, Reply, Request},
};
use serde_json::json;
use time::OffsetDateTime;

use crate::{
    accounts,
    commands::serve::kept,
    configuration::Configuration,
    console,
    exit_code::ExitCode,
    failure::Failure,
    mailboxes::{self, Usage},
};

/// What there is to show.
struct Shown {
    account: Account,
    /// What only the built-in accounts know.
    listing: Option<BuiltinListing>,
    /// Where its mail is, or why nobody can say.
    place: Result<String, String>,
    usage: Option<Usage>,
    /// What lies in its trash, which does not count for the mailbox.
    trash: Option<Usage>,
    policy: Policy,
    /// Shortest time between two logins.
    login_delay: Duration,
    last_login: Option<LastLogin>,
    shows: Shows,
}

/// Shows the account that somebody would log in to as `address`.
///
/// # Errors
/// There is none, or it cannot be found out.
pub(super) fn run(configuration: &Configuration, address: &str, json: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Unavailable, "cannot start").caused_by(error))?;
    let (directory, account) = runtime.block_on(accounts::look_up(configuration, address))?;
    let listing = match &directory {
        Directory::Builtin(builtin) => builtin.listing(&account.name).map_err(accounts::explain)?,
        _ => None,
    };
    let place = match &account.mailbox {
        Ok(mailbox) => Ok(mailboxes::place(configuration, mailbox)),
        Err(obstacle) => Err(obstacle.to_string()),
    };
    let usage = match &place {
        Ok(place) => Some(mailboxes::usage(place).map_err(|error| {
            let what = format!("cannot look into `{}`", place.display());
            Failure::new(ExitCode::Io, what)
                .caused_by(error)
                .hint("run the command as the user that runs the server")
        })?),
        Err(_) => None,
    };
    let trash = match &account.mailbox {
        Ok(mailbox) => runtime.block_on(trash(configuration, mailbox))?,
        Err(_) => None,
    };
    let policy = account.choices.over(configuration.mail.policy);
    let login_delay = account.choices.login_delay;
    let login_delay = login_delay.unwrap_or(configuration.pop3.login_delay);
    let last_login = last_login(configuration, &account.name);
    let shows = account.choices.shows_over(&configuration.mail.shows);
    let shown = Shown {
        account,
        listing,
        place: place.map(|place| place.to_string_lossy().into_owned()),
        usage,
        trash,
        policy,
        login_delay,
        last_login,
        shows,
    };
    console::print(if json { shown.json() } else { shown.rows() })
}

/// When somebody logged in last, as the running server knows it; without one, as the last one has
/// kept it.
fn last_login(configuration: &Configuration, account: &str) -> Option<LastLogin> {
    let request = Request::LastLogin {
        account: account.to_owned(),
    };
    match control::ask(&configuration.data, &request) {
        Ok(Some(Reply::LastLogin { login })) => login,
        // A server of an older version does not know.
        Ok(_) | Err(_) => kept::last_login(&configuration.data, account),
    }
}

/// What lies in the trash; `None` if there is no mailbox yet.
async fn trash(
    configuration: &Configuration,
    mailbox: &MailboxId,
) -> Result<Option<Usage>, Failure> {
    let store = mailboxes::open(configuration)?;
    match store.trash(mailbox).await {
        Ok(messages) => Ok(Some(Usage {
            messages: messages.len() as u64,
            octets: messages.iter().map(|message| message.octets).sum(),
        })),
        Err(OpenError::Absent) => Ok(None),
        Err(error) => Err(Failure::new(ExitCode::Io, "cannot look into the trash")
            .caused_by(error)
            .hint("run the command as the user that runs the server")),
    }
}

impl Shown {
    fn json(&self) -> String {
        let listing = self.listing.as_ref();
        let networks = self.account.access.networks.as_ref();
        json!({
            "address": self.account.name,
            "pop": self.may_log_in(),
            "networks": networks.map(|nets| nets.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "problem": self.problem(),
            "maildir": self.place.as_ref().ok(),
            "messages": self.usage.map(|usage| usage.messages),
            "octets": self.usage.map(|usage| usage.octets),
            "trash_messages": self.trash.map(|trash| trash.messages),
            "trash_octets": self.trash.map(|trash| trash.octets),
            "delete": self.policy.delete.to_string(),
            "keep": self.policy.keep.to_string(),
            "last_login": self.last_login,
            "login_delay": self.login_delay.as_secs(),
            "folders": self.shows.folders.to_string(),
            "show_last": self.span().to_string(),
            "created": listing.map(|listing| listing.created),
            "password_changed": listing.map(|listing| listing.changed),
        })
        .to_string()
    }

    fn rows(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<17} {value}");
        };
        row("address", &self.account.name);
        row("POP3", if self.may_log_in() { "on" } else { "off" });
        if let Some(networks) = &self.account.access.networks {
            let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
            row("only from", &networks.join(", "));
        }
        if let Some(problem) = self.problem() {
            row("needs attention", &problem);
        }
        if let Ok(place) = &self.place {
            row("mailbox", place);
        }
        if let Some(Usage { messages, octets }) = self.usage {
            row("mail", &format!("{messages} messages, {octets} octets"));
        }
        if let Some(Usage { messages, octets }) = self.trash {
            row("trash", &format!("{messages} messages, {octets} octets"));
        }
        let own = |is_own: bool| if is_own { ", its own choice" } else { "" };
        let choices = &self.account.choices;
        let delete = self.policy.delete.to_string();
        row(
            "delete",
            &format!("{delete}{}", own(choices.delete.is_some())),
        );
        let keep = self.policy.keep.to_string();
        row("keep", &format!("{keep}{}", own(choices.keep.is_some())));
        let (delay, is_own) = (self.login_delay, choices.login_delay.is_some());
        if is_own || !delay.is_zero() {
            let delay = delay.as_secs();
            let own = if is_own { ", its own" } else { "" };
            row("between logins", &format!("{delay} s{own}"));
        }
        if let Some(last) = &self.last_login {
            let (when, by) = (moment(last.when), &last.mechanism);
            let device = match last.credential.as_str() {
                "default" => String::new(),
                other => format!(", {}", other.escape_debug()),
            };
            row(
                "last login",
                &format!(
                    "{when} from {} by {}{device}",
                    last.address,
                    by.escape_debug()
                ),
            );
        }
        let folders = self.shows.folders.to_string();
        row(
            "besides INBOX",
            &format!("{folders}{}", own(choices.folders.is_some())),
        );
        let span = self.span();
        row(
            "shown",
            &format!("{span}{}", own(choices.show_last.is_some())),
        );
        if let Some(listing) = &self.listing {
            row("made", &moment(listing.created));
            row("password changed", &moment(listing.changed));
        }
        text.trim_end().to_owned()
    }

    fn span(&self) -> Span {
        self.shows.last.map_or(Span::All, Span::Last)
    }

    fn may_log_in(&self) -> bool {
        !self.account.access.nologin
    }

    /// What keeps the account from being used, if something does.
    fn problem(&self) -> Option<String> {
        let credentials = self.account.credentials.as_ref().err();
        let access = self.account.access.obstacle.as_ref();
        let first = credentials.or(access).map(ToString::to_string);
        first.or_else(|| self.place.as_ref().err().cloned())
    }
}

/// Seconds since 1970 as people write them.
pub(super) fn moment(seconds: u64) -> String {
    let moment = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.map_or_else(
        || seconds.to_string(),
        |moment| {
            let (hour, minute, second) = moment.to_hms();
            format!("{} {hour:02}:{minute:02}:{second:02} UTC", moment.date())
        },
    )
}
