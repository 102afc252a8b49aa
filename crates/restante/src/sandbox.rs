//! The walls around `restante serve`: what the process can no longer do once it serves strangers.
//!
//! Three walls, each of which holds if the others fall. *Rights*: no capability is left, and none
//! can be had again. *Files and ports* ([`files`], Landlock): of the file system the process
//! reaches its own places alone, and TCP only where the configuration leads. *Calls* ([`calls`],
//! seccomp): no program can be started, no process looked into, nothing mounted or loaded.
//!
//! Whoever takes the process over is left with what the server itself may do: with mail, but not
//! with the machine. The walls are entered once, while there is one thread; all later threads
//! inherit them, and nothing can leave them again.

mod calls;
mod files;
mod plan;
mod powers;
#[cfg(test)]
mod tests;

pub(crate) use self::plan::Plan;

/// What came of one wall.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Wall {
    /// All of it stands.
    Whole,
    /// The kernel knows a part of it; holds what is missing.
    InPart(String),
    /// The kernel has nothing of it; holds why.
    Missing(String),
}

/// What came of all walls.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Walls {
    /// Landlock.
    pub(crate) files: Wall,
    /// seccomp.
    pub(crate) calls: Wall,
    /// Whether connections can be made to the ports of the plan alone.
    pub(crate) limits_ports: bool,
}

/// Why a wall that the kernel offers could not be built. Serving without it would be a surprise.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SandboxError {
    /// Capabilities could not be given up.
    #[error("cannot give up privileges")]
    Powers(#[source] std::io::Error),
    /// Landlock refused.
    #[error("cannot limit the file system")]
    Files(#[source] landlock::RulesetError),
    /// The filter makes no sense, or the kernel refused it.
    #[error("cannot limit system calls")]
    Calls(#[source] seccompiler::Error),
}

/// Enters the sandbox: this thread, and every thread it makes from now on, for good.
///
/// Call it while there is only one thread, after all that needs more rights than serving does:
/// binding, reading keys that root alone may read, raising limits.
///
/// # Errors
/// [`SandboxError`]; the process may then be limited in part and should end. What the kernel lacks
/// is no error but stands in [`Walls`].
pub(crate) fn enter(plan: &Plan) -> Result<Walls, SandboxError> {
    powers::give_up().map_err(|error| SandboxError::Powers(error.into()))?;
    let (files, limits_ports) = files::limit(plan).map_err(SandboxError::Files)?;
    // Last, because building the other walls takes calls that this one forbids.
    let calls = calls::limit().map_err(SandboxError::Calls)?;
    Ok(Walls {
        files,
        calls,
        limits_ports,
    })
}

impl Walls {
    /// Says in the log what stands and, one line each, what does not.
    pub(crate) fn report(&self, plan: &Plan) {
        let writes = plan.written();
        tracing::info!(
            files = self.files.state(),
            calls = self.calls.state(),
            writes,
            "sandbox entered"
        );
        for (wall, what) in [
            (
                &self.files,
                "the file system is not limited as it could be: the kernel lacks Landlock, or a part of it",
            ),
            (
                &self.calls,
                "system calls are not limited: the kernel lacks seccomp filters",
            ),
        ] {
            if let Wall::InPart(why) | Wall::Missing(why) = wall {
                tracing::warn!(reason = why.as_str(), "{what}");
            }
        }
        for path in plan.wide() {
            let path = path.display().to_string();
            tracing::warn!(
                path,
                "the sandbox is open to a whole system directory, because a file or mailbox \
                 of the configuration stands right in it: a directory of its own would close it"
            );
        }
    }
}

impl Wall {
    fn state(&self) -> &'static str {
        match self {
            Self::Whole => "limited",
            Self::InPart(_) => "limited in part",
            Self::Missing(_) => "not limited",
        }
    }
}
