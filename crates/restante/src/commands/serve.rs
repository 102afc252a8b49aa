//! `restante serve`: from a configuration to a server that runs until it is told to stop.

mod files;
mod letter;
mod notify;
mod settings;
mod signals;
