//! The directory of everything that is ours.

use crate::{
    configuration::Configuration, exit_code::ExitCode, failure::Failure, private_file,
    rights::Rights,
};

/// Takes on the rights of the running server, if root asks and the configuration names them: what
/// a command makes under `data` must be the server's to change.
///
/// # Errors
/// There is no such user, or the data directory cannot be made.
pub(crate) fn act_as_owner(configuration: &Configuration) -> Result<(), Failure> {
    match Rights::of(configuration)? {
        Some(rights) if rights.can_be_taken_on() => {
            make_for(configuration, Some(&rights))?;
            rights.take_on()
        }
        _ => Ok(()),
    }
}

/// Makes the data directory, readable by its owner only, unless it is there.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make(configuration: &Configuration) -> Result<(), Failure> {
    make_for(configuration, None)
}

/// As [`make`]; what is made belongs to those whose rights the server will keep.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make_for(
    configuration: &Configuration,
    rights: Option<&Rights>,
) -> Result<(), Failure> {
    let path = &configuration.data;
    let is_new = !path.is_dir();
    let made = private_file::ensure_directory(path).and_then(|()| match rights {
        Some(rights) if is_new => rights.give(path),
        _ => Ok(()),
    });
    made.map_err(|error| {
        let data = configuration.data.display();
        Failure::new(
            ExitCode::Io,
            format!("cannot make the data directory `{data}`"),
        )
        .caused_by(error)
        .hint("`data` in the configuration names another place")
    })
}
