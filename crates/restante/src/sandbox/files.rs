//! Landlock: of all files the process reaches its own, of all ports those it was told of.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{Plan, Wall};

/// What is governed at all. Later versions also govern connecting to sockets in the file system,
/// which the configuration may lead to anywhere.
const GOVERNED: ABI = ABI::V6;

/// The first version that governs TCP ports (Linux 6.7).
const PORTS: ABI = ABI::V4;

/// Limits this thread and its later children; also whether ports are among what is limited.
pub(super) fn limit(plan: &Plan) -> Result<(Wall, bool), RulesetError> {
    let status = restrict(plan)?;
    let version = match status.landlock {
        LandlockStatus::NotEnabled => return Ok(missing("Landlock is not enabled (`lsm=`)")),
        LandlockStatus::NotImplemented => return Ok(missing("the kernel has no Landlock")),
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
    };
    let wall = match status.ruleset {
        RulesetStatus::FullyEnforced => Wall::Whole,
        RulesetStatus::PartiallyEnforced => Wall::InPart(format!(
            "the kernel has Landlock version {version}, of {}",
            GOVERNED as i32
        )),
        RulesetStatus::NotEnforced => {
            return Ok(missing(
                "the kernel's Landlock does not know messages that move between directories (Linux 5.19)",
            ));
        }
    };
    Ok((wall, version >= PORTS as i32))
}

fn missing(why: &str) -> (Wall, bool) {
    (Wall::Missing(why.to_owned()), false)
}

fn restrict(plan: &Plan) -> Result<landlock::RestrictionStatus, RulesetError> {
    let ruleset = Ruleset::default()
        // Without this right every rename from one directory to another fails: a Maildir is
        // nothing but such renames. A kernel that cannot grant it must not limit files at all.
        .set_compatibility(CompatLevel::SoftRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(GOVERNED))?
        .handle_access(AccessNet::from_all(GOVERNED))?
        // No signal to a process outside, even to one of the same user.
        .scope(Scope::Signal)?
        .create()?;
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = reading
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeDir
        | AccessFs::MakeSock
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let mut ruleset = ruleset;
    for path in plan.read() {
        ruleset = allow(ruleset, path, reading)?;
    }
    for path in plan.write() {
        ruleset = allow(ruleset, path, writing)?;
    }
    for &port in plan.connect() {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()
}

/// Opens what is there; what is not there gets no rule, and none is needed.
fn allow(
    ruleset: RulesetCreated,
    path: &std::path::Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(open) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let access = match path.is_dir() {
        true => access,
        false => access & AccessFs::from_file(GOVERNED),
    };
    ruleset.add_rule(PathBeneath::new(open, access))
}
