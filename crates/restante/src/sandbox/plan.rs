//! What the configuration leads to: the files and ports that serving needs.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use restante_maildrop::MailboxId;
use restante_server::accounts::oauth::{Endpoint, KeySource};

use crate::{
    accounts,
    configuration::{ClientSecret, Configuration, TokenVerifier},
    mailboxes,
};

/// What libraries read when they look up a host, trust a certificate, tell the time or count
/// processors. All of it is readable to everybody and holds no secret.
const SYSTEM: &[&str] = &[
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/lib",
    "/lib64",
    "/proc/self",
    "/proc/sys/vm/overcommit_memory",
    "/run/systemd/resolve",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
];

/// Directories that hold more than anybody would hand over on purpose.
const WIDE: &[&str] = &[
    "/", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var",
];

/// What the sandbox leaves open.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Plan {
    read: BTreeSet<PathBuf>,
    write: BTreeSet<PathBuf>,
    connect: BTreeSet<u16>,
}

impl Plan {
    /// What `configuration` leads to. `mailboxes` are those of accounts that say themselves where
    /// they are; accounts that come later are reached if they stand beside one of these.
    ///
    /// Directories and not files, wherever one is named: files are replaced by renaming others
    /// over them, and a rule for a file would stay with the old one.
    pub(crate) fn of(
        configuration: &Configuration,
        mailboxes: impl IntoIterator<Item = MailboxId>,
    ) -> Self {
        let mut plan = Self::default();
        plan.read.extend(SYSTEM.iter().map(PathBuf::from));
        let certificates = configuration.tls.certificate.iter();
        for files in certificates.chain(&configuration.tls.named) {
            plan.read_beside(&files.certificate);
            plan.read_beside(&files.key);
        }
        if let Some(file) = &configuration.tls.client_ca {
            plan.read_beside(file);
        }
        plan.ask_issuers(configuration);
        // Its `ca_file` is read once, before.
        if let Some(acme) = &configuration.tls.acme {
            plan.reach(&acme.directory);
        }
        let file = configuration.file.as_deref();
        for file in file
            .into_iter()
            .chain(configuration.accounts.source.files())
        {
            plan.read_beside(file);
        }
        plan.connect.extend(accounts::ports(configuration));
        plan.write.insert(configuration.data.clone());
        plan.write
            .extend(configuration.sandbox.paths.iter().cloned());
        let base = mailboxes::base(&configuration.mail.maildir);
        let uses_homes = base.is_none();
        plan.write.extend(base);
        for mailbox in mailboxes {
            let home = mailbox.home.filter(|_| uses_homes);
            let own = mailbox.location.or(home);
            plan.write.extend(own.map(neighbourhood));
        }
        plan
    }

    /// What may be read.
    pub(super) fn read(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().map(PathBuf::as_path)
    }

    /// Where files may be read, made, changed and removed.
    pub(super) fn write(&self) -> impl Iterator<Item = &Path> {
        self.write.iter().map(PathBuf::as_path)
    }

    /// The TCP ports, wherever they are, to which connections may be made.
    pub(crate) fn connect(&self) -> impl Iterator<Item = &u16> {
        self.connect.iter()
    }

    /// The directories of [`write`](Self::write), for the log.
    pub(super) fn written(&self) -> String {
        const SHOWN_MAX: usize = 8;
        let shown = self.write().take(SHOWN_MAX);
        let mut text = shown
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        if let Some(more @ 1..) = self.write.len().checked_sub(SHOWN_MAX) {
            text.push_str(&format!(" and {more} more"));
        }
        text
    }

    /// What is open wider than anybody would wish: to everybody where files are written, to root
    /// where they are only read (others may read no more there than on any machine).
    pub(super) fn wide(&self) -> impl Iterator<Item = &Path> {
        let is_root = rustix::process::geteuid().is_root();
        let read = self.read().filter(move |_| is_root);
        self.write().chain(read).filter(|path| is_wide(path))
    }

    /// Opens the way to who verifies tokens.
    fn ask_issuers(&mut self, configuration: &Configuration) {
        let verifier = configuration.accounts.oauth.as_ref();
        if let Some(file) = verifier.and_then(|oauth| oauth.ca_file.as_ref()) {
            self.read_beside(file);
        }
        match verifier.map(|oauth| &oauth.verifier) {
            None => {}
            Some(TokenVerifier::Introspection { endpoint, client }) => {
                self.reach(endpoint);
                if let Some((_, ClientSecret::File(file))) = client {
                    self.read_beside(file);
                }
            }
            Some(TokenVerifier::Keys { source, .. }) => match source {
                KeySource::Url(endpoint) => self.reach(endpoint),
                KeySource::File(file) => self.read_beside(file),
            },
        }
    }

    /// Opens its port, and that of name servers: answers that are too long for UDP come by TCP.
    fn reach(&mut self, endpoint: &Endpoint) {
        self.connect.extend([endpoint.port(), 53]);
    }

    /// Opens the directory of `file` and, if it is a link, that of what it leads to.
    fn read_beside(&mut self, file: &Path) {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let target = fs::canonicalize(&file).ok();
        for file in [Some(file), target].into_iter().flatten() {
            self.read.extend(file.parent().map(Path::to_owned));
        }
    }
}

/// The directory that an account's directory stands in: the next account will stand there too.
/// Unless that is the root of everything.
fn neighbourhood(own: PathBuf) -> PathBuf {
    match own.parent() {
        Some(parent) if !is_wide(parent) => parent.to_owned(),
        _ => own,
    }
}

