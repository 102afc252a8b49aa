//! Mail in Maildirs, shared with every other program that knows them.

mod layout;
mod location;
mod lock;
mod name;

pub use location::{Location, LocationError};
