//! Memory cgroups that a test makes for processes of its own. What is more than they allow is killed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the files of a cgroup are called.
struct Version {
    limit: &'static str,
    swap: &'static str,
    /// Of memory and swap together, or of swap alone.
    swap_limit: fn(u64) -> u64,
    events: &'static str,
}

const ONE: Version = Version {
    limit: "memory.limit_in_bytes",
    swap: "memory.memsw.limit_in_bytes",
    swap_limit: |limit| limit,
    events: "memory.oom_control",
};
const TWO: Version =
    Version { limit: "memory.max", swap: "memory.swap.max", swap_limit: |_| 0, events: "memory.events" };

/// A memory cgroup, page cache included and without swap. It goes when it is dropped; nothing may be in it any more.
pub struct MemoryGroup {
    path: PathBuf,
    version: &'static Version,
}

impl MemoryGroup {
    /// It is made in the innermost group around this process that takes it.
    ///
    /// # Errors
    /// If none does, with a reason.
    pub fn create(name: &str, limit: u64) -> Result<MemoryGroup, String> {
        let mut reasons = Vec::new();
        for (version, around) in groups_around().map_err(|error| error.to_string())? {
            let path = around.join(format!("dolmen-{}-{name}", std::process::id()));
            match Self::create_at(&path, version, limit) {
                Ok(group) => return Ok(group),
                Err(error) => reasons.push(format!("{}: {error}", path.display())),
            }
        }
        Err(reasons.into_iter().next().unwrap_or_else(|| "no memory cgroups are mounted".into()))
    }

    fn create_at(path: &Path, version: &'static Version, limit: u64) -> io::Result<MemoryGroup> {
        fs::create_dir(path)?;
        let group = MemoryGroup { path: path.into(), version };
        set(&path.join(version.limit), limit)?;
        let swap = path.join(version.swap);
        if swap.exists() {
            set(&swap, (version.swap_limit)(limit))?;
        }
        Ok(group)
    }

    /// A command that enters the group and then becomes what follows.
    pub fn through(&self) -> Vec<String> {
        let processes = self.path.join("cgroup.procs").display().to_string();
        ["sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", &processes].map(String::from).to_vec()
    }

    /// Processes that were killed here.
    pub fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join(self.version.events)).expect("events");
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.expect("kills are counted").parse().expect("a number")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // What has just ended may still be counted.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{} cannot be removed", self.path.display());
    }
}

/// Files of a cgroup cannot be made: what is not there is an error.
fn set(path: &Path, value: u64) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.to_string().as_bytes())
}

/// The memory cgroup that this process is in and those around it, the innermost first.
fn groups_around() -> io::Result<Vec<(&'static Version, PathBuf)>> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mut groups = Vec::new();
    for (before, after) in mounts.lines().filter_map(|line| line.split_once(" - ")) {
        let after: Vec<&str> = after.split(' ').collect();
        let is_memory = after[2].split(',').any(|option| option == "memory");
        let (version, controller) = match after[0] {
            "cgroup" if is_memory => (&ONE, "memory"),
            "cgroup2" => (&TWO, ""),
            _ => continue,
        };
        let mount = Path::new(before.split(' ').nth(4).expect("a mount point"));
        let name = own.lines().find_map(|line| {
            let (controllers, name) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|one| one == controller).then_some(name)
        });
        let innermost = mount.join(name.unwrap_or("/").trim_start_matches('/'));
        let around = innermost.ancestors().take_while(|path| path.starts_with(mount));
        groups.extend(around.map(|path| (version, path.to_path_buf())));
    }
    Ok(groups)
}
