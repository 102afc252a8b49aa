//! Exim, which takes mail by SMTP and puts it into a Maildir. It refuses messages by their subject.

use super::cell::{Cell, PORT, SERVER_ID};
use super::{MailServer, READER, maildir};

/// While this file is there, messages whose subject is `later` are put off.
const PUTS_OFF: &str = "etc/puts-off";

pub(crate) struct Exim {
    cell: Cell,
}

impl Exim {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("exim");
        // It cannot become the reader here, and keeps the Maildir itself.
        for folder in ["", "/cur", "/new", "/tmp"] {
            cell.make_directory(&format!("{}{folder}", maildir::INSIDE), SERVER_ID);
        }
        for directory in ["var/spool/exim", "var/log/exim"] {
            cell.make_directory(directory, SERVER_ID);
        }
        cell.write(PUTS_OFF, "");
        cell.write("etc/exim4/exim4.conf", &configuration(&cell));
        cell.serve(&["/usr/sbin/exim4", "-bdf"], &[PORT]);
        Self { cell }
    }

    /// From now on nothing is put off.
    pub(crate) fn take_all(&self) {
        std::fs::remove_file(self.cell.path(PUTS_OFF)).unwrap();
    }
}

fn configuration(cell: &Cell) -> String {
    format!(
        "primary_hostname = mail.example\n\
         spool_directory = /var/spool/exim\n\
         log_file_path = /var/log/exim/%slog\n\
         local_interfaces = {address}\n\
         daemon_smtp_ports = {PORT}\n\
         notifier_socket =\n\
         keep_environment =\n\
         deliver_drop_privilege\n\
         tls_advertise_hosts =\n\
         smtp_accept_max = 0\n\
         smtp_accept_queue_per_connection = 0\n\
         acl_smtp_rcpt = recipient\n\
         acl_smtp_data = message\n\
         begin acl\n\
         recipient:\n  accept local_parts = {READER}\n  deny message = nobody here\n\
         message:\n  deny condition = ${{if eq{{$h_subject:}}{{never}}}}\n       message = never\n  \
         defer condition = ${{if and{{{{eq{{$h_subject:}}{{later}}}}{{exists{{/{PUTS_OFF}}}}}}}}}\n        \
         message = later\n  accept\n\
         begin routers\n\
         reader:\n  driver = accept\n  transport = reader\n\
         begin transports\n\
         reader:\n  driver = appendfile\n  directory = /{maildir}\n  maildir_format\n",
        address = cell.address(PORT).ip(),
        maildir = maildir::INSIDE,
    )
}

impl MailServer for Exim {
    fn name(&self) -> &'static str {
        "Exim"
    }

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn log(&self) -> String {
        self.cell.log_and("var/log/exim/mainlog")
    }
}
