//! Every key the configuration file may hold, in one table: what reads the file, what explains it
//! and `docs/configuration.md` all come from here.

/// One documented key.
#[derive(Debug)]
pub(crate) struct Key {
    /// The key with its tables: `pop3.idle_timeout`. A table stands for all keys in it.
    pub(crate) path: &'static str,
    /// Whether this version does what the key says.
    pub(crate) acts: Acts,
    /// What may be written, and what it does.
    pub(crate) says: &'static str,
}

/// Whether a key is acted upon. One that is not is an error, never ignored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Acts {
    /// This version does what it says; holds the default as it would be written.
    Now(&'static str),
    /// Documented for a later version.
    Later,
}

const fn now(path: &'static str, default: &'static str, says: &'static str) -> Key {
    Key {
        path,
        acts: Acts::Now(default),
        says,
    }
}

const fn later(path: &'static str, says: &'static str) -> Key {
    Key {
        path,
        acts: Acts::Later,
        says,
    }
}

/// All keys, in the order in which people read about them.
pub(crate) const KEYS: &[Key] = &[
    now(
        "data",
        "the user's data directory: `$XDG_DATA_HOME/restante` or `~/.local/share/restante`",
        "Directory of the accounts, the certificate and, unless `mail.maildir` says otherwise, the mail.",
    ),
    now(
        "user",
        "the one who starts the server",
        "The user whose rights the server keeps, if root starts it: once the ports are bound and the certificates read.",
    ),
    now(
        "group",
        "the user's own",
        "The group whose rights the server keeps. All other groups are given up.",
    ),
    now(
        "pop3.listen",
        r#"`["127.0.0.1:1110"]`"#,
        "Addresses that offer POP3 with STLS. An empty list switches it off.",
    ),
    now(
        "pop3.listen_tls",
        r#"`["127.0.0.1:1995"]`"#,
        "Addresses that offer POP3 over TLS. An empty list switches it off.",
    ),
    now(
        "pop3.cleartext_login",
        r#"`"loopback"`"#,
        r#"Who may send a password without TLS: nobody (`false`), programs on this machine (`"loopback"`), everybody (`true`)."#,
    ),
    now(
        "pop3.mechanisms",
        "what the accounts can verify",
        r#"SASL mechanisms offered: any of `"PLAIN"`, `"LOGIN"`, `"SCRAM-SHA-1"`, `"SCRAM-SHA-1-PLUS"`, `"SCRAM-SHA-256"`, `"SCRAM-SHA-256-PLUS"`, `"OAUTHBEARER"`, `"XOAUTH2"` (need `[accounts.oauth]`), `"EXTERNAL"` (needs `tls.client_ca`), `"CRAM-MD5"` (needs passwords stored as `{PLAIN}` in a passwd-file)."#,
    ),
    now(
        "pop3.apop",
        "`false`",
        "Whether APOP is offered. It needs passwords stored as `{PLAIN}` in a passwd-file.",
    ),
    now(
        "pop3.utf8_headers",
        r#"`"raw"`"#,
        r#"How UTF-8 headers go to programs that do not say UTF8: as stored (`"raw"`), or written anew in ASCII (`"surrogate"`, RFC 6858), which hides addresses that are not ASCII and breaks signatures."#,
    ),
    now(
        "pop3.idle_timeout",
        r#"`"10m"`"#,
        "How long a session may be silent. Never below the ten minutes of RFC 1939.",
    ),
    now(
        "pop3.login_timeout",
        r#"`"1m"`"#,
        "How long a connection may take to log in.",
    ),
    now(
        "pop3.login_delay",
        r#"`"0s"`"#,
        "Shortest time between two logins of an account, in whole seconds; announced by CAPA. Whoever comes sooner is refused with `[LOGIN-DELAY]`.",
    ),
    now(
        "pop3.in_use_wait",
        r#"`"5s"`"#,
        "How long a login waits for another session of the same mailbox to end.",
    ),
    now(
        "pop3.drain_timeout",
        r#"`"30s"`"#,
        "How long the server takes to stop at most: for three quarters of it sessions that are at work go on, then no new command begins.",
    ),
    now(
        "pop3.proxy_protocol",
        "`[]`",
        "Networks of proxies, such as `[\"10.0.0.0/8\"]`: a connection from there must begin with a PROXY header (version 1 or 2), and the address in it is the client's. No other connection is read for one.",
    ),
    now(
        "tls.certificate",
        "a self-signed one, made under `data`",
        "PEM file of the certificate and its chain.",
    ),
    now(
        "tls.key",
        "belongs to the self-signed certificate",
        "PEM file of the certificate's private key.",
    ),
    now(
        "tls.strict_sni",
        "`false`",
        "Whether a connection that asks for a name no certificate holds is refused.",
    ),
    now(
        "tls.name",
        "none",
        "More certificates, each a `[[tls.name]]` with `certificate` and `key`; shown to programs that ask for a name they hold.",
    ),
    now(
        "tls.client_ca",
        "none",
        "PEM file of the authorities that sign certificates of mail programs: whoever presents one is offered EXTERNAL, and may open the account that the certificate has as mail address. Revocation lists may stand in the file too; then every authority in a certificate's chain needs one.",
    ),
    now(
        "tls.acme.domains",
        "none",
        "Names that the server obtains a certificate for by itself (ACME, RFC 8555), and renews: `[\"pop.example.com\"]`. Mail programs are shown it unless a `[[tls.name]]` has the name that they ask for. Until it is there they are shown a self-signed one. The section itself, `challenge` and `listen` take effect at a restart, its other keys at a reload.",
    ),
    now(
        "tls.acme.terms_of_service_agreed",
        "none",
        "`true`: you agree to the terms of service of the certificate authority. Nothing is asked for without it.",
    ),
    now(
        "tls.acme.contact",
        "none",
        "Whom the authority may write to: `\"mailto:postmaster@example.com\"`, or a list of such.",
    ),
    now(
        "tls.acme.directory",
        "`\"https://acme-v02.api.letsencrypt.org/directory\"`",
        "The authority: the URL of its ACME directory. For trials there is `\"https://acme-staging-v02.api.letsencrypt.org/directory\"`, whose certificates nobody trusts. Another directory means another certificate, at once.",
    ),
    now(
        "tls.acme.ca_file",
        "none",
        "PEM file of authorities that may have signed the certificate of the directory's own server, beside the system's.",
    ),
    now(
        "tls.acme.eab_key_id",
        "none",
        "For authorities that want the account to belong to one that you have with them (RFC 8555 §7.3.4): the key identifier that they have given you. Needed once, when the account is made.",
    ),
    now(
        "tls.acme.eab_hmac_key_file",
        "none",
        "File with the HMAC key that belongs to it, in base64url, as the authority shows it; readable to root alone is enough.",
    ),
    now(
        "tls.acme.challenge",
        "`\"tls-alpn-01\"`",
        "How the authority sees that the names are yours: it connects to port 443 of each (`\"tls-alpn-01\"`), or to port 80 (`\"http-01\"`).",
    ),
    now(
        "tls.acme.listen",
        "`[\"0.0.0.0:443\", \"[::]:443\"]`, with `http-01` port 80",
        "Addresses at which it is answered, and nothing else is. With `tls-alpn-01` it is answered at `pop3.listen_tls` too; where port 443 is led there, this list may be empty.",
    ),
    now(
        "accounts.source",
        r#"`"builtin"`"#,
        r#"Where accounts come from: `"builtin"` (see `restante account`), `"passwd-file"` or `"sql"`. `"ldap"`, `"pam"` and `"postgres"` are for a later version."#,
    ),
    now(
        "accounts.passwd_file",
        "none",
        r#"The file in Dovecot's passwd-file format, with `source = "passwd-file"`. It is read again when it changes."#,
    ),
    now(
        "accounts.sql.database",
        "none",
        "With `source = \"sql\"`: `sqlite:///path/to/file` or `postgres://user:password@host/database`. PostgreSQL elsewhere is spoken with over TLS, and its certificate verified, unless the URL says `?sslmode=disable`; for a certificate of one's own there is `ca_file`.",
    ),
    now(
        "accounts.sql.password_query",
        "none",
        "`SELECT …` that gives one row for an account. `:user`, `:domain` and `:address` stand for the parts of the login name and are bound as parameters: no quotes around them. Columns: `password` (Dovecot's field: `{SCHEME}data`), and if wanted `user` (the canonical name), `home`, `maildir`, `nologin`, `allow_nets`, `uid`, `gid`, and those that a passwd-file has as extra fields. A column that is not understood refuses the login. Where a mailbox is outside of `mail.maildir`, `sandbox.paths` must name its place.",
    ),
    now(
        "accounts.sql.user_query",
        "none",
        "`SELECT …` that gives `home`, `maildir` and the like, if `password_query` does not.",
    ),
    now(
        "accounts.sql.list_query",
        "none",
        "`SELECT …` that gives the names of all accounts, for `restante account list` and `config check`.",
    ),
    now(
        "accounts.sql.ca_file",
        "the system's authorities",
        "PEM file of the authority that has signed the database server's certificate.",
    ),
    now(
        "accounts.sql.connections",
        "`8`",
        "Connections to the database at a time; logins wait for each other's.",
    ),
    now(
        "accounts.sql.timeout",
        "`\"5s\"`",
        "How long the database may take for one login; then it is answered `[SYS/TEMP]`, and programs keep the password.",
    ),
    now(
        "accounts.default_domain",
        "none",
        "Added to login names that have no domain.",
    ),
    now(
        "accounts.failure_time",
        r#"`"2s"`"#,
        "When a failed login is answered, counted from its beginning; the same for unknown names.",
    ),
    now(
        "accounts.oauth.introspection_url",
        "none",
        "Where the token issuer is asked about each token (RFC 7662): `https://`, or `http://` on this machine. Needs `audience` or `scope`.",
    ),
    now(
        "accounts.oauth.client_id",
        "none",
        "As whom the issuer is asked, with `client_secret` or `client_secret_file`.",
    ),
    now(
        "accounts.oauth.client_secret",
        "none",
        "The secret of `client_id`.",
    ),
    now(
        "accounts.oauth.client_secret_file",
        "none",
        "A file with the secret of `client_id`, one line.",
    ),
    now(
        "accounts.oauth.jwks_url",
        "none",
        "Where the issuer's keys are, if tokens are verified by their signature: a JSON Web Key Set. Needs `issuer` and `audience`.",
    ),
    now(
        "accounts.oauth.jwks_file",
        "none",
        "The same in a file; it is read again when it changes.",
    ),
    now(
        "accounts.oauth.issuer",
        "none",
        "What a token must have as `iss`.",
    ),
    now(
        "accounts.oauth.audience",
        "none",
        "What a token must have in `aud`, or a list of which one is enough.",
    ),
    now(
        "accounts.oauth.algorithms",
        r#"`["RS256", "ES256", "EdDSA"]` for keys"#,
        r#"How tokens may be signed: any of `"RS256"`, `"RS384"`, `"RS512"`, `"PS256"`, `"PS384"`, `"PS512"`, `"ES256"`, `"ES384"`, `"EdDSA"`."#,
    ),
    now(
        "accounts.oauth.claim",
        "`email` unless it is unverified, or else `sub`",
        "What of a token is the account's name.",
    ),
    now(
        "accounts.oauth.scope",
        "none",
        "A word that a token must have in its scope; mail programs are told it.",
    ),
    now(
        "accounts.oauth.ca_file",
        "none",
        "PEM file of authorities that may have signed the issuer's certificate, beside the system's.",
    ),
    now(
        "mail.store",
        r#"`"maildir"`"#,
        r#"How mail is kept: `"maildir"`. `"mbox"` and `"cluster"` are for a later version."#,
    ),
    now(
        "mail.maildir",
        "`mail/{address}` under `data`",
        "Where an account's Maildir is. `{address}`, `{user}`, `{domain}` and `{home}` stand for the account's.",
    ),
    now(
        "mail.line_ends",
        r#"`"lf"`"#,
        r#"Line ends of messages delivered by Restante: `"lf"`, which every program understands, or `"crlf"`."#,
    ),
    now(
        "mail.delete",
        r#"`"shared"`"#,
        r#"Whether what one device deletes is gone for all (`"shared"`) or for that device alone (`"per-device"`; see [devices.md](devices.md)). An account may differ."#,
    ),
    now(
        "mail.keep",
        r#"`"until-deleted"`"#,
        r#"When a message leaves the mailbox: when it was deleted (`"until-deleted"`), when it was fetched (`"until-fetched"`), a time after it arrived and only if somebody has fetched or deleted it (`"30d"`), never (`"forever"`); see [keep.md](keep.md). An account may differ."#,
    ),
    now(
        "mail.expire_unfetched",
        r#"`"never"`"#,
        r#"How long after its arrival mail leaves that nobody has fetched or deleted: `"never"` or a time."#,
    ),
    now(
        "mail.undelete_for",
        r#"`"7d"`"#,
        "How long deleted mail rests in the mailbox's trash.",
    ),
    now(
        "mail.device_inactive_after",
        r#"`"60d"`"#,
        "How long a device may be unused before mail no longer waits for it.",
    ),
    later("mail.quota", "How much a mailbox may hold."),
    now(
        "mail.view",
        "none",
        r#"What POP shows besides INBOX, each a `[[mail.view]]` with `folder = "Junk"` and, if its messages are to be told from others, `tag = "[junk] "`, which is put before the subject. A folder of the Maildir++; one that does not exist is empty. An account may differ. See [folders.md](folders.md)."#,
    ),
    now(
        "mail.show_last",
        r#"`"all"`"#,
        r#"How far back mail is shown: `"all"`, or what has arrived within a time (`"30d"`). What is older stays where it is. An account may differ."#,
    ),
    now("limits.connections", "`10000`", "Connections at a time."),
    now(
        "limits.connections_per_address",
        "`50`",
        "Connections at a time from one address (IPv6: one /64).",
    ),
    now(
        "limits.connections_per_account",
        "`10`",
        "Sessions at a time of one account.",
    ),
    now(
        "bans.failures",
        "`100`",
        "Failed logins within an hour after which an address (IPv6: one /64) or a claimed name is banned. Repeating one wrong password counts once; who has logged in from an address before is not banned there.",
    ),
    now(
        "bans.time",
        r#"`"10m"`"#,
        "How long the first ban lasts; each further one of an address within a day lasts twice as long, up to 24 times this. `\"0s\"` switches bans off.",
    ),
    now(
        "bans.never",
        r#"`["127.0.0.0/8", "::1/128"]`"#,
        "Networks and addresses that are never banned, such as a webmail server's.",
    ),
    now(
        "sandbox.enabled",
        "`true`",
        "Whether the running server walls itself in: files, ports and system calls that it does not need are out of its reach.",
    ),
    now(
        "sandbox.paths",
        "none",
        "More directories where the server may read and write: mailboxes that neither `mail.maildir` nor the accounts of the start lead to.",
    ),
    now(
        "log.format",
        r#"`"text"`"#,
        r#"Form of the log on stderr: `"text"` or `"json"`."#,
    ),
    now(
        "log.level",
        r#"`"info"`"#,
        r#"How much is logged: `"error"`, `"warn"`, `"info"`, `"debug"` or `"trace"`. `--quiet` and `--verbose` override it."#,
    ),
    now(
        "http.listen",
        "`[]`",
        r#"Addresses such as `["127.0.0.1:8110"]` that offer `/metrics`, `/healthz` and `/readyz` to whoever reaches them."#,
    ),
    later("lmtp", "Mail intake by LMTP."),
    later("smtp", "Mail intake by SMTP."),
    later("submission", "Sending by authenticated programs."),
    later("cluster", "Mailboxes in PostgreSQL and an object store."),
    later("fetch", "The collector."),
    later(
        "account",
        "The collector's accounts, which belong in `fetch.toml`.",
    ),
];

