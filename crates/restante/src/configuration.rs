//! What the server shall be: one TOML file, every key optional.
//!
//! The way in: [`Configuration::load`] reads the file, checks every key against the table
//! ([`key::KEYS`]), gives each value its meaning and refuses combinations that cannot work. It
//! opens nothing else; what the configuration points at (certificate, passwd-file) is looked at
//! by who uses it, and [`Configuration::problem`] lets them point back at the line.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

mod document;
pub(crate) mod fetch;
pub(crate) mod key;
mod meaning;
pub(crate) mod problem;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use value::{format_duration, parse_duration};

use ipnet::IpNet;
use restante_maildrop::{LineEnds, Policy, Shows};
use restante_server::{
    CleartextLogin, Utf8Headers,
    accounts::{
        BanSettings,
        oauth::{Endpoint, KeySource, SignatureAlgorithm},
    },
    acme::ChallengeKind,
    log::LogFormat,
};
use secrecy::{ExposeSecret as _, SecretString};

use problem::{Place, Problem, Problems};

use crate::shell;

/// Where a configuration is looked for if none is named: packages put it there.
pub(crate) const SYSTEM_FILE: &str = "/etc/restante/restante.toml";

/// A larger configuration file is a mistake, such as naming a mailbox.
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// A configuration that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// The file it came from; `None`: built-in defaults.
    pub(crate) file: Option<PathBuf>,
    /// Where the keys stand that the file has.
    places: BTreeMap<&'static str, Place>,
    /// Directory of the accounts and the certificate. Absolute, need not exist yet.
    pub(crate) data: PathBuf,
    /// Whose rights the server keeps; `None`: those it was started with.
    pub(crate) user: Option<String>,
    /// The group, if it is not the user's own.
    pub(crate) group: Option<String>,
    /// `[pop3]`.
    pub(crate) pop3: Pop3,
    /// `[tls]`.
    pub(crate) tls: Tls,
    /// `[accounts]`.
    pub(crate) accounts: Accounts,
    /// `[mail]`.
    pub(crate) mail: Mail,
    /// `[limits]`.
    pub(crate) limits: Limits,
    /// `[bans]`.
    pub(crate) bans: BanSettings,
    /// `[sandbox]`.
    pub(crate) sandbox: Sandbox,
    /// `http.listen`: where the pages for those who watch are.
    pub(crate) http: Vec<SocketAddr>,
    /// `[log]`.
    pub(crate) log: Log,
}

/// `[pop3]`.
#[derive(Clone, Debug)]
pub(crate) struct Pop3 {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) listen_tls: Vec<SocketAddr>,
    pub(crate) cleartext_login: CleartextLogin,
    /// `None`: what the accounts can verify.
    pub(crate) mechanisms: Option<Vec<&'static str>>,
    pub(crate) apop: bool,
    pub(crate) utf8_headers: Utf8Headers,
    pub(crate) idle_timeout: Duration,
    pub(crate) login_timeout: Duration,
    pub(crate) in_use_wait: Duration,
    /// How long stopping takes at most.
    pub(crate) drain_timeout: Duration,
    pub(crate) login_delay: Duration,
    /// Where connections begin with a PROXY header.
    pub(crate) proxies: Vec<IpNet>,
}

/// `[tls]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tls {
    /// `None`: a self-signed certificate under `data`.
    pub(crate) certificate: Option<CertificateFiles>,
    /// More, chosen by the name that a program asks for.
    pub(crate) named: Vec<CertificateFiles>,
    pub(crate) strict_sni: bool,
    /// Who may sign the certificates of clients; `None`: none is asked for.
    pub(crate) client_ca: Option<PathBuf>,
    /// `[tls.acme]`; then there is no `certificate`.
    pub(crate) acme: Option<Acme>,
}

