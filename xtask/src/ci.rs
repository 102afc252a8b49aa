//! `cargo xtask ci`: all that review will run, and at the end what failed and how to fix it.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{deb, fuzz, measure, process, requirements, test, tidy};

/// A step of the whole, and what to do when it fails.
struct Step {
    name: &'static str,
    remedy: &'static str,
    run: fn() -> Result<()>,
}

const STEPS: [Step; 9] = [
    Step {
        name: "test",
        remedy: "`cargo xtask test NAME` runs one test; read its output above",
        run: || test::run(&[]),
    },
    Step {
        name: "format",
        remedy: "`cargo fmt --all`",
        run: format,
    },
    Step {
        name: "clippy",
        remedy: "put it right, or `#[expect(lint, reason = \"…\")]` with a reason that holds",
        run: clippy,
    },
    Step {
        name: "tidy",
        remedy: "each line above names the file and the rule",
        run: tidy::run,
    },
    Step {
        name: "requirements",
        remedy: "`cargo xtask requirements --update` marks what is proven; the rest is said above",
        run: || requirements::run(&[]),
    },
    Step {
        name: "docs",
        remedy: "`RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps`",
        run: documentation,
    },
    Step {
        name: "package",
        remedy: "`cargo xtask package --try --short` tries it again; its last `trial:` is the step",
        run: || deb::run(&["--try".into(), "--short".into()]),
    },
    Step {
        name: "storm",
        remedy: "a working program notices an attack: `cargo xtask storm` says when and how much",
        run: measure::storm_in_ci,
    },
    Step {
        name: "fuzz",
        remedy: "the input is under fuzz/artifacts; `cargo xtask fuzz TARGET` tries again",
        run: || fuzz::run(&["--seconds".into(), "10".into()]),
    },
];

/// Runs every step, also after a failure, and reports all failures together.
pub(crate) fn run() -> Result<()> {
    let mut failures = Vec::new();
    let mut summary = Vec::new();
    for step in &STEPS {
        eprintln!("\n== {}", step.name);
        let began = Instant::now();
        let outcome = (step.run)();
        let seconds = began.elapsed().as_secs();
        match outcome {
            Ok(()) => summary.push(format!("  ok      {:<14}{seconds:>5} s", step.name)),
            Err(error) => {
                eprintln!("error: {error:#}");
                summary.push(format!("  FAILED  {:<14}{seconds:>5} s", step.name));
                failures.push(format!(
                    "{}: {error:#}\n    fix: {}",
                    step.name, step.remedy
                ));
            }
        }
    }
    println!("\n== summary\n{}", summary.join("\n"));
    if failures.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} steps failed\n  {}",
        failures.len(),
        STEPS.len(),
        failures.join("\n  ")
    )
}

fn format() -> Result<()> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))
}

fn clippy() -> Result<()> {
    let check = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    process::run(process::cargo().args(check))?;
    // What is off by default compiles, too.
    let check = [
        "clippy",
        "--package",
        "restante",
        "--package",
        "restante-fetch",
        "--features",
        "restante/keyring,restante-fetch/keyring",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    process::run(process::cargo().args(check))
}

fn documentation() -> Result<()> {
    let build = ["doc", "--workspace", "--no-deps"];
    process::run(
        process::cargo()
            .args(build)
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
