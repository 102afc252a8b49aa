//! Every bound of the protocol, each with its reason, in one place.

use core::time::Duration;

/// The longest first line of a response and the longest capability line, CRLF included
/// (R2449-LEN-3). Fixed by RFC 2449 §4, so it is not a field of [`Limits`].
pub(crate) const RESPONSE_OCTETS_MAX: usize = 512;

/// What a peer may make the machine hold, do or wait for. [`Limits::default`] is sensible.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The longest command line, CRLF included. RFC 2449 §4 demands 255 of a server with CAPA.
    pub command_octets_max: usize,
    /// The longest AUTH line, CRLF included: deployed clients send long tokens as initial
    /// responses, far beyond 255 octets (PRJ-IR-5).
    pub auth_octets_max: usize,
    /// The longest response inside a SASL exchange, in decoded octets (PRJ-LINE-2). Tokens with
    /// many claims reach tens of kilobytes.
    pub sasl_response_octets_max: usize,
    /// How many challenges one SASL exchange may have. No mechanism needs more than 4; without a
    /// bound an exchange could be kept going for ever (PRJ-LINE-2).
    pub sasl_rounds_max: u32,
    /// How many octets of pipelined commands are held; the rest waits in the transport, so that
    /// a peer that never reads its answers costs nothing more. At least one AUTH line is held.
    pub input_octets_max: usize,
    /// About how many octets one `poll_output` appends; a listing of any length is made in
    /// pieces of this size.
    pub output_octets_max: usize,
    /// After this many commands in a row that are none, the connection is closed (PRJ-ERR-8).
    /// Programs that speak another protocol are got rid of.
    pub bad_commands_max: u32,
    /// After this many failed logins the connection is closed (PRJ-SEC-4).
    pub failed_logins_max: u32,
    /// How long a connection may stay without a login, however busy it is: CAPA every few
    /// seconds must not hold a place for ever.
    pub authorization_duration_max: Duration,
    /// How many messages the first `Measure` of a session asks for; each further one asks for
    /// twice as many, so that a small mailbox answers fast.
    pub measure_first: u32,
    /// No `Measure` asks for more messages at once, so that a long LIST keeps flowing and a
    /// lost lease or a shutdown is noticed in between.
    pub measure_max: u32,
}

impl Limits {
    /// The longest line inside a SASL exchange, CRLF included: base64 makes 4 octets of 3.
    pub(crate) const fn sasl_line_octets_max(&self) -> usize {
        self.sasl_response_octets_max
            .div_ceil(3)
            .saturating_mul(4)
            .saturating_add(2)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            command_octets_max: 255,
            auth_octets_max: 12_288,
            sasl_response_octets_max: 64 * 1024,
            sasl_rounds_max: 8,
            input_octets_max: 16 * 1024,
            output_octets_max: 16 * 1024,
            bad_commands_max: 10,
            failed_logins_max: 3,
            authorization_duration_max: Duration::from_mins(5),
            measure_first: 64,
            measure_max: 1024,
        }
    }
}
