//! Mail in Maildirs, shared with every other program that knows them.

mod deliver;
mod edit;
mod journal;
mod layout;
mod location;
mod lock;
mod maildirsize;
mod name;
mod trash;
mod unique_ids;
mod unique_name;
mod update;

pub use deliver::LineEnds;
pub use location::{Location, LocationError};
#[cfg(feature = "testing")]
pub use unique_ids::fuzz_state_file;
