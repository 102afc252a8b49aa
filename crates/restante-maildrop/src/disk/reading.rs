//! Calls that only look: listing, reading what is in memory already, and what kind of file system
//! it is.

use std::{
    ffi::CStr,
    fs::File,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    ops::{ControlFlow, Range},
    os::fd::AsFd,
};

use rustix::{
    fs::{self, Access, Advice, AtFlags, Mode, OFlags, RawDir, ResolveFlags},
    io::{Errno, ReadWriteFlags, retry_on_intr},
};

use super::{Call, Disk, Kind, open_at};

/// Room for directory entries fetched with one system call.
const DIRECTORY_OCTETS: usize = 32 * 1024;

/// Magic numbers of `statfs` for file systems whose files are on another machine.
const NETWORK: [(u64, &str); 16] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x0102_1997, "9P"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x564C, "NCP"),
    (0x00C3_6400, "Ceph"),
    (0x0BD0_0BD0, "Lustre"),
    (0x1983_0326, "BeeGFS"),
    (0x4750_4653, "GPFS"),
    (0x0116_1970, "GFS2"),
    (0x7461_636F, "OCFS2"),
    // Most of what speaks it is remote: sshfs, GlusterFS, s3fs.
    (0x6573_5546, "FUSE"),
];

/// One entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'e> {
    /// Its name.
    pub name: &'e [u8],
    /// What it is, as far as the directory tells.
    pub kind: Kind,
    /// Its inode, as the directory has it.
    pub inode: u64,
}

impl Disk {
    /// Gives each entry of the directory `at`, but `.` and `..`, in no order, until `entry`
    /// breaks.
    ///
    /// A directory that changes meanwhile may give an entry that is gone, or miss one that was
    /// renamed.
    ///
    /// # Errors
    /// Those of `openat` and `getdents`; entries given before were real.
    pub fn list_directory(
        &self,
        at: impl AsFd,
        mut entry: impl FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        self.pass(Call::ReadDirectory, at.as_fd(), b"")?;
        // A descriptor of its own: position 0, and nobody else moves it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let own = open_at(at.as_fd(), b".", flags, Mode::empty())?;
        let mut room = vec![MaybeUninit::uninit(); DIRECTORY_OCTETS];
        let mut entries = RawDir::new(own, &mut room);
        while let Some(found) = entries.next() {
            let found = match found {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let name = CStr::to_bytes(found.file_name());
            if name == b"." || name == b".." || self.overlooks(name) {
                continue;
            }
            let kind = Kind::of_entry(found.file_type());
            let inode = self.listed_inode(found.ino());
            if entry(Entry { name, kind, inode }).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// As [`Disk::open_read`], but only if that needs nothing but memory: `None` if the disk
    /// would have to be asked, or the kernel cannot tell.
    ///
    /// # Errors
    /// Those of [`Disk::open_read`].
    pub fn open_read_at_once(&self, at: impl AsFd, name: &[u8]) -> io::Result<Option<File>> {
        self.pass(Call::OpenRead, at.as_fd(), name)?;
        if self.is_cold() {
            return Ok(None);
        }
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match fs::openat2(at, name, flags, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file.into())),
            // Old kernels and sandboxes do not know the call or the flag.
            Err(Errno::AGAIN | Errno::INTR | Errno::NOSYS | Errno::INVAL | Errno::PERM) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads into `room` from `offset`, but only what is in memory: `None` if the disk would have
    /// to be asked, or the file system cannot tell.
    ///
    /// # Errors
    /// Those of `preadv2`.
    pub fn read_at_once(
        &self,
        file: &File,
        room: &mut [u8],
        offset: u64,
    ) -> io::Result<Option<usize>> {
        self.pass(Call::Read, file.as_fd(), b"")?;
        if self.is_cold() {
            return Ok(None);
        }
        let mut room = [IoSliceMut::new(room)];
        match rustix::io::preadv2(file, &mut room, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::INTR | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                Ok(None)
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Tells the kernel that this part of the file will be read soon. A hint: it cannot fail.
    pub fn will_read(&self, file: &File, range: Range<u64>) {
        let octets = range.end.saturating_sub(range.start);
        if let Some(octets) = std::num::NonZero::new(octets) {
            let _ = fs::fadvise(file, range.start, Some(octets), Advice::WillNeed);
        }
    }

    /// Whether we may read the entry `name`.
    ///
    /// # Errors
    /// Those of `faccessat` but for the refusal itself.
    pub fn may_read(&self, at: impl AsFd, name: &[u8]) -> io::Result<bool> {
        self.pass(Call::Facts, at.as_fd(), name)?;
        if self.forbids(at.as_fd(), name) {
            return Ok(false);
        }
        let flags = AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW;
        match retry_on_intr(|| fs::accessat(at.as_fd(), name, Access::READ_OK, flags)) {
            Ok(()) => Ok(true),
            Err(Errno::ACCESS | Errno::PERM | Errno::LOOP) => Ok(false),
            // An old kernel cannot say; opening will.
            Err(Errno::NOSYS | Errno::INVAL) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The name of the network file system that the file is on; `None` if its disk is this
    /// machine's.
    ///
    /// # Errors
    /// Those of `fstatfs`.
    pub fn network_file_system(&self, file: impl AsFd) -> io::Result<Option<&'static str>> {
        self.pass(Call::Facts, file.as_fd(), b"")?;
        let found = fs::fstatfs(file)?.f_type;
        // Some architectures have it signed and 32 bits wide.
        let found = u64::try_from(found).unwrap_or_default() & 0xFFFF_FFFF;
        Ok(network_name(found))
    }
}

fn network_name(magic: u64) -> Option<&'static str> {
    let known = NETWORK.iter().find(|(network, _)| *network == magic);
    known.map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network_name(0x6969), Some("NFS"));
        assert_eq!(network_name(0xFF53_4D42), Some("CIFS"));
        // ext4, XFS, Btrfs, tmpfs, overlayfs.
        for local in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630] {
            assert_eq!(network_name(local), None);
        }
    }

    #[test]
    fn what_is_in_memory_is_read_at_once_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let root = disk.open_root(place.path()).unwrap();
        std::fs::write(place.path().join("file"), "12345").unwrap();
        std::os::unix::fs::symlink("file", place.path().join("link")).unwrap();
        let file = disk.open_read_at_once(&root, b"file").unwrap().unwrap();
        let mut room = [0; 8];
        assert_eq!(disk.read_at_once(&file, &mut room, 1).unwrap(), Some(4));
        assert_eq!(&room[..4], b"2345");
        assert_eq!(disk.read_at_once(&file, &mut room, 5).unwrap(), Some(0));
        assert!(disk.open_read_at_once(&root, b"link").is_err());
        // The kernel may know that there is none, or would have to ask the disk.
        if let Err(error) = disk
            .open_read_at_once(&root, b"gone")
            .map(|file| assert!(file.is_none()))
        {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}
