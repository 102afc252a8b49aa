//! Somebody at the terminal of the clean Debian: types, reads, and has a mail program.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{ME, PASSWORD};
use crate::clean_root::{Booted, MARK};

/// mpop's settings: TLS, its certificate verified, and mail left on the server.
const MPOP: &str = "account default
host localhost
port 995
tls on
tls_starttls off
tls_trust_file ~/server.pem
user {me}
password \"{password}\"
auth on
delivery maildir ~/Mail
uidls_file ~/mpop.uidls
received_header off
keep on
";

/// Nothing here takes a second; a machine that is busy may need longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who types.
#[derive(Clone, Copy)]
pub(super) struct Operator<'b> {
    booted: &'b Booted<'b>,
}

impl<'b> Operator<'b> {
    pub(super) fn new(booted: &'b Booted<'b>) -> Self {
        Self { booted }
    }

    /// Types a command, or several, that must succeed; gives what was said.
    pub(super) fn typed(&self, line: &str) -> Result<String> {
        self.typed_with(line, "")
    }

    /// As [`typed`](Self::typed), with input.
    pub(super) fn typed_with(&self, line: &str, input: &str) -> Result<String> {
        // Whatever is typed is typed in the clean root or nowhere.
        let line = format!("test -e {MARK}\n{line}");
        self.booted.run_with(&["sh", "-euc", &line], input)
    }

    /// Types a command that must fail.
    pub(super) fn fails(&self, line: &str) -> Result<()> {
        match self.typed(line) {
            Err(_) => Ok(()),
            Ok(said) => bail!("`{line}` succeeded:\n{said}"),
        }
    }

    /// Delivers a message with this subject, as a mail server's pipe does.
    pub(super) fn deliver(&self, subject: &str) -> Result<()> {
        let message = format!("From: somebody@example.net\nSubject: {subject}\n\n{subject}\n");
        let line = format!("runuser --user restante -- restante deliver {ME}");
        let said = self.typed_with(&line, &message)?;
        ensure!(said.is_empty(), "{said}");
        Ok(())
    }

    /// Gives a message to Postfix.
    pub(super) fn post(&self, sender: &str, subject: &str) -> Result<()> {
        let message = format!("From: somebody@example.net\nSubject: {subject}\n\nhello\n");
        let line = format!("/usr/sbin/sendmail -f '{sender}' {ME}");
        self.typed_with(&line, &message)?;
        Ok(())
    }

    /// The number of the server's process.
    pub(super) fn server(&self) -> Result<u32> {
        let said = self.typed("systemctl show --property MainPID --value restante.service")?;
        let number = said.trim().parse().context("no number of a process")?;
        ensure!(number != 0, "the server does not run");
        Ok(number)
    }

    /// The server's journal, once this stands in it: the journal may be behind.
    pub(super) fn journal_with(&self, wanted: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let journal =
                self.typed("journalctl --no-pager --output cat --unit restante.service")?;
            if journal.contains(wanted) {
                return Ok(journal);
            }
            if Instant::now() > deadline {
                bail!("no `{wanted}` in the journal:\n{journal}");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(super) fn set_up_mpop(&self) -> Result<()> {
        let settings = MPOP.replace("{me}", ME).replace("{password}", PASSWORD);
        self.typed_with(
            "umask 077; cat > ~/.mpoprc; mkdir -p ~/Mail/cur ~/Mail/new ~/Mail/tmp
             cp /var/lib/restante/certificate.pem ~/server.pem",
            &settings,
        )?;
        Ok(())
    }

    /// Polls; what comes must be the messages with these subjects and no other.
    pub(super) fn poll_brings(&self, subjects: &[&str]) -> Result<()> {
        self.typed("mpop --quiet")?;
        let fetched = self.typed("cat ~/Mail/new/* 2>/dev/null | sed -n 's/^Subject: //p'")?;
        let mut fetched: Vec<&str> = fetched.lines().collect();
        fetched.sort_unstable();
        let mut wanted = subjects.to_vec();
        wanted.sort_unstable();
        ensure!(fetched == wanted, "fetched {fetched:?} and not {wanted:?}");
        self.typed("rm -f ~/Mail/new/*")?;
        Ok(())
    }

    /// Waits until the mailbox has so many messages.
    pub(super) fn wait_for_mail(&self, count: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self
            .typed(&format!("restante mail list {ME}"))?
            .lines()
            .count()
            != count
        {
            if Instant::now() > deadline {
                let log = self.typed("cat /var/log/postfix.log").unwrap_or_default();
                bail!("the mailbox has not {count} messages:\n{log}");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Deletes the first message, as curl does it.
    pub(super) fn delete_first(&self) -> Result<()> {
        self.curl("1", "--request DELE --head")?;
        Ok(())
    }

    /// The unique-ids that the server lists.
    pub(super) fn unique_ids(&self) -> Result<BTreeSet<String>> {
        let listing = self.curl("", "--request UIDL")?;
        let ids = listing.lines().filter_map(|line| line.split(' ').nth(1));
        Ok(ids.map(str::to_owned).collect())
    }

    /// All that an upgrade or a restoration must keep: accounts, mail, unique-ids, the trash, the
    /// certificate and the configuration.
    pub(super) fn state(&self) -> Result<String> {
        let kept = self.typed(&format!(
            "restante account list --json; restante mail list {ME} --json
             restante mail list {ME} --trash --json; restante mail log {ME} --json | wc -c
             cat /etc/restante/restante.toml /var/lib/restante/certificate.pem"
        ))?;
        Ok(format!("{kept}{:?}", self.unique_ids()?))
    }

    /// Each file of the data directory, with a digest of what is in it; but for what a server notes
    /// of logins and bans when it stops.
    pub(super) fn files(&self) -> Result<String> {
        self.typed(
            "find /var/lib/restante -type f ! -name control.lock ! -name logins ! -name bans \
             -exec sha256sum {} + | sort",
        )
    }

    fn curl(&self, path: &str, options: &str) -> Result<String> {
        self.typed(&format!(
            "curl --silent --show-error --cacert ~/server.pem {options} \
             --user '{ME}:{PASSWORD}' pop3s://localhost/{path}"
        ))
    }
}
