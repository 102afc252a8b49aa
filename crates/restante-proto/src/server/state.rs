//! The states of a session (RFC 1939 §3): every transition, and nothing else.
//!
//! | state, step | what happens | next |
//! |---|---|---|
//! | Authorization, Command | PASS, APOP, AUTH | Authorization, Verifying |
//! | Authorization, Command | STLS | Authorization, StartingTls: the session ends here |
//! | Authorization, Command | QUIT | Closed |
//! | Authorization, Verifying | challenge | Authorization, Exchange |
//! | Authorization, Verifying | authenticated | Authorization, Opening |
//! | Authorization, Verifying | login refused | Authorization, Command |
//! | Authorization, Exchange | line of the client | Authorization, Verifying |
//! | Authorization, Exchange | `*` or a line that cannot be one | Authorization, Command |
//! | Authorization, Opening | opened | Transaction, Command |
//! | Authorization, Opening | open refused | Authorization, Command |
//! | Transaction, Command | STAT, LIST, UIDL | Transaction, Listing |
//! | Transaction, Listing | a size is not known | Transaction, Measuring |
//! | Transaction, Measuring | measured, or measuring failed | Transaction, Listing or Command |
//! | Transaction, Listing | at its end | Transaction, Command |
//! | Transaction, Command | RETR, TOP | Transaction, Retrieving |
//! | Transaction, Retrieving | message opened | Transaction, Sending |
//! | Transaction, Retrieving | message refused | Transaction, Command |
//! | Transaction, Sending | message sent | Transaction, Command |
//! | Transaction, Command | QUIT | Update |
//! | Update | updated, or update failed | Closed |
//! | any but Update | end of input, time-out, shutdown, a limit, a broken message | Closed |
//!
//! There is no way from Transaction back to Authorization (R1939-STATE-5), and none into Update
//! but QUIT in Transaction (R1939-TIMER-4).

use alloc::string::String;
use core::mem;

use super::{CloseReason, listings::Listing, transaction::Transaction};
use crate::{Keyword, MessageNumber, MessageSet, Mode, Octets, Part};

/// Where a session is. Each state owns its data.
pub(super) enum State {
    /// Who are you?
    Authorization(Authorization),
    /// The maildrop is open.
    Transaction(Transaction),
    /// QUIT was received; the marks have been handed over.
    Update {
        /// How many messages were marked.
        deleted: u64,
    },
    /// Over.
    Closed(CloseReason),
}

/// What is known before login.
#[derive(Default)]
pub(super) struct Authorization {
    /// From the USER directly before (PRJ-PASS-4).
    pub(super) name: Option<String>,
    pub(super) mode: Mode,
    pub(super) failed_logins: u32,
    pub(super) step: AuthorizationStep,
}

/// What an [`Authorization`] waits for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum AuthorizationStep {
    /// The next command.
    #[default]
    Command,
    /// The end of this session: TLS takes over.
    StartingTls,
    /// The verdict on a login.
    Verifying(LoginKind),
    /// The client's next line in a SASL exchange (PRJ-AUTH-6).
    Exchange {
        /// Challenges sent so far.
        rounds: u32,
    },
    /// The maildrop.
    Opening,
}

/// How a login goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LoginKind {
    /// PASS or APOP: with a verdict.
    OneStep,
    /// AUTH: with a verdict or another challenge.
    Sasl {
        /// Challenges sent so far.
        rounds: u32,
    },
}

/// What a [`Transaction`] is busy with.
pub(super) enum TransactionStep {
    /// Nothing: the next command may come.
    Command,
    /// Writing an answer to STAT, LIST or UIDL.
    Listing(Listing),
    /// The same, but sizes are missing.
    Measuring(Listing),
    /// Waiting for a message.
    Retrieving {
        /// Which one.
        number: MessageNumber,
        /// How much of it.
        part: Part,
    },
    /// The status line is out, the driver sends the message.
    Sending {
        /// Which one.
        number: MessageNumber,
        /// How much of it.
        part: Part,
        /// As announced to the client.
        octets: Octets,
    },
}

const AUTHORIZATION: u8 = 1;
const TRANSACTION: u8 = 2;
const BOTH: u8 = AUTHORIZATION | TRANSACTION;

