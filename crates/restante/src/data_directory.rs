//! The directory of everything that is ours.

use crate::{configuration::Configuration, exit_code::ExitCode, failure::Failure, private_file};

/// Makes the data directory, readable by its owner only, unless it is there.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make(configuration: &Configuration) -> Result<(), Failure> {
    private_file::ensure_directory(&configuration.data).map_err(|error| {
        let data = configuration.data.display();
        Failure::new(
            ExitCode::Io,
            format!("cannot make the data directory `{data}`"),
        )
        .caused_by(error)
        .hint("`data` in the configuration names another place")
    })
}
