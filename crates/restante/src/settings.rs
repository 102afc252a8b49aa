//! What to type into a mail program, and commands to paste.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{
    certificate::{self, CertificateError},
    configuration::{CertificateFiles, Configuration},
    host_name,
    shell::quoted,
};

/// Where the server can be reached and who may log in.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The first address with implicit TLS.
    pub(crate) tls: Option<SocketAddr>,
    /// The first address with STLS.
    pub(crate) plain: Option<SocketAddr>,
    /// This machine's name, for programs elsewhere.
    pub(crate) host: Option<String>,
    /// The certificate.
    pub(crate) certificate: ShownCertificate,
    /// What begins the commands that are printed: `restante` and its `--config`.
    pub(crate) program: String,
}

/// Who may log in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Who {
    /// This account, among others perhaps.
    Account(String),
    /// There is no account.
    Nobody,
    /// The accounts that are listed there.
    OneOf(String),
}

/// What people need to know of the certificate.
#[derive(Clone, Debug)]
pub(crate) enum ShownCertificate {
    /// Nobody else vouches for it: programs have to be told.
    SelfSigned {
        /// The file that programs can be given.
        path: PathBuf,
        /// SHA-256, as programs show it.
        fingerprint: String,
    },
    /// The operator's own, or one that the server obtains, for this name.
    Operators {
        /// A host name it is for, if it names any.
        name: Option<String>,
    },
}

impl Settings {
    /// For a server that can be reached at these addresses.
    ///
    /// # Errors
    /// The self-signed certificate cannot be read.
    pub(crate) fn of(
        configuration: &Configuration,
        tls: Option<SocketAddr>,
        plain: Option<SocketAddr>,
        files: &CertificateFiles,
    ) -> Result<Self, CertificateError> {
        let facts = certificate::facts(&files.certificate);
        let obtained = configuration.tls.acme.as_ref();
        let certificate = match &configuration.tls.certificate {
            None if let Some(acme) = obtained => ShownCertificate::Operators {
                name: acme.domains.first().cloned(),
            },
            None => ShownCertificate::SelfSigned {
                path: files.certificate.clone(),
                fingerprint: facts?.fingerprint,
            },
            // It was loaded before; if its names cannot be read, programs will tell.
            Some(_) => ShownCertificate::Operators {
                name: facts.ok().and_then(|facts| facts.names.into_iter().next()),
            },
        };
        Ok(Self {
            tls,
            plain,
            host: host_name::of_this_machine(),
            certificate,
            program: configuration.program(),
        })
    }

    /// For a server that may not be running: as the configuration has it.
    pub(crate) fn configured(configuration: &Configuration) -> Self {
        let pop3 = &configuration.pop3;
        let own = configuration.tls.certificate.clone();
        let files = own.unwrap_or_else(|| certificate::self_signed_files(&configuration.data));
        let (tls, plain) = (pop3.listen_tls.first(), pop3.listen.first());
        Self::of(configuration, tls.copied(), plain.copied(), &files).unwrap_or_else(|_| Self {
            tls: tls.copied(),
            plain: plain.copied(),
            host: host_name::of_this_machine(),
            // The first start makes one.
            certificate: ShownCertificate::Operators { name: None },
            program: configuration.program(),
        })
    }

    /// What one login needs, a row each: what programs call it, and what it is.
    pub(crate) fn rows(&self, account: &str, password: &str) -> Vec<(&'static str, String)> {
        let mut rows = self.place();
        rows.push(("user name", account.to_owned()));
        rows.push(("password", password.to_owned()));
        rows
    }

    /// For the first start: everything, with the password, and commands to try.
    pub(crate) fn first_start(&self, account: &str, password: &str) -> String {
        let mut text = String::from(
            "Welcome to Restante. One account was made, with a letter in it. \
             To read it, type into a mail program:\n\n",
        );
        self.table(&mut text, &[("user name", account), ("password", password)]);
        text.push_str(
            "\nor paste one of these into another terminal, to list the mail and to read it:\n\n",
        );
        let user = quoted(&format!("{account}:{password}"));
        for path in ["", "1"] {
            let _ = writeln!(text, "  {}", self.curl(&user, path));
        }
        text.push('\n');
        self.about_certificate(&mut text);
        let _ = writeln!(
            text,
            "The password is shown this once. `{} account passwd {}` sets another.",
            self.program,
            quoted(account)
        );
        text
    }

    /// For later starts: where the server is, and what to do about a lost password.
    pub(crate) fn later_start(&self, who: &Who) -> String {
        let mut text = String::from("Settings for mail programs:\n\n");
        let program = &self.program;
        let user = match who {
            Who::Account(account) => account.clone(),
            Who::Nobody => "nobody yet".to_owned(),
            Who::OneOf(place) => format!("one of {place}"),
        };
        self.table(&mut text, &[("user name", &user)]);
        match who {
            Who::Account(account) => {
                let account = quoted(account);
                let curl = self.curl(&account, "");
                let _ = writeln!(
                    text,
                    "\nTo list the mail (asks for the password; \
                     `{program} account passwd {account}` sets a new one):\n\n  {curl}"
                );
            }
            Who::Nobody => {
                let _ = writeln!(
                    text,
                    "\n`{program} account add somebody@example.com` makes an account."
                );
            }
            Who::OneOf(_) => {}
        }
        text
    }

