//! Whose DELE counts, and when a message leaves a mailbox: what an account chooses.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What an account has chosen. The default is classic RFC 1939.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Policy {
    /// Whose DELE counts.
    pub delete: DeleteMode,
    /// When a message leaves the mailbox.
    pub keep: Keep,
    /// After how long mail leaves that nobody has retrieved or deleted; `None`: never.
    pub expire_unfetched: Option<Duration>,
    /// How long a device may be unused before nobody waits for it any more.
    pub device_inactive_after: Duration,
}

/// Whose DELE counts.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum DeleteMode {
    /// All credentials share one view: what one deletes is deleted for all.
    #[default]
    Shared,
    /// Each device has a view of its own: what one deletes, the others still get.
    PerDevice,
}

/// When a message leaves the mailbox for the trash.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Keep {
    /// When every active view has retrieved it whole, or deleted it, and said QUIT.
    UntilFetched,
    /// When every active view has deleted it.
    #[default]
    UntilDeleted,
    /// So long after it arrived, and only if some view has retrieved or deleted it.
    For(Duration),
    /// Never.
    Forever,
}

/// What a new device sees of the mail that is there already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Show {
    /// All of it.
    All,
    /// What has arrived within this time.
    Last(Duration),
    /// Nothing: only what comes from now on.
    #[default]
    New,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            delete: DeleteMode::default(),
            keep: Keep::default(),
            expire_unfetched: None,
            device_inactive_after: 60 * DAY,
        }
    }
}

impl Policy {
    /// Whether DELE alone moves a message to the trash, at once: nothing has to be remembered.
    pub(crate) fn is_classic(&self) -> bool {
        self.delete == DeleteMode::Shared && self.keep == Keep::UntilDeleted
    }

    /// Whether it matters who has retrieved a message.
    pub(crate) fn counts_retrieved(&self) -> bool {
        match self.keep {
            Keep::UntilFetched | Keep::For(_) => true,
            Keep::UntilDeleted => self.expire_unfetched.is_some(),
            Keep::Forever => false,
        }
    }

    /// Whether a message may leave because it is old.
    pub(crate) fn goes_by_age(&self) -> bool {
        let unfetched = self.keep != Keep::Forever && self.expire_unfetched.is_some();
        unfetched || matches!(self.keep, Keep::For(_))
    }
}
