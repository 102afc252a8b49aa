//! What fuzz targets need to state their invariants; each module serves the target of its name,
//! or those that begin with it.

pub mod client_session;
pub mod multi_line;
pub mod sasl;
pub mod session_in_chunks;
pub mod token;