/// `[tls.acme]`, with the terms of service agreed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Acme {
    /// The directory's URL.
    pub(crate) directory: Endpoint,
    /// In lower case; at least one.
    pub(crate) domains: Vec<String>,
    pub(crate) contact: Vec<String>,
    pub(crate) ca_file: Option<PathBuf>,
    /// The identifier and the file of a key that ties the account to another.
    pub(crate) external_account: Option<(String, PathBuf)>,
    pub(crate) challenge: ChallengeKind,
    /// Where challenges are answered.
    pub(crate) listen: Vec<SocketAddr>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// `[accounts]`.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    pub(crate) source: AccountSource,
    pub(crate) default_domain: Option<String>,
    pub(crate) failure_time: Duration,
    /// `[accounts.oauth]`; `None`: no tokens are accepted.
    pub(crate) oauth: Option<Oauth>,
}

/// `[accounts.oauth]`.
#[derive(Clone, Debug)]
pub(crate) struct Oauth {
    pub(crate) verifier: TokenVerifier,
    pub(crate) issuer: Option<String>,
    pub(crate) audience: Vec<String>,
    pub(crate) scope: Option<String>,
    pub(crate) claim: Option<String>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// Who says that a token is good.
#[derive(Clone, Debug)]
pub(crate) enum TokenVerifier {
    /// The issuer, when asked.
    Introspection {
        endpoint: Endpoint,
        client: Option<(String, ClientSecret)>,
    },
    /// The issuer's keys.
    Keys {
        source: KeySource,
        algorithms: Vec<SignatureAlgorithm>,
    },
}

/// What the issuer knows this server by.
#[derive(Clone, Debug)]
pub(crate) enum ClientSecret {
    Text(SecretString),
    File(PathBuf),
}

/// Where accounts come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum AccountSource {
    /// The database under `data`.
    Builtin,
    /// A file in Dovecot's format.
    PasswdFile(PathBuf),
    /// Somebody else's database.
    Sql(Box<SqlAccounts>),
}

/// `[accounts.sql]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SqlAccounts {
    pub(crate) database: DatabaseUrl,
    /// `None`: the system's authorities.
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) password_query: String,
    pub(crate) user_query: Option<String>,
    pub(crate) list_query: Option<String>,
    pub(crate) connections: u32,
    pub(crate) timeout: Duration,
}

/// A URL that may hold a password.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseUrl(pub(crate) SecretString);

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for DatabaseUrl {}

impl AccountSource {
    /// The files that the operator names: what they are in, and what is needed to reach it.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Path> {
        let authority = match self {
            Self::Sql(sql) => sql.ca_file.as_deref(),
            _ => None,
        };
        self.file().into_iter().chain(authority)
    }

    fn file(&self) -> Option<&Path> {
        match self {
            Self::Builtin => None,
            Self::PasswdFile(path) => Some(path),
            Self::Sql(sql) => {
                let url = sql.database.0.expose_secret();
                url.strip_prefix("sqlite://").map(Path::new)
            }
        }
    }
}

/// `[mail]`.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// An absolute path with `{address}`, `{user}`, `{domain}`, `{home}`, or one that begins with
    /// `{home}`.
    pub(crate) maildir: String,
    pub(crate) line_ends: LineEnds,
    pub(crate) undelete_for: Duration,
    /// For accounts that have not chosen otherwise.
    pub(crate) policy: Policy,
    /// The same.
    pub(crate) shows: Shows,
}

/// `[limits]`.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: u32,
    pub(crate) connections_per_address: u32,
    pub(crate) connections_per_account: u32,
}

/// `[sandbox]`.
#[derive(Clone, Debug)]
pub(crate) struct Sandbox {
    pub(crate) enabled: bool,
    /// What the server may write besides what the configuration leads to anyway.
    pub(crate) paths: Vec<PathBuf>,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) format: LogFormat,
    pub(crate) level: &'static str,
}

/// What relative and missing paths refer to. An argument, so that meaning can be tested.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The user's home directory.
    pub(crate) home: Option<PathBuf>,
    /// `XDG_DATA_HOME`, if it is set to an absolute path.
    pub(crate) data_home: Option<PathBuf>,
    /// What relative paths in the file are relative to: the file's own directory.
    pub(crate) directory: PathBuf,
}

