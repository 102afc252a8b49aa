//! From a document to a configuration that makes sense.

mod acme;
mod confinement;
mod oauth;
mod sql;
mod tls;
mod view;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use restante_maildrop::{LineEnds, Location, Policy};
use restante_server::{CleartextLogin, Utf8Headers, accounts::BanSettings, log::LogFormat};

use super::{
    AccountSource, Accounts, Configuration, Limits, Log, Mail, Pop3, Surroundings,
    document::Document,
    problem::{Problem, Problems},
    value::{self, Means},
};

/// RFC 1939 §3: an inactivity timer must be of at least ten minutes. R1939-TIMER-1
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(10 * 60);

/// A login that waits longer has been given up by the program that began it.
const IN_USE_WAIT_MAX: Duration = Duration::from_secs(60);

/// A program that is refused for longer is taken for broken by whoever waits for mail.
const LOGIN_DELAY_MAX: Duration = Duration::from_secs(60 * 60);

/// Connections wait this long with a slot taken: more would let a stranger hold them all.
const LOGIN_TIMEOUT_MAX: Duration = Duration::from_secs(10 * 60);

/// Whoever stops a server wants it to stop.
const DRAIN_TIMEOUT_MAX: Duration = Duration::from_secs(60 * 60);

/// An answer that takes longer has been given up by the program that waits for it.
const FAILURE_TIME_MAX: Duration = Duration::from_secs(30);

/// The first ban; further ones of an address are longer.
const BAN_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

const MECHANISMS: [&str; 10] = [
    "PLAIN",
    "LOGIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "OAUTHBEARER",
    "XOAUTH2",
    "EXTERNAL",
    "CRAM-MD5",
];

/// Without these there are no accounts in a database.
const SQL_NEEDED: [&str; 2] = ["accounts.sql.database", "accounts.sql.password_query"];

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Reads the whole configuration, and says everything that is wrong with it.
pub(super) fn read(
    text: &str,
    file: Option<PathBuf>,
    surroundings: &Surroundings,
) -> Result<Configuration, Problems> {
    let mut document = Document::parse(text);
    let data = data(&mut document, surroundings);
    let (user, group) = confinement::rights(&mut document);
    let pop3 = pop3(&mut document);
    let tls = tls::read(&mut document, surroundings, &pop3);
    let accounts = accounts(&mut document, surroundings);
    let mail = mail(&mut document, surroundings, &data, &accounts);
    let limits = limits(&mut document);
    let bans = bans(&mut document);
    let sandbox = confinement::sandbox(&mut document, surroundings);
    let http = document.read("http.listen", value::addresses);
    let log = log(&mut document);
    acme::check_addresses(&mut document, &tls, http.as_deref().unwrap_or_default());
    oauth::check_mechanisms(&mut document, &pop3, &tls, &accounts);
    if pop3.apop && accounts.source == AccountSource::Builtin {
        document.object(
            "pop3.apop",
            Problem::new("`pop3.apop` cannot work with the built-in accounts").hint(
                "APOP needs readable passwords, which the built-in accounts do not keep: remove it",
            ),
        );
    }
    let (places, problems) = document.finish();
    if !problems.is_empty() {
        return Err(Problems::new(file, problems));
    }
    Ok(Configuration {
        file,
        places,
        data,
        user,
        group,
        pop3,
        tls,
        accounts,
        mail,
        limits,
        bans,
        sandbox,
        http: http.unwrap_or_default(),
        log,
    })
}

fn data(document: &mut Document<'_>, surroundings: &Surroundings) -> PathBuf {
    if let Some(data) = path(document, "data", surroundings) {
        return data;
    }
    let user = surroundings.data_home.clone().or_else(|| {
        let home = surroundings.home.as_ref()?;
        Some(home.join(".local/share"))
    });
    user.map_or_else(
        || {
            let problem =
                Problem::new("`data` has no default here: the user has no home directory");
            document.object("data", problem.hint("write `data = \"/var/lib/restante\"`"));
            PathBuf::new()
        },
        |user| user.join("restante"),
    )
}

