//! Dovecot whole: master, login processes, authentication and mail.

use super::cell::{Cell, PORT, READER_ID, TLS_PORT};
use super::{ForeignServer, READER, Speaks, maildir};
use crate::server::PASSWORD;

pub(crate) struct Dovecot {
    cell: Cell,
}

impl Dovecot {
    pub(crate) fn start() -> Self {
        Self::configured("")
    }

    /// With these lines in its configuration.
    pub(crate) fn configured(settings: &str) -> Self {
        let cell = Cell::new("dovecot");
        maildir::create(&cell);
        cell.make_directory("var/lib/dovecot", 0);
        cell.write("etc/users", &format!("{READER}:{{PLAIN}}{PASSWORD}\n"));
        cell.write("etc/dovecot.conf", &configuration(&cell, settings));
        let words = ["/usr/sbin/dovecot", "-F", "-c", "/etc/dovecot.conf"];
        cell.serve(&words, &[PORT, TLS_PORT]);
        Self { cell }
    }
}

fn configuration(cell: &Cell, settings: &str) -> String {
    format!(
        "base_dir = /run/dovecot\n\
         state_dir = /var/lib/dovecot\n\
         log_path = /dev/stderr\n\
         protocols = pop3\n\
         listen = {address}\n\
         ssl = yes\n\
         ssl_cert = </etc/tls/certificate.pem\n\
         ssl_key = </etc/tls/key.pem\n\
         disable_plaintext_auth = no\n\
         auth_mechanisms = plain login cram-md5 digest-md5 apop scram-sha-1 scram-sha-256\n\
         auth_failure_delay = 0\n\
         first_valid_uid = 1\n\
         mail_location = maildir:~/Maildir\n\
         passdb {{\n  driver = passwd-file\n  args = /etc/users\n}}\n\
         userdb {{\n  driver = static\n  args = uid={READER_ID} gid={READER_ID} home=/home/reader\n}}\n\
         service pop3-login {{\n  chroot =\n  \
         inet_listener pop3 {{\n    port = {PORT}\n  }}\n  \
         inet_listener pop3s {{\n    port = {TLS_PORT}\n  }}\n}}\n\
         service anvil {{\n  chroot =\n}}\n\
         {settings}",
        address = cell.address(PORT).ip(),
    )
}

impl ForeignServer for Dovecot {
    fn name(&self) -> &'static str {
        "Dovecot"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn speaks(&self) -> Speaks {
        Speaks::Tls
    }
}