impl Configuration {
    /// Reads a configuration file, or gives the built-in defaults for `None`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Problems> {
        let Some(file) = file else {
            return Self::from_text("", None, &Surroundings::of_process(Path::new("/")));
        };
        let unreadable = |error: io::Error| {
            let problem = Problem::new(format!("cannot be read: {error}"))
                .hint("`--config` names another file");
            Problems::new(Some(file.to_owned()), vec![problem])
        };
        let size = fs::metadata(file).map_err(unreadable)?.len();
        if size > FILE_OCTETS_MAX {
            return Err(unreadable(io::Error::other("it is larger than 1 MiB")));
        }
        let text = fs::read_to_string(file).map_err(unreadable)?;
        let absolute = std::path::absolute(file).map_err(unreadable)?;
        let directory = absolute.parent().unwrap_or(Path::new("/"));
        Self::from_text(
            &text,
            Some(file.to_owned()),
            &Surroundings::of_process(directory),
        )
    }

    /// The file to use if none is named: the machine's, if it has one. It depends on the machine
    /// and never on who runs the program, so one that this user may not read is used as well, and
    /// the refusal says so.
    pub(crate) fn system_file() -> Option<PathBuf> {
        unless_absent(Path::new(SYSTEM_FILE))
    }

    /// Gives text its meaning. `file` is only its name.
    pub(crate) fn from_text(
        text: &str,
        file: Option<PathBuf>,
        surroundings: &Surroundings,
    ) -> Result<Self, Problems> {
        meaning::read(text, file, surroundings)
    }

    /// A problem found in what `key` points at.
    pub(crate) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        Problem {
            place: self.places.get(key).copied(),
            ..Problem::new(text)
        }
    }

    /// Whether the file has this key, or a default is in force.
    pub(crate) fn sets(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// What begins a command line that uses this configuration, for people to paste: `restante`,
    /// or the path it was started by, and `--config` if there is a file and it is not the one that
    /// is used anyway.
    pub(crate) fn program(&self) -> String {
        let started_as = std::env::args_os().next().map(PathBuf::from);
        // A name without a directory was found in the PATH, and will be again.
        let path = started_as.filter(|path| path.components().count() > 1);
        let path = path.and_then(|path| std::path::absolute(path).ok());
        let mut program = path.map_or_else(
            || "restante".to_owned(),
            |path| shell::quoted(&path.to_string_lossy()),
        );
        let file = self.file.as_deref();
        if let Some(file) = file.filter(|file| *file != Path::new(SYSTEM_FILE)) {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
            program.push_str(" --config ");
            program.push_str(&shell::quoted(&file.to_string_lossy()));
        }
        program
    }
}

impl Tls {
    /// A file that this process has no right to read, if there is one.
    pub(crate) fn out_of_reach(&self) -> Option<(&Path, io::Error)> {
        let pairs = self.certificate.iter().chain(&self.named);
        let files = pairs.flat_map(|pair| [&pair.certificate, &pair.key]);
        files.chain(&self.client_ca).find_map(|path| {
            let error = fs::File::open(path).err()?;
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            denied.then_some((path.as_path(), error))
        })
    }
}

impl Surroundings {
    /// Those of this process, for a file in `directory`.
    pub(crate) fn of_process(directory: &Path) -> Self {
        let data_home = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        Self {
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            // The XDG specification: relative paths are to be ignored.
            data_home: data_home.filter(|path| path.is_absolute()),
            directory: directory.to_owned(),
        }
    }
}

fn unless_absent(file: &Path) -> Option<PathBuf> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let absent = |error: &io::Error| matches!(error.kind(), NotFound | NotADirectory);
    match fs::metadata(file) {
        Err(error) if absent(&error) => None,
        _ => Some(file.to_owned()),
    }
}