fn pop3(document: &mut Document<'_>) -> Pop3 {
    let loopback = |port: u16| vec![([127, 0, 0, 1], port).into()];
    let listen = document.read("pop3.listen", value::addresses);
    let listen_tls = document.read("pop3.listen_tls", value::addresses);
    let pop3 = Pop3 {
        listen: listen.unwrap_or_else(|| loopback(1110)),
        listen_tls: listen_tls.unwrap_or_else(|| loopback(1995)),
        cleartext_login: document
            .read("pop3.cleartext_login", cleartext_login)
            .unwrap_or(CleartextLogin::Loopback),
        mechanisms: document.read("pop3.mechanisms", |value| {
            value::words(value, &MECHANISMS, &[])
        }),
        apop: document.read("pop3.apop", value::truth).unwrap_or(false),
        utf8_headers: document
            .read("pop3.utf8_headers", |value| {
                let choices = [
                    ("raw", Means::Now(Utf8Headers::Raw)),
                    ("surrogate", Means::Now(Utf8Headers::Surrogate)),
                ];
                value::choice(value, choices)
            })
            .unwrap_or_default(),
        idle_timeout: document
            .read("pop3.idle_timeout", value::duration)
            .unwrap_or(IDLE_TIMEOUT_MIN),
        login_timeout: document
            .read("pop3.login_timeout", value::duration)
            .unwrap_or(Duration::from_secs(60)),
        in_use_wait: document
            .read("pop3.in_use_wait", value::duration)
            .unwrap_or(Duration::from_secs(5)),
        drain_timeout: document
            .read("pop3.drain_timeout", value::duration)
            .unwrap_or(Duration::from_secs(30)),
        login_delay: document
            .read("pop3.login_delay", value::duration)
            .unwrap_or(Duration::ZERO),
        proxies: document
            .read("pop3.proxy_protocol", value::networks)
            .unwrap_or_default(),
    };
    check_listeners(document, &pop3);
    check_timers(document, &pop3);
    pop3
}

fn check_listeners(document: &mut Document<'_>, pop3: &Pop3) {
    if pop3.listen.is_empty() && pop3.listen_tls.is_empty() {
        let problem = Problem::new("`pop3.listen` and `pop3.listen_tls` are both empty");
        let hint = "a server needs an address: `listen_tls = [\"127.0.0.1:1995\"]`";
        document.object("pop3.listen_tls", problem.hint(hint));
    }
    for address in &pop3.listen {
        if address.port() != 0 && pop3.listen_tls.contains(address) {
            let problem = Problem::new(format!(
                "`pop3.listen` and `pop3.listen_tls` both have `{address}`"
            ));
            let hint = "POP3 over TLS needs a port of its own: 995, beside 110";
            document.object("pop3.listen_tls", problem.hint(hint));
        }
    }
}

fn check_timers(document: &mut Document<'_>, pop3: &Pop3) {
    if pop3.idle_timeout < IDLE_TIMEOUT_MIN {
        let problem = Problem::new("`pop3.idle_timeout` is below 10 minutes");
        let hint = "RFC 1939 promises every program ten minutes: write `\"10m\"` or more";
        document.object("pop3.idle_timeout", problem.hint(hint));
    }
    let second = Duration::from_secs(1);
    if !(second..=LOGIN_TIMEOUT_MAX).contains(&pop3.login_timeout) {
        let problem = Problem::new("`pop3.login_timeout` is not between 1 second and 10 minutes");
        document.object("pop3.login_timeout", problem.hint("`\"1m\"` suits most"));
    }
    if !(second..=DRAIN_TIMEOUT_MAX).contains(&pop3.drain_timeout) {
        let problem = Problem::new("`pop3.drain_timeout` is not between 1 second and 1 hour");
        let hint = "`\"30s\"` suits most; systemd kills what takes longer than `TimeoutStopSec=`";
        document.object("pop3.drain_timeout", problem.hint(hint));
    }
    // R2449-DELAY-1 announces it in seconds.
    if pop3.login_delay > LOGIN_DELAY_MAX || pop3.login_delay.subsec_nanos() != 0 {
        let problem = Problem::new("`pop3.login_delay` is not whole seconds up to 1 hour");
        let hint = "who comes too soon gets no mail: `\"1m\"` is much already";
        document.object("pop3.login_delay", problem.hint(hint));
    }
    if pop3.in_use_wait > IN_USE_WAIT_MAX {
        let problem = Problem::new("`pop3.in_use_wait` is above 1 minute");
        let hint = "programs give up a login before that: `\"5s\"` suits most";
        document.object("pop3.in_use_wait", problem.hint(hint));
    }
}

