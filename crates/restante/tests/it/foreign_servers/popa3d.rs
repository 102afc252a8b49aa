//! popa3d: USER, PASS and what RFC 1939 has, and no more.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::acceptor::Acceptor;
use super::cell::{Cell, PORT};
use super::{ForeignServer, READER, mbox};

pub(crate) struct Popa3d {
    _acceptor: Acceptor,
    cell: Cell,
}

impl Popa3d {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("popa3d");
        // It locks itself in there before it reads a line.
        cell.make_directory("var/lib/popa3d", 0);
        mbox::create(&cell.path("var/mail").join(READER));
        let recipe = cell.recipe(&[], &["/usr/sbin/popa3d"]);
        Self {
            _acceptor: Acceptor::open(cell.address(PORT), recipe),
            cell,
        }
    }
}

impl ForeignServer for Popa3d {
    fn name(&self) -> &'static str {
        "popa3d"
    }

    fn address(&self) -> SocketAddr {
        self.cell.address(PORT)
    }

    fn maildrop(&self) -> PathBuf {
        self.cell.path("var/mail").join(READER)
    }

    fn deliver(&self, letter: &[u8]) -> Vec<u8> {
        mbox::deliver(&self.maildrop(), letter)
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        mbox::stored(&self.maildrop())
    }

    fn log(&self) -> String {
        self.cell.log()
    }
}
