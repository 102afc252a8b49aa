//! Postfix, which takes mail by SMTP and puts it into a Maildir: its own master and daemons.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};

use super::cell::{Cell, DROP_ID, PORT, POSTFIX_ID, READER_ID};
use super::{MailServer, READER, maildir};

/// It does not write to standard error.
const LOG: &str = "var/log/postfix";

/// What it runs. The listener has an address of its own, and there is no chroot: the cell is one.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

pub(crate) struct Postfix {
    cell: Cell,
}

impl Postfix {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("postfix");
        maildir::create(&cell);
        cell.make_directory("var/lib/postfix", POSTFIX_ID);
        cell.write(LOG, "");
        make_queue(&cell);
        let main = format!(
            "compatibility_level = 3.6\n\
             myhostname = mail.example\n\
             mydestination = mail.example\n\
             mynetworks = 127.0.0.0/8\n\
             local_header_rewrite_clients =\n\
             inet_interfaces = loopback-only\n\
             inet_protocols = ipv4\n\
             smtpd_tls_security_level = none\n\
             home_mailbox = Maildir/\n\
             alias_maps =\n\
             alias_database =\n\
             biff = no\n\
             local_recipient_maps = inline:{{ {READER}=1 }}\n\
             header_checks = regexp:/etc/postfix/header_checks\n\
             maillog_file = /{LOG}\n\
             queue_directory = /var/spool/postfix\n\
             daemon_directory = /usr/lib/postfix/sbin\n\
             command_directory = /usr/sbin\n\
             data_directory = /var/lib/postfix\n\
             meta_directory = /etc/postfix\n\
             shlib_directory = /usr/lib/postfix\n\
             mail_owner = postfix\n\
             setgid_group = postdrop\n\
             default_privs = {READER}\n"
        );
        cell.write("etc/postfix/main.cf", &main);
        let listener = format!("{} inet n - n - - smtpd\n", cell.address(PORT));
        cell.write("etc/postfix/master.cf", &(listener + SERVICES));
        let checks = "/^Subject: never$/ REJECT never\n";
        cell.write("etc/postfix/header_checks", checks);
        let words = ["/usr/lib/postfix/sbin/master", "-c", "/etc/postfix", "-d"];
        cell.serve(&words, &[PORT]);
        Self { cell }
    }
}

/// The directories of its queue, as its package makes them.
fn make_queue(cell: &Cell) {
    let queue = "var/spool/postfix";
    cell.make_directory(&format!("{queue}/pid"), 0);
    for name in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
        "saved", "trace",
    ] {
        let name = format!("{queue}/{name}");
        cell.make_directory(&name, POSTFIX_ID);
        fs::set_permissions(cell.path(&name), Permissions::from_mode(0o700)).unwrap();
    }
    for (name, mode) in [("maildrop", 0o730), ("public", 0o710)] {
        let name = format!("{queue}/{name}");
        cell.make_directory(&name, POSTFIX_ID);
        chown(cell.path(&name), Some(POSTFIX_ID), Some(DROP_ID)).unwrap();
        fs::set_permissions(cell.path(&name), Permissions::from_mode(mode)).unwrap();
    }
    // Its processes are the reader's where they deliver.
    cell.give("home/reader", READER_ID);
}

impl MailServer for Postfix {
    fn name(&self) -> &'static str {
        "Postfix"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn log(&self) -> String {
        self.cell.log_and(LOG)
    }
}