/// What a path of the file is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    /// A documented key.
    Key(&'static Key),
    /// A table that holds documented keys.
    Table,
}

/// Looks a path up; `None` if nothing of that name is documented.
pub(crate) fn find(path: &str) -> Option<Known> {
    if let Some(key) = KEYS.iter().find(|key| key.path == path) {
        return Some(Known::Key(key));
    }
    let inside = |key: &&Key| {
        key.path
            .strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('.'))
    };
    KEYS.iter().find(inside).map(|_| Known::Table)
}

/// What somebody may have meant by an unknown path, as a full path.
pub(crate) fn nearest(path: &str) -> Option<String> {
    let (table, name) = split(path);
    // The right word in the wrong table is likelier than a slip of the finger.
    if let Some(key) = KEYS.iter().find(|key| split(key.path).1 == name) {
        return Some(key.path.to_owned());
    }
    let keys = || KEYS.iter().map(|key| split(key.path));
    let siblings = keys().filter(|key| key.0 == table).map(|key| key.1);
    if let Some(near) = nearest_of(name, siblings) {
        return Some(join(table, near));
    }
    if table.is_empty()
        && let Some(near) = nearest_of(name, keys().map(|key| key.0))
    {
        return Some(near.to_owned());
    }
    let near = nearest_of(name, keys().map(|key| key.1))?;
    keys()
        .find(|key| key.1 == near)
        .map(|(table, name)| join(table, name))
}

