//! Lines with descriptors (`SCM_RIGHTS`, unix(7)).

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream as StdStream,
    },
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use tokio::{
    io::{AsyncWriteExt as _, Interest},
    net::UnixStream,
};

use super::LINE_OCTETS_MAX;

/// With one line; the kernel allows 253 (`SCM_MAX_FD`).
pub(super) const DESCRIPTORS_MAX: usize = 128;

const SPACE: usize = cmsg_space!(ScmRights(DESCRIPTORS_MAX));

/// Writes a line, with the descriptors at its first octet.
pub(super) async fn send(
    stream: &mut UnixStream,
    line: &[u8],
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let sent = match descriptors {
        [] => 0,
        _ => {
            let send = || send_some(&stream, line, descriptors);
            stream.async_io(Interest::WRITABLE, send).await?
        }
    };
    stream.write_all(line.get(sent..).unwrap_or_default()).await
}

fn send_some(stream: impl AsFd, line: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let octets = [IoSlice::new(line)];
    Ok(sendmsg(
        stream,
        &octets,
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?)
}

/// Reads a line with its end, and the descriptors that came with it. Whatever a peer passes is
/// closed again if it is not wanted.
pub(super) fn receive(stream: &StdStream) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let (mut line, mut descriptors) = (Vec::new(), Vec::new());
    while !line.ends_with(b"\n") {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut octets = [0; 4096];
        let read = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut octets)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                descriptors.extend(passed);
            }
        }
        let octets = octets.get(..read.bytes).unwrap_or_default();
        line.extend_from_slice(octets);
        if octets.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.len() > LINE_OCTETS_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok((line, descriptors))
}