fn is_wide(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    WIDE.iter().any(|wide| real == Path::new(wide))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Surroundings;

    fn plan(text: &str, mailboxes: &[(&str, &str)]) -> Plan {
        let surroundings = Surroundings {
            home: None,
            data_home: None,
            directory: "/etc/restante".into(),
        };
        let configuration = Configuration::from_text(text, None, &surroundings).unwrap();
        let mailbox = |&(home, location): &(&str, &str)| MailboxId {
            account: "me".to_owned(),
            home: (!home.is_empty()).then(|| home.into()),
            location: (!location.is_empty()).then(|| location.into()),
        };
        Plan::of(&configuration, mailboxes.iter().map(mailbox))
    }

    #[test]
    fn a_database_of_accounts_is_reached_and_nothing_else() {
        const SQL: &str = "data = \"/d\"\n[accounts]\nsource = \"sql\"\n[accounts.sql]\n\
                           password_query = \"SELECT :user\"\n";
        let file = plan(
            &format!("{SQL}database = \"sqlite:///srv/mail/users\""),
            &[],
        );
        assert!(file.read().any(|path| path == Path::new("/srv/mail")));
        assert_eq!(file.connect().count(), 0);
        assert!(file.write().all(|path| path != Path::new("/srv/mail")));
        let server = plan(
            &format!("{SQL}database = \"postgres://db.example:6432/x\""),
            &[],
        );
        assert_eq!(server.connect().collect::<Vec<_>>(), [&6432]);
    }

    fn written(plan: &Plan) -> Vec<&str> {
        plan.write().map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn of_a_pattern_the_fixed_part_is_open() {
        let text = "data = \"/srv/data\"\n[mail]\nmaildir = \"/srv/mail/{domain}/{user}\"";
        let plan = plan(text, &[("/home/me", "")]);
        assert_eq!(written(&plan), ["/srv/data", "/srv/mail"]);
    }

    #[test]
    fn homes_are_open_with_what_stands_beside_them() {
        let text = "data = \"/srv/data\"\n[accounts]\nsource = \"passwd-file\"\n\
            passwd_file = \"users\"\n[mail]\nmaildir = \"{home}/Maildir\"";
        let mailboxes = [
            ("/home/me", ""),
            ("/home/you", ""),
            ("/them", ""),
            ("/home/me", "/srv/mail/box"),
        ];
        let plan = plan(text, &mailboxes);
        assert_eq!(written(&plan), ["/home", "/srv/data", "/srv/mail", "/them"]);
        assert!(plan.read().any(|path| path == Path::new("/etc/restante")));
    }

    #[test]
    fn the_way_to_the_issuer_of_tokens_is_open_and_no_other() {
        let base =
            "data = \"/srv/data\"\n[tls]\nclient_ca = \"/srv/ca/ca.pem\"\n[accounts.oauth]\n";
        let ports = |plan: &Plan| plan.connect().copied().collect::<Vec<_>>();
        let asked = plan(
            &format!("{base}introspection_url = \"https://i:8443/\"\nscope = \"pop\""),
            &[],
        );
        assert_eq!(ports(&asked), [53, 8443]);
        let keys = "issuer = \"i\"\naudience = \"a\"\n";
        let fetched = plan(&format!("{base}{keys}jwks_url = \"https://i/\""), &[]);
        assert_eq!(ports(&fetched), [53, 443]);
        let read = plan(
            &format!("{base}{keys}jwks_file = \"/srv/keys/k.json\""),
            &[],
        );
        assert!(ports(&read).is_empty());
        for directory in ["/srv/keys", "/srv/ca"] {
            assert!(read.read().any(|path| path == Path::new(directory)));
        }
        assert!(ports(&plan("data = \"/srv/data\"", &[])).is_empty());
    }

    #[test]
    fn the_way_to_the_certificate_authority_is_open_and_no_other() {
        let ports = |text: &str| {
            let agreed = "domains = [\"pop.example\"]\nterms_of_service_agreed = true\n";
            let plan = plan(&format!("data = \"/d\"\n[tls.acme]\n{agreed}{text}"), &[]);
            plan.connect().copied().collect::<Vec<_>>()
        };
        assert_eq!(ports(""), [53, 443]);
        assert_eq!(ports("directory = \"https://ca:14000/dir\""), [53, 14000]);
    }

    #[test]
    fn what_the_operator_names_is_open_too() {
        let text = "data = \"/srv/data\"\n[sandbox]\npaths = [\"/mnt/one\", \"two\"]";
        let plan = plan(text, &[]);
        assert_eq!(
            written(&plan),
            [
                "/etc/restante/two",
                "/mnt/one",
                "/srv/data",
                "/srv/data/mail"
            ]
        );
    }

    #[test]
    fn a_link_is_followed_to_where_its_file_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        for name in ["live", "archive"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("archive/one.pem"), "").unwrap();
        std::os::unix::fs::symlink("../archive/one.pem", root.join("live/c.pem")).unwrap();
        let text = format!(
            "data = \"/srv\"\n[tls]\ncertificate = \"{0}/live/c.pem\"\nkey = \"{0}/live/k.pem\"",
            root.display()
        );
        let plan = plan(&text, &[]);
        for name in ["live", "archive"] {
            assert!(plan.read().any(|path| path == root.join(name)), "{name}");
        }
    }

    #[test]
    fn a_system_directory_is_wide_and_one_in_it_is_not() {
        assert!(is_wide(Path::new("/etc")));
        assert!(is_wide(Path::new("/etc/../etc/")));
        assert!(!is_wide(Path::new("/etc/restante")));
    }
}