fn cleartext_login(
    value: &toml::Spanned<toml::de::DeValue<'_>>,
) -> Result<CleartextLogin, value::Wrong> {
    match value.get_ref().as_bool() {
        Some(false) => Ok(CleartextLogin::Never),
        Some(true) => Ok(CleartextLogin::Always),
        None => value::choice(value, [("loopback", Means::Now(CleartextLogin::Loopback))]).map_err(
            |wrong| value::Wrong {
                hint: Some("write `false`, `\"loopback\"` or `true`".to_owned()),
                ..wrong
            },
        ),
    }
}

fn accounts(document: &mut Document<'_>, surroundings: &Surroundings) -> Accounts {
    #[derive(Clone, Copy, PartialEq)]
    enum Source {
        Builtin,
        PasswdFile,
        Sql,
    }
    let source = document.read("accounts.source", |value| {
        let choices = [
            ("builtin", Means::Now(Source::Builtin)),
            ("passwd-file", Means::Now(Source::PasswdFile)),
            ("sql", Means::Now(Source::Sql)),
            ("ldap", Means::Later),
            ("pam", Means::Later),
            ("postgres", Means::Later),
        ];
        let remedy = |mut wrong: value::Wrong| {
            let hint = "write `\"builtin\"`, `\"passwd-file\"` or `\"sql\"`";
            wrong.hint = Some(hint.to_owned());
            wrong
        };
        value::choice(value, choices).map_err(remedy)
    });
    let passwd_file = path(document, "accounts.passwd_file", surroundings);
    let source = source.unwrap_or(Source::Builtin);
    if source != Source::Sql {
        refuse_unused_sql(document);
    }
    let source = match (source, passwd_file) {
        (Source::Sql, None) => sql(document, surroundings),
        (Source::Sql, Some(_)) => {
            let problem = Problem::new("`accounts.passwd_file` would not be used");
            let hint = "the accounts are in a database, `[accounts.sql]`: remove it";
            document.object("accounts.passwd_file", problem.hint(hint));
            AccountSource::Builtin
        }
        (Source::PasswdFile, Some(file)) => AccountSource::PasswdFile(file),
        (Source::PasswdFile, None) => {
            let problem = Problem::new("`accounts.source` = \"passwd-file\" needs a file");
            let hint = "add `passwd_file = \"/etc/restante/users\"` below it";
            document.object("accounts.source", problem.hint(hint));
            AccountSource::Builtin
        }
        (Source::Builtin, Some(_)) => {
            let problem = Problem::new("`accounts.passwd_file` would not be used");
            let hint = "add `source = \"passwd-file\"` beside it, or remove it";
            document.object("accounts.passwd_file", problem.hint(hint));
            AccountSource::Builtin
        }
        (Source::Builtin, None) => AccountSource::Builtin,
    };
    let failure_time = document.read("accounts.failure_time", value::duration);
    if failure_time.is_some_and(|time| time > FAILURE_TIME_MAX) {
        let problem = Problem::new("`accounts.failure_time` is above 30 seconds");
        let hint = "programs give up a login before that: `\"2s\"` suits most";
        document.object("accounts.failure_time", problem.hint(hint));
    }
    Accounts {
        source,
        default_domain: default_domain(document),
        failure_time: failure_time.unwrap_or(Duration::from_secs(2)),
        oauth: oauth::read(document, surroundings),
    }
}

