//! `restante config check`: what `serve` would run.

use std::{fmt::Write as _, time::Duration};

use restante_maildrop::{DeleteMode, Keep, LineEnds, Policy};
use restante_server::{CleartextLogin, acme::LastFailure, log::LogFormat};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    accounts, acme,
    certificate::{self, Facts},
    configuration::{
        Configuration, format_duration,
        key::{Acts, KEYS},
    },
    console,
    failure::Failure,
    flags::Talk,
    identity, mailboxes, oauth,
    rights::Rights,
};

/// Explains the configuration on stdout.
///
/// # Errors
/// Everything that would keep `serve` from running.
pub(crate) fn run(configuration: &Configuration, talk: Talk) -> Result<(), Failure> {
    Rights::of(configuration)?;
    identity::check(configuration)?;
    accounts::check(configuration)?;
    oauth::check(configuration)?;
    acme::check(configuration)?;
    mailboxes::check(configuration)?;
    let accounts = accounts::survey(configuration)?;
    let mut report = Report::default();
    report.row(
        "configuration",
        &configuration.file.as_ref().map_or_else(
            || "built-in defaults, no file".to_owned(),
            |file| file.display().to_string(),
        ),
    );
    report.row("data", &configuration.data.display().to_string());
    rights(&mut report, configuration);
    listeners(&mut report, configuration);
    report.row(
        "certificate",
        &certificate(configuration, OffsetDateTime::now_utc()),
    );
    orders(&mut report, configuration);
    for line in accounts {
        report.row("accounts", &line);
    }
    if let Some(file) = &configuration.tls.client_ca {
        let file = file.display();
        report.row("client cert.", &format!("of the authorities in {file}"));
    }
    if let Some(tokens) = &configuration.accounts.oauth {
        report.row("tokens", &oauth::describe(tokens));
    }
    mail(&mut report, configuration);
    shows(&mut report, configuration);
    pages(&mut report, configuration);
    limits(&mut report, configuration);
    defaults(&mut report, configuration, talk);
    console::print(report.text.trim_end())
}

/// Rows of a name and a value; a name that is the same as above is not repeated.
#[derive(Default)]
struct Report {
    text: String,
    last: &'static str,
}

impl Report {
    fn row(&mut self, name: &'static str, value: &str) {
        let shown = if name == self.last { "" } else { name };
        let _ = writeln!(self.text, "{shown:<14} {value}");
        self.last = name;
    }
}

/// Whose rights the server has while it serves, and what it keeps itself from.
fn rights(report: &mut Report, configuration: &Configuration) {
    let whose = match (&configuration.user, &configuration.group) {
        (None, _) => "those of whoever starts it".to_owned(),
        (Some(user), group) => {
            let group = group.as_ref().map(|group| format!(", group `{group}`"));
            format!(
                "those of `{user}`{}, once the ports are bound and the certificates read",
                group.unwrap_or_default()
            )
        }
    };
    let sandbox = match configuration.sandbox.enabled {
        true => "in a sandbox of files, ports and system calls",
        false => "without a sandbox",
    };
    report.row("rights", &format!("{whose}; {sandbox}"));
}

fn listeners(report: &mut Report, configuration: &Configuration) {
    let pop3 = &configuration.pop3;
    let cleartext = match pop3.cleartext_login {
        CleartextLogin::Never => "no password without TLS",
        CleartextLogin::Loopback => "passwords without TLS from this machine only",
        CleartextLogin::Always => {
            "passwords accepted without TLS from everywhere: they can be read on the way"
        }
    };
    for address in &pop3.listen {
        report.row("POP3", &format!("{address}, with STLS; {cleartext}"));
    }
    for address in &pop3.listen_tls {
        report.row("POP3 over TLS", &address.to_string());
    }
    if !pop3.proxies.is_empty() {
        let networks: Vec<String> = pop3.proxies.iter().map(ToString::to_string).collect();
        let networks = networks.join(", ");
        report.row(
            "PROXY header",
            &format!(
                "every connection from {networks} must begin with one, which names the client"
            ),
        );
    }
    let mechanisms = pop3.mechanisms.as_ref().map_or_else(
        || "what the accounts can verify".to_owned(),
        |mechanisms| match mechanisms[..] {
            [] => "none".to_owned(),
            _ => mechanisms.join(" "),
        },
    );
    let apop = if pop3.apop { "; APOP" } else { "" };
    report.row("mechanisms", &format!("{mechanisms}{apop}"));
    report.row(
        "timeouts",
        &format!(
            "idle {}, login {}, mailbox in use {}, failed login answered after {}",
            format_duration(pop3.idle_timeout),
            format_duration(pop3.login_timeout),
            format_duration(pop3.in_use_wait),
            format_duration(configuration.accounts.failure_time),
        ),
    );
}