/// Which state allows which command (R1939-STATE-8).
const fn states(keyword: Keyword) -> u8 {
    match keyword {
        Keyword::Apop => AUTHORIZATION,
        Keyword::Auth => AUTHORIZATION,
        Keyword::Capa => BOTH,
        Keyword::Dele => TRANSACTION,
        Keyword::Lang => BOTH,
        Keyword::List => TRANSACTION,
        Keyword::Noop => TRANSACTION,
        Keyword::Pass => AUTHORIZATION,
        Keyword::Quit => BOTH,
        Keyword::Retr => TRANSACTION,
        Keyword::Rset => TRANSACTION,
        Keyword::Stat => TRANSACTION,
        Keyword::Stls => AUTHORIZATION,
        Keyword::Top => TRANSACTION,
        Keyword::Uidl => TRANSACTION,
        Keyword::User => AUTHORIZATION,
        Keyword::Utf8 => AUTHORIZATION,
    }
}

impl State {
    /// Whether the driver owes an answer. The machine pauses until it comes.
    pub(super) const fn awaits_answer(&self) -> bool {
        match self {
            Self::Authorization(authorization) => matches!(
                authorization.step,
                AuthorizationStep::StartingTls
                    | AuthorizationStep::Verifying(_)
                    | AuthorizationStep::Opening
            ),
            Self::Transaction(transaction) => matches!(
                transaction.step,
                TransactionStep::Measuring(_)
                    | TransactionStep::Retrieving { .. }
                    | TransactionStep::Sending { .. }
            ),
            Self::Update { .. } => true,
            Self::Closed(_) => false,
        }
    }

    /// Whether this state allows `keyword` (R1939-ERR-2).
    pub(super) const fn allows(&self, keyword: Keyword) -> bool {
        let state = match self {
            Self::Authorization(_) => AUTHORIZATION,
            Self::Transaction(_) => TRANSACTION,
            Self::Update { .. } | Self::Closed(_) => 0,
        };
        states(keyword) & state != 0
    }

    /// Authorization, Opening → Transaction. `None` where no maildrop is awaited.
    pub(super) fn open(&mut self, open: impl FnOnce(Mode) -> Transaction) -> Option<()> {
        let Self::Authorization(authorization) = self else {
            return None;
        };
        if authorization.step != AuthorizationStep::Opening {
            return None;
        }
        *self = Self::Transaction(open(authorization.mode));
        Some(())
    }

    /// Transaction, Command → Update, with the marks to hand over; Authorization → Closed.
    pub(super) fn quit(&mut self) -> Option<Marks> {
        let Self::Transaction(transaction) = self else {
            self.close(CloseReason::Quit);
            return None;
        };
        let deleted = mem::take(&mut transaction.deleted);
        let retrieved = mem::take(&mut transaction.retrieved);
        *self = Self::Update {
            deleted: deleted.len() as u64,
        };
        Some(Marks { deleted, retrieved })
    }

    /// Any → Closed. What is closed stays closed, for the first reason.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if !matches!(self, Self::Closed(_)) {
            *self = Self::Closed(reason);
        }
    }
}

/// What QUIT hands over.
pub(super) struct Marks {
    pub(super) deleted: MessageSet,
    pub(super) retrieved: MessageSet,
}

impl Authorization {
    /// Command or Exchange → Verifying.
    pub(super) const fn verify(&mut self, kind: LoginKind) {
        self.step = AuthorizationStep::Verifying(kind);
    }

    /// Verifying → Exchange, and how many challenges that makes. `None` where no exchange runs.
    pub(super) const fn challenge(&mut self) -> Option<u32> {
        let AuthorizationStep::Verifying(LoginKind::Sasl { rounds }) = self.step else {
            return None;
        };
        let rounds = rounds.saturating_add(1);
        self.step = AuthorizationStep::Exchange { rounds };
        Some(rounds)
    }

    /// Verifying → Opening; `false` where no verdict is awaited.
    pub(super) const fn authenticate(&mut self) -> bool {
        let verifying = matches!(self.step, AuthorizationStep::Verifying(_));
        if verifying {
            self.step = AuthorizationStep::Opening;
        }
        verifying
    }

    /// Verifying, Exchange or Opening → Command (R5034-AUTH-4, R1939-LOCK-2).
    pub(super) const fn give_up(&mut self) {
        self.step = AuthorizationStep::Command;
    }

    /// Command → StartingTls.
    pub(super) const fn start_tls(&mut self) {
        self.step = AuthorizationStep::StartingTls;
    }
}
