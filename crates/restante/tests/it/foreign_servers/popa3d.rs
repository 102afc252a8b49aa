//! popa3d: USER, PASS and what RFC 1939 has, and no more.

use super::acceptor::Acceptor;
use super::cell::{Cell, PORT};
use super::{ForeignServer, Spool, mbox};

pub(crate) struct Popa3d {
    _acceptor: Acceptor,
    cell: Cell,
}

impl Popa3d {
    pub(crate) fn start() -> Self {
        let cell = Cell::new("popa3d");
        // It locks itself in there before it reads a line.
        cell.make_directory("var/lib/popa3d", 0);
        mbox::create(&cell);
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

    fn cell(&self) -> &Cell {
        &self.cell
    }

    fn spool(&self) -> Spool {
        mbox::SPOOL
    }
}
