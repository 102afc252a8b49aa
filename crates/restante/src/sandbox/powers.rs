//! Capabilities: the parts of root's power, which a process may hold without being root.

use rustix::{
    io,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        set_capabilities, set_no_new_privs,
    },
};

/// What root keeps, if the operator lets the server run as root: other people's files. The rest of
/// root's power (devices, modules, clocks, networks, other processes) goes.
const OF_FILES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID);

/// Gives up every capability that serving does not need, and the way to any: no program that is
/// started later gets more than this process has.
pub(super) fn give_up() -> io::Result<()> {
    set_no_new_privs(true)?;
    // An old kernel without ambient capabilities has none to clear.
    match clear_ambient_capability_set() {
        Ok(()) | Err(io::Errno::INVAL) => {}
        Err(error) => return Err(error),
    }
    let held = capabilities(None)?;
    let kept = match rustix::process::geteuid().is_root() {
        true => held.permitted & OF_FILES,
        false => CapabilitySet::empty(),
    };
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        },
    )
}
