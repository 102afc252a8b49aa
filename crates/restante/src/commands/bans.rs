//! `restante bans`: whom the running server turns away after failed logins.

use restante_server::control::{self, Banned, Reply, Request};

use crate::{
    configuration::Configuration,
    console,
    exit_code::ExitCode,
    failure::Failure,
    flags::{Bans, Talk},
};

/// Asks the server that runs.
///
/// # Errors
/// None runs, or it cannot be asked.
pub(crate) fn run(configuration: &Configuration, bans: &Bans, talk: Talk) -> Result<(), Failure> {
    match bans {
        Bans::List { json } => list(configuration, *json),
        Bans::Release { who } => release(configuration, who, talk),
    }
}

fn list(configuration: &Configuration, as_json: bool) -> Result<(), Failure> {
    let Reply::Bans { bans, more } = ask(configuration, &Request::Bans)? else {
        return Err(misunderstood());
    };
    if more > 0 {
        console::tell(format_args!("{more} more that end sooner are not shown"));
    }
    if as_json {
        let text = serde_json::to_string(&bans)
            .map_err(|error| Failure::new(ExitCode::Bug, "no JSON").caused_by(error))?;
        return console::print(text);
    }
    if bans.is_empty() {
        return Ok(());
    }
    let line = |Banned { kind, who, seconds }: &Banned| {
        format!("{kind}\t{}\t{seconds}s", who.escape_debug())
    };
    let lines: Vec<_> = bans.iter().map(line).collect();
    console::print(lines.join("\n"))
}

fn release(configuration: &Configuration, who: &str, talk: Talk) -> Result<(), Failure> {
    let who = who.to_owned();
    let request = Request::Release { who: who.clone() };
    let Reply::Released { was_banned } = ask(configuration, &request)? else {
        return Err(misunderstood());
    };
    if !talk.quiet {
        console::tell(match was_banned {
            true => format!("`{who}` released"),
            false => format!("`{who}` was not banned; what was counted against it is forgotten"),
        });
    }
    Ok(())
}

fn ask(configuration: &Configuration, request: &Request) -> Result<Reply, Failure> {
    let failed = |what: &str| Failure::new(ExitCode::Unavailable, what);
    match control::ask(&configuration.data, request) {
        Ok(Some(Reply::Refused { why, .. })) => Err(failed(&format!("the server refused: {why}"))),
        Ok(Some(reply)) => Ok(reply),
        Ok(None) => {
            let data = configuration.data.display();
            Err(failed("no server is running").hint(format!(
                "a server lists and releases bans; it was looked for in {data}"
            )))
        }
        Err(error) => Err(failed("the server cannot be asked")
            .caused_by(error)
            .hint("run the command as the user that runs the server")),
    }
}

fn misunderstood() -> Failure {
    Failure::new(
        ExitCode::Unavailable,
        "the server gave an answer that does not fit",
    )
    .hint("it may be of another version: restart it")
}