fn certificate(configuration: &Configuration, now: OffsetDateTime) -> String {
    let obtained = acme::Folder::of(configuration).certificate();
    if configuration.tls.acme.is_some()
        && let Ok(facts) = certificate::facts(&obtained)
    {
        let path = obtained.display();
        return format!("obtained by ACME, {path}, {}", validity(&facts, now));
    }
    let (files, made_by) = match &configuration.tls.certificate {
        Some(files) => (files.clone(), ""),
        None if configuration.tls.acme.is_some() => (
            certificate::self_signed_files(&configuration.data),
            "self-signed, until one is obtained, ",
        ),
        None => (
            certificate::self_signed_files(&configuration.data),
            "self-signed, ",
        ),
    };
    let path = files.certificate.display();
    match certificate::facts(&files.certificate) {
        Ok(facts) => format!("{made_by}{path}, {}", validity(&facts, now)),
        Err(_) if configuration.tls.certificate.is_none() => {
            format!("self-signed, will be made at the next start: {path}")
        }
        Err(error) => format!("{path}, {error}"),
    }
}

/// What the server obtains by itself, and how that went.
fn orders(report: &mut Report, configuration: &Configuration) {
    let Some(acme) = &configuration.tls.acme else {
        return;
    };
    let over_tls = !configuration.pop3.listen_tls.is_empty();
    report.row("ACME", &acme::describe(acme, over_tls));
    if let Some(LastFailure { at, count, reason }) = acme::last_failure(configuration) {
        let times = match count {
            1 => "once".to_owned(),
            count => format!("{count} times in a row"),
        };
        let text = format!(
            "FAILED {times}, last at {}: {}",
            shown(at),
            reason.escape_debug()
        );
        report.row("ACME", &text);
    }
}

/// To the second.
fn shown(moment: OffsetDateTime) -> String {
    let moment = moment.replace_nanosecond(0).unwrap_or(moment);
    moment.format(&Rfc3339).unwrap_or_default()
}

fn validity(facts: &Facts, now: OffsetDateTime) -> String {
    let names = match facts.names[..] {
        [] => "no host name".to_owned(),
        _ => facts.names.join(", "),
    };
    let end = facts.not_after.date();
    let days = facts.days_left(now);
    let state = if facts.is_valid(now) {
        format!("valid until {end} ({days} days)")
    } else if now < facts.not_before {
        format!("NOT YET VALID, from {}", facts.not_before.date())
    } else {
        format!("EXPIRED on {end}")
    };
    format!("{state}, for {names}")
}

fn mail(report: &mut Report, configuration: &Configuration) {
    let mail = &configuration.mail;
    report.row("mail", &format!("Maildir {}", mail.maildir));
    let ends = match mail.line_ends {
        LineEnds::Lf => "LF",
        LineEnds::Crlf => "CRLF",
    };
    report.row("mail", &format!("own deliveries end lines with {ends}"));
    for line in leaving(mail.policy, mail.undelete_for) {
        report.row("mail", &line);
    }
}

