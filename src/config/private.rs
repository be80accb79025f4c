//! Files that hold a secret.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::Secret;

/// A secret longer than this is none.
const LONGEST_SECRET: u64 = 64 * 1024;

/// Whom a file with a secret may be open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Its owner and nobody else: mode 0600 or stricter.
    Owner,
    /// Its owner; and where that is root, those who may read in its group: mode 0640 or stricter.
    /// System-wide keys are given out so, and libpq takes them.
    OwnerOrGroupOfRoot,
    /// Whoever the service manager lets see the folder it made for us.
    Folder,
}

/// Why there is no secret in a file.
#[derive(Debug, PartialEq, Eq)]
pub enum NoSecret {
    /// There is no such file.
    Missing,
    /// Others may read it, so it is not one: its permission bits.
    Exposed(u32),
    /// Anything else, as a phrase.
    Unreadable(String),
}

impl NoSecret {
    /// What is wrong with the file, as a phrase that follows its name.
    pub fn reason(&self) -> String {
        match self {
            Self::Missing => "does not exist".to_owned(),
            Self::Exposed(mode) => {
                format!("holds a secret, and others than its owner may use it (mode {mode:04o})")
            }
            Self::Unreadable(why) => format!("can't be read: {why}"),
        }
    }

    /// What mends it.
    pub fn remedy(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Exposed(_) => format!("chmod 600 {path}"),
            Self::Missing | Self::Unreadable(_) => format!("check `{path}`"),
        }
    }
}

/// The text of the file at `path`, which is open to nobody but whom `privacy` names. Blocks.
///
/// # Errors
/// Why it has none. The text of a file that others may read is not looked at.
pub fn read_secret(path: &Path, privacy: Privacy) -> Result<Secret, NoSecret> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => NoSecret::Missing,
        _ => NoSecret::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    // Of what was opened, not of what the name may stand for by now.
    let status = file.metadata().map_err(unreadable)?;
    let mode = status.mode() & 0o7777;
    if mode & forbidden(privacy, status.uid()) != 0 {
        return Err(NoSecret::Exposed(mode));
    }
    let mut text = String::new();
    file.take(LONGEST_SECRET + 1).read_to_string(&mut text).map_err(unreadable)?;
    let text = Secret::new(text);
    if text.reveal().len() as u64 > LONGEST_SECRET {
        return Err(NoSecret::Unreadable("it is larger than 64 KiB".to_owned()));
    }
    Ok(text)
}

/// Whether others than its owner may read the file of `status`.
pub(super) fn is_exposed(status: &std::fs::Metadata) -> bool {
    status.mode() & 0o044 != 0
}

fn forbidden(privacy: Privacy, owner: u32) -> u32 {
    match (privacy, owner) {
        (Privacy::Folder, _) => 0,
        (Privacy::OwnerOrGroupOfRoot, 0) => 0o037,
        (Privacy::Owner | Privacy::OwnerOrGroupOfRoot, _) => 0o077,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn each_permission_of_others_exposes_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        fs::write(&path, "hush").unwrap();
        for bit in 0..9 {
            let mode = 0o600 | 1 << bit;
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = read_secret(&path, Privacy::Owner);
            match read {
                Ok(_) => assert!(bit >= 6, "{mode:o}"),
                Err(why) => {
                    assert!(bit < 6, "{mode:o}");
                    assert_eq!(why, NoSecret::Exposed(mode));
                    assert_eq!(why.remedy(&path), format!("chmod 600 {}", path.display()));
                }
            }
            assert!(read_secret(&path, Privacy::Folder).is_ok());
        }
    }

    #[test]
    fn only_keys_of_root_may_be_shared_with_a_group() {
        for (owner, mode, is_private) in
            [(0, 0o640, true), (0, 0o660, false), (0, 0o644, false), (7, 0o640, false)]
        {
            let open = mode & forbidden(Privacy::OwnerOrGroupOfRoot, owner);
            assert_eq!(open == 0, is_private, "{owner} {mode:o}");
        }
    }

    #[test]
    fn what_is_no_secret_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        let why = |path: &Path| read_secret(path, Privacy::Owner).err().unwrap();
        assert_eq!(why(&path), NoSecret::Missing);
        for content in [vec![b'x'; LONGEST_SECRET as usize + 1], vec![0xFF]] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(why(&path), NoSecret::Unreadable(_)));
        }
    }
}
