//! `restante fetch`: collects mail from POP3 servers of others.

mod advice;
mod planned;
mod progress;
mod seen;
mod status;
mod teller;
mod unique_id;

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use restante_fetch::{Assignment, Causes, Consequence, Report, Runner, Secret, Source, Trouble};
use secrecy::SecretString;
use tokio::{runtime::Runtime, sync::watch};

use self::{advice::hint, teller::Teller};
use crate::{
    commands::serve::signals::{Asked, Signals},
    configuration::{
        fetch::{self, FetchAccount, FetchFile},
        key::nearest_of,
    },
    exit_code::ExitCode,
    failure::Failure,
    flags::{Fetch, FetchCommand, Talk},
};

/// Does what was typed.
///
/// # Errors
/// What is to be shown, and the exit code.
pub(crate) fn run(file: Option<&Path>, typed: &Fetch, talk: Talk) -> Result<(), Failure> {
    let file = file_of(file)?;
    let FetchFile {
        state,
        at_once,
        accounts,
    } = fetch::load(&file).map_err(Failure::from)?;
    match &typed.command {
        Some(FetchCommand::Status(which)) => {
            let accounts = chosen(accounts, &which.accounts)?;
            return status::show(&state, &accounts, which.json);
        }
        Some(FetchCommand::Seen(which)) => {
            let accounts = chosen(accounts, &which.accounts)?;
            return seen::show(&state, &accounts, which.json);
        }
        None => {}
    }
    let accounts = chosen(accounts, &typed.accounts)?;
    let assignments = with_passwords(accounts)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(ExitCode::Unavailable, "cannot start").caused_by(error))?;
    begin_log(talk)?;
    if typed.dry_run {
        return planned::show(&runtime, &state, &assignments, typed.json);
    }
    let teller = Arc::new(Teller::new(&state, typed.json, talk, typed.watch));
    let runner = Runner {
        state_directory: state,
        at_once,
        listener: teller.clone(),
    };
    let names: Vec<String> = assignments.iter().map(name).collect();
    let reports = collect(&runtime, &runner, assignments, typed.watch)?;
    teller.end();
    verdict(&names, reports, typed.watch)
}

fn name(assignment: &Assignment) -> String {
    assignment.account.name.as_str().to_owned()
}

/// The collector's file. `RESTANTE_CONFIG` names the server's, and is not for us.
fn file_of(file: Option<&Path>) -> Result<PathBuf, Failure> {
    let of_server = std::env::var_os("RESTANTE_CONFIG");
    let typed = file.filter(|file| of_server.as_deref() != Some(file.as_os_str()));
    let file = typed.map(Path::to_owned).or_else(fetch::default_file);
    file.ok_or_else(|| {
        Failure::new(
            ExitCode::Configuration,
            "there is no home directory to find `fetch.toml` in",
        )
        .hint("`--config FILE` names it")
    })
}

/// The accounts that were named, or all.
fn chosen(accounts: Vec<FetchAccount>, names: &[String]) -> Result<Vec<FetchAccount>, Failure> {
    let known: Vec<String> = accounts
        .iter()
        .map(|account| account.account().name.as_str().to_owned())
        .collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        let failure = Failure::new(
            ExitCode::UnknownUser,
            format!("there is no account `{unknown}`"),
        );
        return Err(
            match nearest_of(unknown, known.iter().map(String::as_str)) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure.hint(format!("there are: {}", known.join(", "))),
            },
        );
    }
    let wanted = |account: &FetchAccount| {
        names.is_empty()
            || names
                .iter()
                .any(|name| name == account.account().name.as_str())
    };
    Ok(accounts.into_iter().filter(wanted).collect())
}