/// When mail leaves, and what becomes of it, a sentence each.
fn leaving(policy: Policy, undelete_for: Duration) -> [String; 3] {
    let per_device = policy.delete == DeleteMode::PerDevice;
    let whose = match per_device {
        true => {
            let idle = format_duration(policy.device_inactive_after);
            format!(
                "each device has a view of its own, and is waited for until it is unused for {idle}"
            )
        }
        false => "what one program deletes is deleted for all".to_owned(),
    };
    let by = match per_device {
        true => "by every device",
        false => "by anybody",
    };
    let leaves = match policy.keep {
        Keep::UntilDeleted => format!("mail leaves when it was deleted {by}"),
        Keep::UntilFetched => format!("mail leaves when it was fetched or deleted {by}"),
        Keep::For(time) => format!(
            "mail leaves {} after it arrived, if somebody has fetched or deleted it",
            format_duration(time)
        ),
        Keep::Forever => "mail never leaves".to_owned(),
    };
    let unfetched = match (policy.keep, policy.expire_unfetched) {
        (Keep::Forever, _) => String::new(),
        (_, None) => "; what nobody has fetched stays for good".to_owned(),
        (_, Some(time)) => format!(
            "; what nobody has fetched leaves after {}",
            format_duration(time)
        ),
    };
    let trash = match undelete_for.is_zero() {
        true => "what has left is gone for good".to_owned(),
        false => format!(
            "what has left rests {} in the trash and can be put back",
            format_duration(undelete_for)
        ),
    };
    [whose, format!("{leaves}{unfetched}"), trash]
}

/// What POP shows of a mailbox.
fn shows(report: &mut Report, configuration: &Configuration) {
    let shows = &configuration.mail.shows;
    let folders = shows.folders.as_slice().iter().map(|folder| {
        let tag = folder.tag.as_ref();
        let tag = tag.map(|tag| format!(" (tagged `{}`)", tag.as_str()));
        format!("{}{}", folder.name, tag.unwrap_or_default())
    });
    let all = ["INBOX".to_owned()].into_iter().chain(folders);
    let folders = all.collect::<Vec<_>>().join(", ");
    let span = match shows.last {
        None => String::new(),
        Some(last) => format!("; only what arrived within {}", format_duration(last)),
    };
    report.row("mail", &format!("POP shows {folders}{span}"));
}

fn pages(report: &mut Report, configuration: &Configuration) {
    for address in &configuration.http {
        let readers = match address.ip().to_canonical().is_loopback() {
            true => "this machine alone reads them",
            false => "whoever reaches it reads them",
        };
        let pages = format!("{address}: /metrics, /healthz, /readyz; {readers}");
        report.row("HTTP", &pages);
    }
}

fn limits(report: &mut Report, configuration: &Configuration) {
    let limits = &configuration.limits;
    report.row(
        "limits",
        &format!(
            "{} connections, {} from one address, {} sessions of one account",
            limits.connections, limits.connections_per_address, limits.connections_per_account
        ),
    );
    let format = match configuration.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "JSON",
    };
    report.row(
        "log",
        &format!("{format} on stderr, level {}", configuration.log.level),
    );
}

fn defaults(report: &mut Report, configuration: &Configuration, talk: Talk) {
    report.text.push_str("\ndefaults in force:\n");
    for key in KEYS {
        let Acts::Now(default) = key.acts else {
            continue;
        };
        if configuration.sets(key.path) {
            continue;
        }
        let _ = writeln!(
            report.text,
            "  {:<31} {}",
            key.path,
            default.replace('`', "")
        );
        if talk.verbose > 0 {
            let _ = writeln!(report.text, "      {}", key.says.replace('`', ""));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn when_mail_leaves_is_said_in_plain_words() {
        let told = |policy, undelete_for| leaving(policy, undelete_for).join(". ");
        assert_eq!(
            told(Policy::default(), 7 * DAY),
            "what one program deletes is deleted for all. mail leaves when it was deleted by \
             anybody; what nobody has fetched stays for good. what has left rests 7d in the trash \
             and can be put back"
        );
        let policy = Policy {
            delete: DeleteMode::PerDevice,
            keep: Keep::UntilFetched,
            expire_unfetched: Some(90 * DAY),
            device_inactive_after: 30 * DAY,
        };
        assert_eq!(
            told(policy, Duration::ZERO),
            "each device has a view of its own, and is waited for until it is unused for 30d. mail \
             leaves when it was fetched or deleted by every device; what nobody has fetched leaves \
             after 90d. what has left is gone for good"
        );
        let keep = |keep| leaving(Policy { keep, ..policy }, DAY)[1].clone();
        assert_eq!(keep(Keep::Forever), "mail never leaves");
        assert_eq!(
            keep(Keep::For(14 * DAY)),
            "mail leaves 14d after it arrived, if somebody has fetched or deleted it; what nobody \
             has fetched leaves after 90d"
        );
    }
}
