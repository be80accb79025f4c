//! How much memory to use when `longshore.yml` doesn't say.

use std::{fs, path::Path};

use crate::types::ByteSize;

const AT_LEAST: u64 = 256 << 20;
const AT_MOST: u64 = 4 << 30;
/// What a machine is taken to have when it doesn't tell.
const UNKNOWN: u64 = 4 << 30;

/// A quarter of what the machine or its cgroup has, at least 256 MiB and at most 4 GiB.
pub(super) fn default_memory() -> ByteSize {
    quarter(available(Path::new("/")))
}

fn quarter(available: Option<u64>) -> ByteSize {
    ByteSize::new((available.unwrap_or(UNKNOWN) / 4).clamp(AT_LEAST, AT_MOST))
}

/// The smallest of the machine's memory and the limits of this process's cgroups (version 2, and
/// version 1 where only that is mounted), read below `root`.
fn available(root: &Path) -> Option<u64> {
    let read = |path: String| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo".to_owned()).and_then(|text| machine_bytes(&text));
    let groups = read("proc/self/cgroup".to_owned()).unwrap_or_default();
    let limits = groups.lines().filter_map(memory_group).flat_map(|(mount, group, file)| {
        // A limit on any group above binds as well; inside a container the group's own path may
        // not exist, and its limit is then at the mount's root.
        Path::new(group)
            .ancestors()
            .filter_map(|above| above.to_str())
            .filter_map(|above| read(format!("{mount}/{}/{file}", above.trim_matches('/'))))
            .filter_map(|text| text.trim().parse().ok())
            .collect::<Vec<u64>>()
    });
    machine.into_iter().chain(limits).min()
}

/// Mount point, group and limit's file for a line of `/proc/self/cgroup` that rules memory.
fn memory_group(line: &str) -> Option<(&'static str, &str, &'static str)> {
    let (_, rest) = line.split_once(':')?;
    match rest.split_once(':')? {
        ("", group) => Some(("sys/fs/cgroup", group, "memory.max")),
        ("memory", group) => Some(("sys/fs/cgroup/memory", group, "memory.limit_in_bytes")),
        _ => None,
    }
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available(root.path())
    }

    #[test]
    fn the_smallest_limit_counts() {
        let meminfo = ("proc/meminfo", "MemTotal:       8388608 kB\nMemFree: 1 kB\n");
        assert_eq!(machine(&[]), None);
        assert_eq!(machine(&[meminfo]), Some(8 << 30));
        let version_2 = ("proc/self/cgroup", "0::/pod/box\n");
        let inner = ("sys/fs/cgroup/pod/box/memory.max", "max\n");
        let outer = ("sys/fs/cgroup/pod/memory.max", "1073741824\n");
        assert_eq!(machine(&[meminfo, version_2, inner]), Some(8 << 30));
        assert_eq!(machine(&[meminfo, version_2, inner, outer]), Some(1 << 30));
        let version_1 = ("proc/self/cgroup", "9:pids:/x\n4:memory:/host/path\n");
        let limit = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        assert_eq!(machine(&[meminfo, version_1, limit]), Some(512 << 20));
    }

    #[test]
    fn a_quarter_within_bounds() {
        assert_eq!(quarter(Some(8 << 30)), ByteSize::mib(2048));
        assert_eq!(quarter(Some(1 << 20)), ByteSize::mib(256));
        assert_eq!(quarter(Some(1 << 40)), ByteSize::mib(4096));
        assert_eq!(quarter(None), ByteSize::mib(1024));
    }
}
