//! Where what is sent may be cut into pieces.

/// The end of a multi-line answer with the line end before it (RFC 1939 §3). Stuffed data never
/// contains it.
const TERMINATION: &[u8] = b"\r\n.\r\n";

/// How much of what follows a block decides where the block may end.
pub(super) const LOOK_AHEAD_OCTETS: usize = TERMINATION.len() - 1;

/// How many octets of `out` go out next: `max` of them or fewer, so that the end of a multi-line
/// answer stays in one piece. Old clients look for it only at the end of what one read gives them.
///
/// `max` is at least the five octets of that end.
pub(super) fn block_octets(out: &[u8], max: usize) -> usize {
    if out.len() <= max {
        return out.len();
    }
    // The first place where a termination would be cut by a block of `max` octets.
    let window_start = max - LOOK_AHEAD_OCTETS;
    let window_end = out.len().min(max + LOOK_AHEAD_OCTETS);
    out[window_start..window_end]
        .windows(TERMINATION.len())
        .position(|octets| octets == TERMINATION)
        .map_or(max, |position| window_start + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prj_ml_5_a_termination_is_never_cut() {
        const MAX: usize = 16;
        for before in 0..40 {
            let mut out = vec![b'x'; before];
            out.extend_from_slice(TERMINATION);
            out.extend_from_slice(&[b'y'; 20]);
            let (mut start, mut whole) = (0, 0);
            while start < out.len() {
                let octets = block_octets(&out[start..], MAX);
                assert!((1..=MAX).contains(&octets));
                let block = &out[start..start + octets];
                whole += block.windows(5).filter(|&o| o == TERMINATION).count();
                start += octets;
            }
            assert_eq!(whole, 1, "after {before} octets");
        }
    }

    #[test]
    fn blocks_are_full_where_nothing_forbids_it() {
        assert_eq!(block_octets(b"12345678", 8), 8);
        assert_eq!(block_octets(b"123456789", 8), 8);
        assert_eq!(block_octets(b"12345\r\n.\n", 8), 8);
        assert_eq!(block_octets(b"1234", 8), 4);
    }
}
