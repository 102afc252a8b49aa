//! Every bound of the client's side, each with its reason, in one place.

use core::time::Duration;

use crate::Octets;

/// What a server may make the machine hold, take or wait for. [`Limits::default`] is sensible.
/// Beyond a limit the session fails with a [`SessionError`](super::SessionError) that names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest status line, the greeting included, with CRLF. RFC 2449 §4 says 512; servers
    /// with long texts exist (PRJ-LEN-2: at least 8 KiB).
    pub status_octets_max: usize,
    /// The longest challenge of a SASL exchange, with CRLF (R5034-LINE-1): 64 KiB in base64.
    pub challenge_octets_max: usize,
    /// The longest line of any listing, with CRLF. Unique-ids have 70 octets at most, and some
    /// servers do not care (PRJ-UIDL-9); a list of mechanisms may be long.
    pub listing_line_octets_max: usize,
    /// How many lines the answer to CAPA, to AUTH or to LANG may have: an endless one must end.
    pub lines_max: u32,
    /// How many messages a listing may have: an endless one must end, and the caller's memory
    /// is bounded by it.
    pub messages_max: u32,
    /// How many octets a listing may have: so many unique-ids that are all as long as a line may
    /// be would fill a machine's memory. A listing of `messages_max` messages whose unique-ids are
    /// as long as RFC 1939 §7 allows fits.
    pub listing_octets_max: u64,
    /// The longest message: an endless one must end.
    pub message_octets_max: Octets,
    /// How many challenges one exchange may have: without a bound it could go on for ever.
    pub sasl_rounds_max: u32,
    /// How many commands may wait to be sent.
    pub requests_max: usize,
    /// About how many octets of answers may be asked for and not have come, while commands are
    /// pipelined. It should be at least what the line carries in one round trip; more is only
    /// lost when the session ends early.
    pub window_octets: u64,
    /// How many octets of commands may be unanswered: R2449-PIPE-4 wants them to stay below the
    /// transport's window.
    pub command_octets_in_flight_max: usize,
    /// How many octets of input are held.
    pub input_octets_max: usize,
    /// How long the greeting may take. Some servers look names up first, or make strangers wait.
    pub greeting_duration_max: Duration,
    /// How long a server may be silent when an answer is due (PRJ-FETCH-10). A message on its way
    /// is no silence; a line that does not end is.
    pub silence_duration_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            status_octets_max: 8 * 1024,
            challenge_octets_max: 88 * 1024,
            listing_line_octets_max: 4 * 1024,
            lines_max: 1024,
            messages_max: 1 << 20,
            listing_octets_max: 96 << 20,
            message_octets_max: Octets(1 << 30),
            sasl_rounds_max: 16,
            requests_max: 4096,
            window_octets: 4 << 20,
            command_octets_in_flight_max: 32 * 1024,
            input_octets_max: 64 * 1024,
            greeting_duration_max: Duration::from_mins(2),
            silence_duration_max: Duration::from_mins(10),
        }
    }
}