/// Asks for passwords that are not in the file.
fn with_passwords(accounts: Vec<FetchAccount>) -> Result<Vec<Assignment>, Failure> {
    let mut assignments = Vec::new();
    for account in accounts {
        let asks = account.asks;
        let mut assignment = account.assignment;
        if asks {
            let (user, server) = (&assignment.account.user, &assignment.account.server.host);
            if !io::stdin().is_terminal() {
                let what = format!("there is no password for `{}`", assignment.account.name);
                return Err(Failure::new(ExitCode::Configuration, what).hint(
                    "write `password_command` or `password_file` into the file, or run this on a \
                     terminal",
                ));
            }
            let password = rpassword::prompt_password(format!("Password of {user} at {server}: "))
                .map_err(|error| {
                    Failure::new(ExitCode::Io, "cannot read the password").caused_by(error)
                })?;
            assignment.account.secret =
                Secret::Password(Source::Known(SecretString::from(password)));
        }
        assignments.push(assignment);
    }
    Ok(assignments)
}

/// What an operator should look at, such as a damaged state, goes to stderr.
fn begin_log(talk: Talk) -> Result<(), Failure> {
    let level = match (talk.quiet, talk.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    // What is wrong with a certificate is told once, with what to do about it.
    let filter = format!("{level},rustls_platform_verifier=off");
    restante_server::log::start(restante_server::log::LogFormat::Text, &filter)
        .map(drop)
        .map_err(|error| Failure::new(ExitCode::Bug, "cannot log").caused_by(error))
}

fn collect(
    runtime: &Runtime,
    runner: &Runner,
    assignments: Vec<Assignment>,
    again: bool,
) -> Result<Vec<Report>, Failure> {
    runtime.block_on(async {
        let mut signals = Signals::catch().map_err(|error| {
            Failure::new(ExitCode::Unavailable, "cannot catch signals").caused_by(error)
        })?;
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            loop {
                if signals.next().await == Asked::Stop {
                    // The second time nobody waits any more: nothing is lost by that.
                    if stop.send_replace(true) {
                        std::process::exit(ExitCode::TryLater as i32);
                    }
                }
            }
        });
        Ok(match again {
            true => runner.watch(assignments, &stopped).await,
            false => runner.once(assignments, &stopped).await,
        })
    })
}

/// What all the reports mean together: what a person must mend first.
/// Whoever watches until he is told to stop has not failed.
fn verdict(names: &[String], reports: Vec<Report>, watched: bool) -> Result<(), Failure> {
    let troubles = names.iter().zip(reports);
    let mut troubles: Vec<(&String, Trouble)> = troubles
        .filter_map(|(name, report)| Some((name, report.trouble?)))
        .collect();
    let passes = |trouble: &Trouble| match trouble.consequence() {
        Consequence::Later => true,
        Consequence::Refused => !trouble.needs_a_person(),
        _ => false,
    };
    troubles.retain(|(_, trouble)| !(watched && passes(trouble)));
    troubles.sort_by_key(|(_, trouble)| rank(trouble.consequence()));
    let count = troubles.len();
    let Some((name, trouble)) = troubles.into_iter().next() else {
        return Ok(());
    };
    let consequence = trouble.consequence();
    let rest = match count {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let causes = Causes(&trouble).to_string();
    let failure = Failure::new(exit_code(consequence), format!("{name}: {causes}{rest}"));
    Err(match hint(&trouble, consequence) {
        Some(hint) => failure.hint(hint),
        None => failure,
    })
}

fn rank(consequence: Consequence) -> u8 {
    match consequence {
        Consequence::Configuration => 0,
        Consequence::Refused => 1,
        Consequence::Disk => 2,
        Consequence::Protocol => 3,
        Consequence::Later => 4,
    }
}

fn exit_code(consequence: Consequence) -> ExitCode {
    match consequence {
        Consequence::Configuration => ExitCode::Configuration,
        Consequence::Refused => ExitCode::Refused,
        Consequence::Disk => ExitCode::Io,
        Consequence::Protocol => ExitCode::Protocol,
        Consequence::Later => ExitCode::TryLater,
    }
}