fn sql(document: &mut Document<'_>, surroundings: &Surroundings) -> AccountSource {
    let has = |document: &Document<'_>| SQL_NEEDED.iter().all(|key| document.has(key));
    let is_complete = has(document);
    match sql::read(document, surroundings) {
        Some(sql) => AccountSource::Sql(Box::new(sql)),
        None => {
            if !is_complete {
                let problem =
                    Problem::new("`accounts.source` = \"sql\" needs a database and a query");
                let hint = "add `[accounts.sql]` with `database = \"postgres://…\"` and \
                            `password_query = \"SELECT password FROM … WHERE … = :address\"`";
                document.object("accounts.source", problem.hint(hint));
            }
            AccountSource::Builtin
        }
    }
}

fn refuse_unused_sql(document: &mut Document<'_>) {
    for key in SQL_NEEDED {
        if document.has(key) {
            let problem = Problem::new(format!("`{key}` would not be used"));
            let hint = "add `source = \"sql\"` below `[accounts]`, or remove it";
            document.object(key, problem.hint(hint));
        }
    }
}

fn default_domain(document: &mut Document<'_>) -> Option<String> {
    let domain = document.read("accounts.default_domain", value::text)?;
    let legal = |c: char| !c.is_whitespace() && !"@/:{}".contains(c);
    if domain.chars().all(legal) {
        return Some(domain.to_lowercase());
    }
    let problem = Problem::new(format!(
        "`accounts.default_domain` is `{domain}`, not a domain"
    ));
    let hint = "write it as it stands after the @: `\"example.com\"`";
    document.object("accounts.default_domain", problem.hint(hint));
    None
}

fn mail(
    document: &mut Document<'_>,
    surroundings: &Surroundings,
    data: &Path,
    accounts: &Accounts,
) -> Mail {
    document.read("mail.store", |value| {
        let choices = [
            ("maildir", Means::Now(())),
            ("mbox", Means::Later),
            ("cluster", Means::Later),
        ];
        value::choice(value, choices)
    });
    let line_ends = document.read("mail.line_ends", |value| {
        let choices = [
            ("lf", Means::Now(LineEnds::Lf)),
            ("crlf", Means::Now(LineEnds::Crlf)),
        ];
        value::choice(value, choices)
    });
    Mail {
        maildir: maildir(document, surroundings, data, accounts),
        line_ends: line_ends.unwrap_or(LineEnds::Lf),
        undelete_for: document
            .read("mail.undelete_for", value::duration)
            .unwrap_or(Duration::from_secs(7 * 24 * 60 * 60)),
        policy: policy(document),
        shows: view::read(document),
    }
}

fn policy(document: &mut Document<'_>) -> Policy {
    let usual = Policy::default();
    let unfetched = document.read("mail.expire_unfetched", |value| {
        match value::text(value)?.as_str() {
            "never" => Ok(None),
            _ => value::duration(value).map(Some),
        }
    });
    Policy {
        delete: document
            .read("mail.delete", value::spelled)
            .unwrap_or(usual.delete),
        keep: document
            .read("mail.keep", value::spelled)
            .unwrap_or(usual.keep),
        expire_unfetched: unfetched.flatten(),
        device_inactive_after: document
            .read("mail.device_inactive_after", value::duration)
            .unwrap_or(usual.device_inactive_after),
    }
}

fn maildir(
    document: &mut Document<'_>,
    surroundings: &Surroundings,
    data: &Path,
    accounts: &Accounts,
) -> String {
    const KEY: &str = "mail.maildir";
    let Some(text) = document.read(KEY, value::text) else {
        let Some(data) = data.to_str().filter(|data| !data.contains(['{', '}'])) else {
            let problem = Problem::new("`data` has a brace or is not UTF-8");
            document.object(
                "data",
                problem.hint("the default of `mail.maildir` needs a plainer name"),
            );
            return String::new();
        };
        return format!("{data}/mail/{{address}}");
    };
    if let Err(problem) = check_template(&text, accounts) {
        document.object(KEY, problem);
        return text;
    }
    let whole = match text.starts_with("{home}") {
        true => Ok(text.clone()),
        false => expand(&text, surroundings).map(|path| path.to_string_lossy().into_owned()),
    };
    let location = whole.and_then(|location| match Location::new(&location) {
        Ok(_) => Ok(location),
        Err(error) => Err(Problem::new(format!("`{KEY}`: {error}"))
            .hint("write it like this: `\"/var/mail/{domain}/{user}\"`")),
    });
    location.unwrap_or_else(|problem| {
        document.object(KEY, problem);
        text
    })
}