/// The table a key is in, empty for the file itself, and the key's own name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('.').unwrap_or(("", path))
}

fn join(table: &str, name: &str) -> String {
    match table {
        "" => name.to_owned(),
        _ => format!("{table}.{name}"),
    }
}

/// The one of `known` that is most like `word`, if any is like it at all.
pub(crate) fn nearest_of<'k>(
    word: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> Option<&'k str> {
    let likeness = |candidate: &str| strsim::normalized_damerau_levenshtein(word, candidate);
    known
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `docs/configuration.md`, which a test compares with this.
#[cfg(test)]
pub(crate) fn page() -> String {
    use std::fmt::Write as _;

    let mut page = String::from(PAGE_HEAD);
    page.push_str("\n| key | default | what it says |\n|---|---|---|\n");
    for key in KEYS {
        if let Acts::Now(default) = key.acts {
            let _ = writeln!(page, "| `{}` | {default} | {} |", key.path, key.says);
        }
    }
    page.push_str(PAGE_LATER);
    page.push_str("\n| key | what it will say |\n|---|---|\n");
    for key in KEYS.iter().filter(|key| key.acts == Acts::Later) {
        let _ = writeln!(page, "| `{}` | {} |", key.path, key.says);
    }
    page
}

#[cfg(test)]
const PAGE_HEAD: &str = "\
# Configuration

One TOML file, named with `--config FILE` or the environment variable `RESTANTE_CONFIG`; without either, the defaults below are in force.
Every key is optional.
`restante config check` explains what a file would do, or says what is wrong in which line.
[restante.example.toml](restante.example.toml) is a file to start from.

Durations are a whole number and a unit: `\"500ms\"`, `\"30s\"`, `\"10m\"`, `\"1h\"`, `\"7d\"`, `\"1w\"`.
Paths are relative to the directory of the file, or begin with `~/`.
A key that is unknown, or that this version does not act upon, is an error at start and never ignored.

This page is made from the program's own table: `UPDATE_DOCS=1 cargo test -p restante page_of_keys` writes it.

## Keys
";

#[cfg(test)]
const PAGE_LATER: &str = "
## Keys for later versions

These are documented so that files can be planned; today each is an error that says so.
";
