//! Where what is sent may be cut into pieces.

/// The end of a multi-line answer with the line end before it (RFC 1939 §3). Stuffed data never
/// contains it.
const TERMINATION: &[u8] = b"\r\n.\r\n";

/// How much of what follows a block decides where the block may end.
pub(super) const LOOK_AHEAD_OCTETS: usize = TERMINATION.len() - 1;

/// How what is sent is cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    /// The most that is handed to the stream at once.
    pub(crate) octets_max: usize,
    /// The stream itself cuts each block after every so many octets: TLS records. At least the
    /// five octets of a termination.
    pub(crate) record_octets_max: usize,
}

impl Blocks {
    /// How many octets of `out` go out next: a full block, or fewer, so that the end of a
    /// multi-line answer stays in one piece. Old clients look for it only at the end of what one
    /// read gives them.
    pub(super) fn next_octets(self, out: &[u8]) -> usize {
        let full = out.len().min(self.octets_max);
        (self.record_octets_max..=full)
            .step_by(self.record_octets_max)
            .find_map(|cut| termination_across(out, cut))
            .unwrap_or(full)
    }
}

/// Where a termination begins that a cut after `cut` octets would tear.
fn termination_across(out: &[u8], cut: usize) -> Option<usize> {
    let start = cut - LOOK_AHEAD_OCTETS;
    let end = out.len().min(cut + LOOK_AHEAD_OCTETS);
    out[start..end]
        .windows(TERMINATION.len())
        .position(|octets| octets == TERMINATION)
        .map(|position| start + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCKS: Blocks = Blocks {
        octets_max: 24,
        record_octets_max: 8,
    };

    #[test]
    fn prj_ml_5_a_termination_is_never_cut() {
        for before in 0..60 {
            let mut out = vec![b'x'; before];
            out.extend_from_slice(TERMINATION);
            out.extend_from_slice(&[b'y'; 30]);
            let (mut start, mut whole) = (0, 0);
            while start < out.len() {
                let octets = BLOCKS.next_octets(&out[start..]);
                assert!((1..=24).contains(&octets));
                for record in out[start..start + octets].chunks(8) {
                    whole += record.windows(5).filter(|&o| o == TERMINATION).count();
                }
                start += octets;
            }
            assert_eq!(whole, 1, "after {before} octets");
        }
    }

    #[test]
    fn blocks_are_full_where_nothing_forbids_it() {
        assert_eq!(BLOCKS.next_octets(&[b'x'; 30]), 24);
        assert_eq!(BLOCKS.next_octets(&[b'x'; 24]), 24);
        assert_eq!(BLOCKS.next_octets(&[b'x'; 7]), 7);
        assert_eq!(BLOCKS.next_octets(b"12345\r\n.\n0123456"), 16);
        assert_eq!(BLOCKS.next_octets(b"123\r\n.\r\n"), 8);
        assert_eq!(BLOCKS.next_octets(b"1234\r\n.\r\n"), 4);
    }
}