    fn table(&self, text: &mut String, rows: &[(&'static str, &str)]) {
        let rows = rows
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        write_table(text, self.place().into_iter().chain(rows));
    }

    fn place(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("protocol", "POP3".to_owned())];
        let Some(address) = self.tls.or(self.plain) else {
            return rows;
        };
        let security = match (self.tls, self.plain) {
            (None, _) => "STARTTLS".to_owned(),
            (Some(_), None) => "SSL/TLS".to_owned(),
            (Some(_), Some(plain)) => {
                format!("SSL/TLS (or STARTTLS on port {})", plain.port())
            }
        };
        rows.push(("server", self.server(address)));
        rows.push(("port", address.port().to_string()));
        rows.push(("security", security));
        rows
    }

    /// A command that verifies the certificate, whoever has signed it.
    fn curl(&self, user: &str, path: &str) -> String {
        let trust = match &self.certificate {
            ShownCertificate::SelfSigned { path, .. } => {
                format!("--cacert {} ", quoted(&path.to_string_lossy()))
            }
            ShownCertificate::Operators { .. } => String::new(),
        };
        let (scheme, address) = match (self.tls, self.plain) {
            (Some(tls), _) => ("pop3s", Some(tls)),
            (None, plain) => ("--ssl-reqd pop3", plain),
        };
        let authority = address.map_or_else(String::new, |address| {
            format!("{}:{}", bracketed(&self.server(address)), address.port())
        });
        format!("curl {trust}--user {user} {scheme}://{authority}/{path}")
    }

    /// The name under which programs reach `address` and the certificate is good.
    fn server(&self, address: SocketAddr) -> String {
        if let ShownCertificate::Operators { name: Some(name) } = &self.certificate {
            return name.clone();
        }
        let address = address.ip().to_canonical();
        match &self.host {
            Some(host) if address.is_unspecified() => host.clone(),
            _ if address.is_unspecified() => "localhost".to_owned(),
            // `localhost` is these two and none of the other loopback addresses.
            _ if ["127.0.0.1", "::1"].contains(&address.to_string().as_str()) => {
                "localhost".to_owned()
            }
            _ => address.to_string(),
        }
    }

    fn about_certificate(&self, text: &mut String) {
        if let ShownCertificate::SelfSigned { path, fingerprint } = &self.certificate {
            let _ = writeln!(
                text,
                "A mail program will ask whether to trust the certificate, because nobody has \
                 signed it.\nIt is {} with the SHA-256 fingerprint\n  {fingerprint}",
                shown(path)
            );
        }
    }
}

/// Adds rows to a text, their values one below the other.
pub(crate) fn write_table(
    text: &mut String,
    rows: impl IntoIterator<Item = (&'static str, String)>,
) {
    for (name, value) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name:<10} {value}");
    }
}

fn bracketed(server: &str) -> String {
    match server.contains(':') {
        true => format!("[{server}]"),
        false => server.to_owned(),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            tls: Some("127.0.0.1:1995".parse().unwrap()),
            plain: Some("127.0.0.1:1110".parse().unwrap()),
            host: Some("box.example.org".to_owned()),
            certificate: ShownCertificate::SelfSigned {
                path: PathBuf::from("/data of me/certificate.pem"),
                fingerprint: "AB:CD".to_owned(),
            },
            program: "restante".to_owned(),
        }
    }

    #[test]
    fn the_first_start_says_all_that_a_mail_program_asks() {
        let text = settings().first_start("you@localhost", "abcd-efgh");
        for line in [
            "  protocol   POP3",
            "  server     localhost",
            "  port       1995",
            "  security   SSL/TLS (or STARTTLS on port 1110)",
            "  user name  you@localhost",
            "  password   abcd-efgh",
            "  curl --cacert '/data of me/certificate.pem' --user you@localhost:abcd-efgh pop3s://localhost:1995/1",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line}\nis not in:\n{text}"
            );
        }
    }

    #[test]
    fn later_starts_show_no_password() {
        let text = settings().later_start(&Who::Account("you@localhost".to_owned()));
        assert!(!text.contains("password  "), "{text}");
        assert!(
            text.contains("--user you@localhost pop3s://localhost:1995/\n"),
            "{text}"
        );
        let nobody = settings().later_start(&Who::Nobody);
        assert!(
            nobody.contains("`restante account add somebody@example.com`"),
            "{nobody}"
        );
        let many = settings().later_start(&Who::OneOf("/etc/users".to_owned()));
        assert!(many.contains("  user name  one of /etc/users\n"), "{many}");
    }

    #[test]
    fn the_server_is_named_so_that_the_certificate_fits() {
        let mut settings = settings();
        let server = |settings: &Settings, address: &str| settings.server(address.parse().unwrap());
        assert_eq!(server(&settings, "0.0.0.0:995"), "box.example.org");
        assert_eq!(server(&settings, "[::1]:995"), "localhost");
        assert_eq!(server(&settings, "192.0.2.1:995"), "192.0.2.1");
        settings.tls = Some("[2001:db8::1]:995".parse().unwrap());
        assert!(
            settings
                .curl("u", "")
                .ends_with("pop3s://[2001:db8::1]:995/")
        );
        settings.certificate = ShownCertificate::Operators {
            name: Some("pop.example.org".to_owned()),
        };
        assert_eq!(
            settings.curl("u", "1"),
            "curl --user u pop3s://pop.example.org:995/1"
        );
        settings.tls = None;
        assert_eq!(
            settings.curl("u", "1"),
            "curl --user u --ssl-reqd pop3://pop.example.org:1110/1"
        );
    }
}