/// Checks the placeholders of `mail.maildir`: known ones, and such that no two accounts share
/// a mailbox by mistake.
fn check_template(template: &str, accounts: &Accounts) -> Result<(), Problem> {
    const HINT: &str = "`{address}`, `{user}`, `{domain}` and `{home}` can be used";
    let unbalanced = || Problem::new("`mail.maildir` has a brace without its partner").hint(HINT);
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find(['{', '}']) {
        let inside = rest[start..].strip_prefix('{').ok_or_else(unbalanced)?;
        let end = inside.find('}').ok_or_else(unbalanced)?;
        names.push(&inside[..end]);
        rest = &inside[end + 1..];
    }
    let known = ["address", "user", "domain", "home"];
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(Problem::new(format!("`mail.maildir` has `{{{name}}}`")).hint(HINT));
    }
    if names.contains(&"home") && accounts.source == AccountSource::Builtin {
        return Err(Problem::new(
            "`mail.maildir` has `{home}`, which built-in accounts do not have",
        )
        .hint("use `{address}`"));
    }
    if !names
        .iter()
        .any(|name| ["address", "user", "home"].contains(name))
    {
        return Err(Problem::new("`mail.maildir` is the same for all accounts")
            .hint("everybody would read everybody's mail: use `{address}`"));
    }
    Ok(())
}

fn limits(document: &mut Document<'_>) -> Limits {
    let mut read = |key, default| document.read(key, value::count).unwrap_or(default);
    Limits {
        connections: read("limits.connections", 10_000),
        connections_per_address: read("limits.connections_per_address", 50),
        connections_per_account: read("limits.connections_per_account", 10),
    }
}

fn bans(document: &mut Document<'_>) -> BanSettings {
    let default = BanSettings::default();
    let time = document.read("bans.time", value::duration);
    if time.is_some_and(|time| time > BAN_TIME_MAX) {
        let problem = Problem::new("`bans.time` is above 1 day");
        let hint =
            "addresses change hands, and a name's owner is locked out too: `\"10m\"` suits most";
        document.object("bans.time", problem.hint(hint));
    }
    BanSettings {
        failures: document
            .read("bans.failures", value::count)
            .unwrap_or(default.failures),
        time: time.unwrap_or(default.time),
        never: document
            .read("bans.never", value::networks)
            .unwrap_or(default.never),
    }
}

fn log(document: &mut Document<'_>) -> Log {
    let format = document.read("log.format", |value| {
        let choices = [
            ("text", Means::Now(LogFormat::Text)),
            ("json", Means::Now(LogFormat::Json)),
        ];
        value::choice(value, choices)
    });
    let level = document.read("log.level", |value| {
        value::choice(value, LEVELS.map(|level| (level, Means::Now(level))))
    });
    Log {
        format: format.unwrap_or(LogFormat::Text),
        level: level.unwrap_or("info"),
    }
}

fn path(
    document: &mut Document<'_>,
    key: &'static str,
    surroundings: &Surroundings,
) -> Option<PathBuf> {
    let text = document.read(key, value::text)?;
    match expand(&text, surroundings) {
        Ok(path) => Some(path),
        Err(problem) => {
            document.object(key, problem);
            None
        }
    }
}

/// Makes a path absolute: `~/` is the user's home, anything else relative to the file's directory.
pub(super) fn expand(text: &str, surroundings: &Surroundings) -> Result<PathBuf, Problem> {
    if text == "~" || text.starts_with("~/") {
        let home = surroundings.home.as_ref().ok_or_else(|| {
            Problem::new(format!("`{text}`: the user has no home directory"))
                .hint("write the whole path")
        })?;
        return Ok(home.join(text[1..].trim_start_matches('/')));
    }
    if text.starts_with('~') {
        return Err(Problem::new(format!("`{text}`: only `~/` is understood"))
            .hint("write the whole path, or `./~…` for a name that begins so"));
    }
    Ok(surroundings.directory.join(text))
}
