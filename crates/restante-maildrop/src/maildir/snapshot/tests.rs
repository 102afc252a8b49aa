//! What a mailbox is found to hold, and what finding it costs.

mod bad_files;
mod facts;
mod odd_files;
mod polls;
mod saves;
mod two_names;

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use restante_proto::{Form, MessageNumber, Messages, Mode, Octets};

use super::*;
use crate::{
    disk::{Call, Faults},
    maildir::{
        columns::{ColumnsBuilder, Measurement, Packing, Row, Stored},
        name::FileName,
        trial,
    },
    said::said,
};

/// Long enough for every listing to be trusted.
const LATER: Duration = Duration::from_secs(10);

/// A Maildir, and a process that opens it.
struct Place {
    directory: tempfile::TempDir,
    faults: Arc<Faults>,
    mailbox: Mailbox,
    notices: Notices,
}

fn place() -> Place {
    let (directory, faults, mailbox) = trial::mailbox();
    mailbox.tmp().unwrap();
    Place {
        directory,
        faults,
        mailbox,
        notices: Notices::default(),
    }
}

fn clock(ahead: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + ahead;
    i64::try_from(now.as_nanos()).unwrap()
}

impl Place {
    fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    fn put(&self, file: &str, content: &str) {
        fs::write(self.path(file), content).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// As a server does that has just started; so much time has passed since the last change.
    fn load_first(&self, ahead: Duration) -> Arc<Snapshot> {
        load(&self.mailbox, &self.notices, None, &mut || Ok(clock(ahead))).unwrap()
    }

    /// As a server does that has had the mailbox open before.
    fn load_again(&self, earlier: &Arc<Snapshot>, ahead: Duration) -> Arc<Snapshot> {
        let earlier = Some(Arc::clone(earlier));
        load(&self.mailbox, &self.notices, earlier, &mut || {
            Ok(clock(ahead))
        })
        .unwrap()
    }

    /// How many calls the work makes: directories read, messages looked at, messages opened.
    fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, [usize; 3]) {
        self.faults.restart();
        let done = work();
        let trace = self.faults.trace();
        let count = |wanted: Call| {
            let of_message = |path: &std::path::Path| {
                let folder = path.parent().and_then(|folder| folder.file_name());
                folder.is_some_and(|folder| folder == "new" || folder == "cur")
            };
            let counts = trace.iter().filter(|passed| {
                passed.call == wanted && (wanted == Call::ReadDirectory || of_message(&passed.path))
            });
            counts.count()
        };
        let costs = [Call::ReadDirectory, Call::Facts, Call::OpenRead].map(count);
        (done, costs)
    }
}

fn measured(octets: u64) -> Size {
    Size::Measured(Measurement {
        octets: Octets(octets),
        form: Form::Stored,
        packing: Packing::Plain,
    })
}

fn listed(snapshot: &Snapshot) -> Vec<String> {
    let rows = snapshot.columns().rows();
    rows.map(|row| {
        let name = String::from_utf8(row.name.as_bytes().to_vec()).unwrap();
        format!("{}/{name}", row.folder.as_str())
    })
    .collect()
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    let table = snapshot.table();
    let numbers = (1..=table.count()).filter_map(MessageNumber::new);
    numbers
        .map(|number| table.unique_id(number).to_string())
        .collect()
}

fn sizes(snapshot: &Snapshot) -> Vec<Option<u64>> {
    let table = snapshot.table();
    let numbers = (1..=table.count()).filter_map(MessageNumber::new);
    let octets = numbers.map(|number| table.octets(number, Mode::Plain));
    octets
        .map(|octets| octets.map(|Octets(octets)| octets))
        .collect()
}
