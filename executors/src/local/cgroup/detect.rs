//! What control groups this machine allows us.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dagbook_events::step::{UsageQuality, UsageSource};

use super::leaf::Leaf;

/// The folder that we own in each tree.
const OWN: &str = "dagbook";

/// Folders below which leaves are made, in each tree that we may use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trees {
    unified: Option<PathBuf>,
    memory_v1: Option<PathBuf>,
    pids_v1: Option<PathBuf>,
    memory_v2: bool,
}

impl Trees {
    /// No control group at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Looks at the machine and makes our folders where that is allowed, below the group that
    /// this process is in and never outside it.
    pub fn detect() -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let (mounts, groups) = (mount_points(&mounts), own_groups(&groups));
        let folder = |tree: &str| -> Option<PathBuf> {
            let inside = groups.get(tree)?.trim_start_matches('/');
            Some(mounts.get(tree)?.join(inside))
        };
        let unified = folder("").and_then(|own| {
            delegate(&own);
            usable(&own, "cgroup.procs")
        });
        let memory_v2 = unified.as_deref().is_some_and(|dir| has_controller(dir, "memory"));
        let memory_v1 = if memory_v2 { None } else { folder("memory") };
        let pids_v2 = unified.as_deref().is_some_and(|dir| has_controller(dir, "pids"));
        let pids_v1 = if pids_v2 { None } else { folder("pids") };
        Self {
            unified,
            memory_v1: memory_v1.and_then(|own| usable(&own, "tasks")),
            pids_v1: pids_v1.and_then(|own| usable(&own, "tasks")),
            memory_v2,
        }
    }

    /// The leaf of an attempt. Nothing is made yet.
    pub fn leaf(&self, name: &str) -> Leaf {
        let join = |tree: &Option<PathBuf>| tree.as_ref().map(|dir| dir.join(name));
        Leaf {
            unified: join(&self.unified),
            memory_v1: join(&self.memory_v1),
            pids_v1: join(&self.pids_v1),
        }
    }

    /// Whether memory is bounded and counted for all processes of an attempt together.
    pub fn has_memory(&self) -> bool {
        self.memory_v2 || self.memory_v1.is_some()
    }

    /// Whether whole attempts are counted and killed by the kernel.
    pub fn is_exact(&self) -> bool {
        self.unified.is_some()
    }

    /// Which counters the figures will come from, and how good they are.
    pub fn provenance(&self) -> (UsageSource, UsageQuality) {
        match (&self.unified, self.memory_v2, &self.memory_v1) {
            (Some(_), true, _) => (UsageSource::Cgroup2, UsageQuality::Exact),
            (Some(_), false, Some(_)) => (UsageSource::Hybrid, UsageQuality::Exact),
            (Some(_), false, None) => (UsageSource::Cgroup2, UsageQuality::Estimated),
            (None, ..) => (UsageSource::Rusage, UsageQuality::Estimated),
        }
    }

    /// Sentences about what is missing here.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.unified.is_none() {
            notes.push(
                "no control group can be made here: processes are found by their parents, \
                 CPU time and memory are estimates from wait4, and memory is bounded per \
                 process (run as a service with Delegate=yes, or as root, for exact figures)"
                    .to_string(),
            );
        } else if !self.has_memory() {
            notes.push(
                "the memory controller is not available here: memory is bounded per process \
                 and its peak is an estimate"
                    .to_string(),
            );
        }
        notes
    }

    /// Removes our own folders where no attempt is left in them.
    pub fn remove_if_empty(&self) {
        for dir in [&self.unified, &self.memory_v1, &self.pids_v1].into_iter().flatten() {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Mount point of each tree: the v2 tree under the empty name, v1 trees by controller.
fn mount_points(mounts: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        let (Some(_), Some(point), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let point = || PathBuf::from(point.replace("\\040", " "));
        match kind {
            "cgroup2" => {
                found.entry(String::new()).or_insert_with(point);
            }
            "cgroup" => {
                for controller in options.split(',').filter(|o| ["memory", "pids"].contains(o)) {
                    found.entry(controller.to_string()).or_insert_with(point);
                }
            }
            _ => {}
        }
    }
    found
}

/// The group of this process in each tree.
fn own_groups(groups: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        if let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next())
        {
            for controller in controllers.split(',') {
                found.insert(controller.to_string(), path.to_string());
            }
        }
    }
    found
}

/// Makes our folder and proves that leaves can be made, joined and removed.
fn usable(own: &Path, join_file: &str) -> Option<PathBuf> {
    let dir = own.join(OWN);
    match fs::create_dir(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(_) => return None,
    }
    let probe = dir.join(format!("probe-{}", std::process::id()));
    fs::create_dir(&probe).ok()?;
    let writable = fs::OpenOptions::new().write(true).open(probe.join(join_file)).is_ok();
    let removed = fs::remove_dir(&probe).is_ok();
    (writable && removed).then_some(dir)
}

fn has_controller(dir: &Path, name: &str) -> bool {
    let text = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
    text.split_ascii_whitespace().any(|controller| controller == name)
}

/// Hands controllers of the v2 tree down to our folder. Where processes sit in the group itself
/// the kernel refuses; if we are the only one there (a service with `Delegate=yes`), we move to
/// a leaf of our own first, which is what delegation expects.
fn delegate(own: &Path) {
    if !hand_down(own) {
        let procs = fs::read_to_string(own.join("cgroup.procs")).unwrap_or_default();
        if procs.trim() != std::process::id().to_string() {
            return;
        }
        let supervisor = own.join("dagbook-supervisor");
        let _ = fs::create_dir(&supervisor);
        if fs::write(supervisor.join("cgroup.procs"), "0").is_err() || !hand_down(own) {
            return;
        }
    }
    let ours = own.join(OWN);
    let _ = fs::create_dir(&ours);
    hand_down(&ours);
}

/// Lets the groups below a folder of the v2 tree have its controllers. True where nothing is
/// left to do.
pub(super) fn hand_down(dir: &Path) -> bool {
    let available = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    let wanted: Vec<String> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|name| available.split_ascii_whitespace().any(|have| have == *name))
        .map(|name| format!("+{name}"))
        .collect();
    let control = dir.join("cgroup.subtree_control");
    wanted.is_empty() || fs::write(control, wanted.join(" ")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_machine_has_a_tree_of_each_kind() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
            cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
            cgroup /sys/fs/cgroup/cpu\\040s cgroup rw,cpu,pids 0 0\n\
            cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let found = mount_points(mounts);
        assert_eq!(found["memory"], Path::new("/sys/fs/cgroup/memory"));
        assert_eq!(found["pids"], Path::new("/sys/fs/cgroup/cpu s"));
        assert_eq!(found[""], Path::new("/sys/fs/cgroup/unified"));
        let groups = own_groups("4:memory:/a/b\n1:cpu,cpuacct:/\n0::/user:1\n");
        assert_eq!(groups["memory"], "/a/b");
        assert_eq!(groups["cpuacct"], "/");
        assert_eq!(groups[""], "/user:1");
    }

    #[test]
    fn without_groups_the_figures_are_estimates() {
        let none = Trees::none();
        assert_eq!(none.provenance(), (UsageSource::Rusage, UsageQuality::Estimated));
        assert_eq!(none.notes().len(), 1);
        assert_eq!(none.leaf("x"), Leaf::default());
    }
}
